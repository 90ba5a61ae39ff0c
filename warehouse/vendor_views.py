"""Schema ``vendor``: one view per dataset over the objects of the lake.

Key columns come from the manifest, types from the contract; what a file lacks reads NULL, what it
has beyond the contract is kept. Values are untouched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from warehouse.contracts import KEY_COLUMNS, OTHER_TYPE, Column, Contract, load_contracts
from warehouse.coverage import OwnedFile, Span
from warehouse.home import Home
from warehouse.keys import interval_us
from warehouse.records import StoredFile
from warehouse.sqltext import files_below, identifier, literal, moment
from warehouse.views import comment

_KEY_NAMES = frozenset(column.name for column in KEY_COLUMNS)


def write_vendor(
    connection: duckdb.DuckDBPyConnection,
    owned: list[OwnedFile],
    home: Home,
    gathered: Mapping[str, Sequence[Path]],
) -> None:
    """Create the views; a dataset whose months were gathered is read from those files."""
    by_dataset: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in owned:
        by_dataset[owned_file.file.key.dataset].append(owned_file)
    contracts = load_contracts()
    for dataset in sorted(contracts.keys() | by_dataset.keys()):
        contract = contracts.get(dataset)
        files = by_dataset.get(dataset, [])
        columns = view_columns(contract, files)
        view = f"vendor.{identifier(dataset)}"
        sql = view_sql(columns, files, home)
        if dataset in gathered:
            names = (str(path.relative_to(home.root)) for path in gathered[dataset])
            sql = gathered_sql(columns, files_below(home.root, names))
        connection.execute(f"create view {view} as\n{sql}")
        meaning = contract.description if contract else "Not in the contracts: taken as it came."
        comment(connection, "view", view, meaning)
        for column in (*KEY_COLUMNS, *columns):
            comment(connection, "column", f"{view}.{identifier(column.name)}", column.comment)


def view_columns(contract: Contract | None, files: list[OwnedFile]) -> list[Column]:
    """Columns of a dataset's view after the key columns: the contract's, then what files add."""
    declared = [] if contract is None else [c for c in contract.columns if c.name != "time"]
    known = {column.name for column in declared}
    added: dict[str, set[str]] = defaultdict(set)
    for owned_file in files:
        bar_start = None if owned_file.file.key.is_raw else "time"
        for name, kind in owned_file.file.facts.columns:
            if name != bar_start and name not in known:
                added[name].add(kind)
    return declared + [
        Column(
            _free_name(name, contract),
            _widest(added[name]),
            f"Not in the contract: {name}.",
            "unknown",
        )
        for name in sorted(added)
    ]


def _free_name(name: str, contract: Contract | None) -> str:
    """A column's name in the view: ``file_`` before what is, but for case, another's name there.

    DuckDB's names know no case. What begins with ``file_`` is treated alike, so that no two meet.
    """
    bare = name.lower()
    while bare.startswith("file_"):
        bare = bare.removeprefix("file_")
    own = () if contract is None else contract.columns
    is_own = any(column.name == name and name not in _KEY_NAMES for column in own)
    taken = _KEY_NAMES | {column.name.lower() for column in own}
    return name if is_own or bare not in taken else f"file_{name}"


def _widest(kinds: set[str]) -> str:
    if OTHER_TYPE in kinds:
        return "VARCHAR"
    if len(kinds) == 1:
        return next(iter(kinds))
    integers = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
    if kinds <= integers:
        return "BIGINT"
    return "DOUBLE" if kinds <= integers | {"FLOAT", "DOUBLE"} else "VARCHAR"


def view_sql(
    columns: list[Column], files: list[OwnedFile], home: Home, *, bulk: bool = False
) -> str:
    """The SELECT of a dataset's view over some of its files.

    One branch per series, so that reading a series touches its files only. With ``bulk`` all files
    of the same columns are one branch, which binds much faster where all is read anyway.
    """
    alike: dict[tuple[tuple[str, str], ...], list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        if owned_file.spans:
            alike[owned_file.file.facts.columns].append(owned_file)
    if not alike:
        return _empty_sql(columns)
    return "\nunion all\n".join(
        _select_sql(columns, group, home, bulk=bulk) for group in alike.values()
    )


def gathered_sql(columns: list[Column], listed: str) -> str:
    """The SELECT of a dataset's view over files that were written from it, an SQL list."""
    selected = (
        f"{identifier(c.name)}::{c.type} as {identifier(c.name)}" for c in (*KEY_COLUMNS, *columns)
    )
    return f"select {', '.join(selected)} from read_parquet({listed}, {_PLAIN})"


