"""Schema ``vendor``: one view per dataset over the objects of the lake.

Key columns come from the manifest, types from the contract; what a file lacks reads NULL, what it
has beyond the contract is kept. Values are untouched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import duckdb

from warehouse.contracts import KEY_COLUMNS, Column, Contract, load_contracts
from warehouse.coverage import OwnedFile, Span
from warehouse.home import Home
from warehouse.keys import interval_us
from warehouse.records import StoredFile
from warehouse.sqltext import files_below, identifier, literal, moment

_KEY_NAMES = frozenset(column.name for column in KEY_COLUMNS)


def write_vendor(connection: duckdb.DuckDBPyConnection, owned: list[OwnedFile], home: Home) -> None:
    by_dataset: dict[str, list[OwnedFile]] = defaultdict(list)
    for owned_file in owned:
        by_dataset[owned_file.file.key.dataset].append(owned_file)
    contracts = load_contracts()
    for dataset in sorted(contracts.keys() | by_dataset.keys()):
        contract = contracts.get(dataset)
        files = by_dataset.get(dataset, [])
        columns = view_columns(contract, files)
        view = f"vendor.{identifier(dataset)}"
        connection.execute(
            f"create view {view} as\n{view_sql(columns, files, home, raw=_is_raw(dataset))}"
        )
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


def comment(connection: duckdb.DuckDBPyConnection, kind: str, name: str, text: str) -> None:
    connection.execute(f"comment on {kind} {name} is {literal(text)}")


def _is_raw(dataset: str) -> bool:
    return dataset.startswith("raw_")


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
    if len(kinds) == 1:
        return next(iter(kinds))
    integers = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
    if kinds <= integers:
        return "BIGINT"
    return "DOUBLE" if kinds <= integers | {"FLOAT", "DOUBLE"} else "VARCHAR"


def view_sql(
    columns: list[Column], files: list[OwnedFile], home: Home, *, raw: bool, bulk: bool = False
) -> str:
    """The SELECT of a dataset's view over some of its files.

    One branch per series and set of columns, so that reading a series touches its files only. With
    ``bulk`` one branch per set of columns, which binds much faster where all is read anyway.
    """
    branches: dict[tuple[Any, ...], list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        if owned_file.spans:
            partial = () if owned_file.owns_all else owned_file.spans
            series = None if bulk else owned_file.file.series_id
            branches[series, owned_file.file.facts.columns, partial].append(owned_file)
    if not branches:
        return _empty_sql(columns)
    return "\nunion all\n".join(
        _branch_sql(columns, group, home, spans=place[2], raw=raw, bulk=bulk)
        for place, group in sorted(branches.items(), key=lambda item: item[1][0].file.file_id)
    )


def _branch_sql(
    columns: list[Column],
    files: list[OwnedFile],
    home: Home,
    *,
    spans: tuple[Span, ...],
    raw: bool,
    bulk: bool,
) -> str:
    first = files[0].file
    types = dict(first.facts.columns)
    contract = load_contracts().get(first.key.dataset)
    source_names = {_free_name(name, contract): name for name in types}
    clocks = ("exchange_timestamp", "local_timestamp") if raw else ("time", "time")
    time, known_at = (_utc(name, types[name]) for name in clocks)
    keys = [f"of_file.{name}" for name in _FILE_KEYS] if bulk else _key_values(first)
    if not raw:
        known_at += " + of_file.bar" if bulk else f" + {_bar(first)}"
    selected = [
        *(f"{value} as {name}" for value, name in zip(keys, _FILE_KEYS, strict=True)),
        f'{time} as "time"',
        f"{known_at} as known_at",
    ]
    for column in columns:
        source = source_names.get(column.name)
        value = f"null::{column.type}"
        if source is not None:
            value = _converted(source, types[source], column.type)
        selected.append(f"{value} as {identifier(column.name)}")
    paths = [literal(str(home.object_path(file.file.object))) for file in files]
    path = _unused_name("path_of_the_object", types)
    options = f"hive_partitioning = false, filename = {literal(path)}" if bulk else _PLAIN
    listed = f"[{', '.join(paths)}]"
    if not bulk:
        listed = files_below(home.root, (f"objects/{f.file.object}.parquet" for f in files))
    sql = f"select {', '.join(selected)}\nfrom read_parquet({listed}, {options}) as {_FILE}"
    if bulk:
        rows = [
            f"({path}, {', '.join(_key_values(file.file))}, {'null' if raw else _bar(file.file)})"
            for path, file in zip(paths, files, strict=True)
        ]
        names = ", ".join(("path", *_FILE_KEYS, "bar"))
        sql += f"\njoin (values {', '.join(rows)}) as of_file({names})"
        sql += f" on {_FILE}.{path} = of_file.path"
    if spans:
        owned = " or ".join(
            f"({time} >= {moment(start)} and {time} < {moment(end)})" for start, end in spans
        )
        sql += f"\nwhere {owned}"
    return sql


_PLAIN = "hive_partitioning = false"
_FILE = "of_lake"
_FILE_KEYS = ("series_id", "exchange", "symbol", '"interval"', "clock")


def _key_values(file: StoredFile) -> list[str]:
    """What the manifest says of a file, as SQL, in the order of ``_FILE_KEYS``."""
    series = file.key.series
    texts = (series.exchange, series.symbol, series.interval, series.clock)
    values = ["null::VARCHAR" if text is None else literal(text) for text in texts]
    return [f"{file.series_id}::INTEGER", *values]


def _bar(file: StoredFile) -> str:
    return f"interval '{interval_us(file.key.series.interval or '') // 1_000_000} seconds'"


def _empty_sql(columns: list[Column]) -> str:
    selected = [f"null::{c.type} as {identifier(c.name)}" for c in (*KEY_COLUMNS, *columns)]
    return f"select {', '.join(selected)} where false"


def _converted(name: str, found: str, wanted: str) -> str:
    """A file's column as the type that the view gives it; times without a zone are UTC."""
    if found == wanted:
        return _of_file(name)
    if wanted == "TIMESTAMP" and found.startswith("TIMESTAMP"):
        return _utc(name, found)
    if wanted == "TIMESTAMPTZ" and found.startswith("TIMESTAMP"):
        return f"timezone('UTC', {_utc(name, found)})"
    return f"{_of_file(name)}::{wanted}"


def _utc(name: str, kind: str) -> str:
    """A file's time as naive UTC in microseconds."""
    column = _of_file(name)
    if kind.endswith("_NS"):
        column = f"{column}::{kind.removesuffix('_NS')}"
    return f"timezone('UTC', {column})" if kind.startswith("TIMESTAMPTZ") else column


def _of_file(name: str) -> str:
    """A file's own column, whatever else bears that name."""
    return f"{_FILE}.{identifier(name)}"


def _unused_name(name: str, taken: Iterable[str]) -> str:
    """A name that no column has; DuckDB's names know no case."""
    lowered = {other.lower() for other in taken}
    while name in lowered:
        name += "_"
    return name