def _select_sql(columns: list[Column], files: list[OwnedFile], home: Home, *, bulk: bool) -> str:
    """Files of the same columns, under the names and in the types of the view."""
    types = dict(files[0].file.facts.columns)
    keys = {name: _unused_name(f"key_{name}", types) for name in (*_FILE_KEYS, "bar", "path")}
    of_first = files[0].file.key
    contract, raw = load_contracts().get(of_first.dataset), of_first.is_raw
    source_names = {_free_name(name, contract): name for name in types}
    clocks = ("exchange_timestamp", "local_timestamp") if raw else ("time", "time")
    time, known_at = (_utc(name, types[name]) for name in clocks)
    selected = [
        *(f"{keys[name]} as {identifier(name)}" for name in _FILE_KEYS),
        f'{time} as "time"',
        f"{known_at}{'' if raw else ' + ' + keys['bar']} as known_at",
    ]
    for column in columns:
        source = source_names.get(column.name)
        value = f"null::{column.type}"
        if source is not None:
            value = _converted(source, types[source], column.type)
        selected.append(f"{value} as {identifier(column.name)}")
    branches: dict[tuple[int | None, tuple[Span, ...]], list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        partial = () if owned_file.owns_all else owned_file.spans
        branches[None if bulk else owned_file.file.series_id, partial].append(owned_file)
    rows_of = _rows_of_files if bulk else _rows_of_series
    rows = "\nunion all\n".join(
        rows_of(group, home, keys) + _inside(time, spans)
        for (_, spans), group in sorted(branches.items(), key=lambda b: b[1][0].file.file_id)
    )
    return f"select {', '.join(selected)}\nfrom (\n{rows}\n)"


def _rows_of_series(files: list[OwnedFile], home: Home, keys: dict[str, str]) -> str:
    """What files of one series hold, and the series' keys as constants."""
    listed = files_below(home.root, (f"objects/{f.file.object}.parquet" for f in files))
    values = ", ".join(f"{value} as {keys[name]}" for name, value in _keys(files[0].file).items())
    return f"select {values}, {_FILE}.* from read_parquet({listed}, {_PLAIN}) as {_FILE}"


def _rows_of_files(files: list[OwnedFile], home: Home, keys: dict[str, str]) -> str:
    """What files of any series hold, and the keys joined to it by the name of the file."""
    paths = [literal(str(home.object_path(file.file.object))) for file in files]
    rows = ", ".join(
        f"({path}, {', '.join(_keys(file.file).values())})"
        for path, file in zip(paths, files, strict=True)
    )
    names = [name for name in keys if name != "path"]
    renamed = ", ".join(f"{identifier(name)} as {keys[name]}" for name in names)
    each_once = ", ".join(dict.fromkeys(paths))  # series may share an object
    return (
        f"select * from read_parquet([{each_once}], {_PLAIN}, filename = {literal(keys['path'])})"
        f"\njoin (select path as {keys['path']}, {renamed}"
        f" from (values {rows}) as of_file(path, {', '.join(map(identifier, names))}))"
        f" using ({keys['path']})"
    )


def _inside(time: str, spans: tuple[Span, ...]) -> str:
    """The condition that a row lies in one of the spans; nothing where there are none."""
    owned = (f"({time} >= {moment(start)} and {time} < {moment(end)})" for start, end in spans)
    return f"\nwhere {' or '.join(owned)}" if spans else ""


_PLAIN = "hive_partitioning = false"
_FILE = "of_lake"
_FILE_KEYS = ("series_id", "exchange", "symbol", "interval", "clock")


def _keys(file: StoredFile) -> dict[str, str]:
    """What the manifest says of a file, as SQL; ``bar`` is NULL for what has no bars."""
    series = file.key.series
    texts = {name: getattr(series, name) for name in _FILE_KEYS if name != "series_id"}
    length = "null::INTERVAL"
    if not file.key.is_raw:
        length = f"interval '{interval_us(series.interval or '') // 1_000_000} seconds'"
    return {
        "series_id": f"{file.series_id}::INTEGER",
        **{n: "null::VARCHAR" if text is None else literal(text) for n, text in texts.items()},
        "bar": length,
    }


def _empty_sql(columns: list[Column]) -> str:
    selected = [f"null::{c.type} as {identifier(c.name)}" for c in (*KEY_COLUMNS, *columns)]
    return f"select {', '.join(selected)} where false"


def _converted(name: str, found: str, wanted: str) -> str:
    """A file's column as the type that the view gives it; times without a zone are UTC."""
    if found == wanted:
        return identifier(name)
    if wanted == "TIMESTAMP" and found.startswith("TIMESTAMP"):
        return _utc(name, found)
    if wanted == "TIMESTAMPTZ" and found.startswith("TIMESTAMP"):
        return f"timezone('UTC', {_utc(name, found)})"
    return f"{identifier(name)}::{wanted}"


def _utc(name: str, kind: str) -> str:
    """A file's time as naive UTC in microseconds."""
    column = identifier(name)
    if kind.endswith("_NS"):
        column = f"{column}::{kind.removesuffix('_NS')}"
    return f"timezone('UTC', {column})" if kind.startswith("TIMESTAMPTZ") else column


def _unused_name(name: str, taken: Iterable[str]) -> str:
    """A name that no column has; DuckDB's names know no case."""
    lowered = {other.lower() for other in taken}
    while name in lowered:
        name += "_"
    return name
