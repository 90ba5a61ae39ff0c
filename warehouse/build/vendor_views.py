"""Schema ``vendor``: one view per dataset over the objects of the lake.

Key columns come from the manifest, types from the contract. A missing column is NULL, and a column
that is not in the contract is kept. Values are unchanged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import duckdb

from warehouse.build.months.compute_months import Lists
from warehouse.build.months.lake_months import Columns, LakeByMonth
from warehouse.build.months.late import known_sql, late_sql
from warehouse.build.months.stored import StoredMonth
from warehouse.home import Home
from warehouse.lake import OwnedFile
from warehouse.sql import comment_all, files_below, identifier, literal, moment, parquet_rows
from warehouse.times import Span
from warehouse.vendor import (
    KEY_COLUMNS,
    NO_TYPE,
    OTHER_TYPE,
    SERIES_COLUMNS,
    Contract,
    DatasetColumn,
    SeriesKey,
    interval_us,
    is_raw,
    load_contracts,
    time_columns,
)

_KEY_NAMES = frozenset(column.name for column in KEY_COLUMNS)

_OF_SERIES = (*SERIES_COLUMNS, "bar_us")


def write_vendor(
    connection: duckdb.DuckDBPyConnection,
    lake: LakeByMonth,
    gathered: Mapping[str, Sequence[StoredMonth]],
    *,
    only: Container[str] | None = None,
) -> None:
    """Create the views; a dataset whose months were gathered is read from the gathered files.

    With ``only`` just the views of these datasets are replaced.
    """
    home, contracts = lake.home, load_contracts()
    for dataset in sorted({*contracts, *lake.datasets}):
        if only is not None and dataset not in only:
            continue
        contract = contracts.get(dataset)
        columns = view_columns(dataset, lake.columns(dataset))
        view = f"vendor.{identifier(dataset)}"
        if dataset in gathered:
            names = (str(month.path.relative_to(home.root)) for month in gathered[dataset])
            sql = gathered_sql(columns, files_below(home.root, names))
        else:
            sql = view_sql(columns, lake.files_of(dataset), home)
        connection.execute(f"create or replace view {view} as\n{sql}")
        meaning = (
            contract.description
            if contract
            else "Not in the contracts; the files have these columns."
        )
        texts = {column.name: column.comment for column in (*KEY_COLUMNS, *columns)}
        comment_all(connection, "view", view, meaning, texts)


def count_hidden(
    connection: duckdb.DuckDBPyConnection, owned: Iterable[OwnedFile], home: Home
) -> list[OwnedFile]:
    """The same files; raw ones that share their period get the number of hidden rows."""
    counted = []
    for file in owned:
        if file.file.key.is_raw and not file.owns_all and not file.file.key.period.is_day:
            row = connection.execute(f"select count(*) from ({view_sql([], [file], home)})")
            shown = int((row.fetchone() or (0,))[0])
            file = replace(file, raw_rows_hidden=file.file.facts.rows - shown)
        counted.append(file)
    return counted


def view_columns(dataset: str, found: Iterable[Columns]) -> list[DatasetColumn]:
    """Columns of a dataset's view after the key columns: the contract's, then those that files add.

    ``found`` are the columns of the files. Added columns whose names differ in case only are one
    column.
    """
    contract = load_contracts().get(dataset)
    bar_start = None if is_raw(dataset) else "time"
    declared = [] if contract is None else [c for c in contract.columns if c.name != "time"]
    known = {column.name.lower() for column in declared}
    kinds: dict[str, set[str]] = defaultdict(set)
    spelled: dict[str, str] = {}
    for columns in found:
        for name, kind in columns:
            lowered = name.lower()
            if lowered != bar_start and lowered not in known:
                kinds[lowered].add(kind)
                spelled[lowered] = max(name, spelled.get(lowered, ""))
    return declared + [
        DatasetColumn(
            _free_name(name, contract),
            _widest(kinds[lowered]),
            f"Not in the contract; {name} in the files.",
            "unknown",
        )
        for lowered, name in sorted(spelled.items())
    ]


def _free_name(name: str, contract: Contract | None) -> str:
    """A column's name in the view: the contract's, or with ``file_`` if the name is taken.

    DuckDB ignores case in names. Names that begin with ``file_`` get it too, so that none collide.
    """
    lowered = name.lower()
    own = {column.name.lower(): column.name for column in (contract.columns if contract else ())}
    if lowered in own and lowered not in _KEY_NAMES:
        return own[lowered]
    while lowered.startswith("file_"):
        lowered = lowered.removeprefix("file_")
    return f"file_{name}" if lowered in _KEY_NAMES or lowered in own else name


def _widest(kinds: set[str]) -> str:
    if any(kind.startswith((OTHER_TYPE, NO_TYPE)) for kind in kinds):
        return "VARCHAR"
    if len(kinds) == 1:
        return next(iter(kinds))
    integers = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
    if kinds <= integers:
        return "BIGINT"
    return "DOUBLE" if kinds <= integers | {"FLOAT", "DOUBLE"} else "VARCHAR"


def view_sql(
    columns: list[DatasetColumn], files: list[OwnedFile], home: Home, *, lists: Lists | None = None
) -> str:
    """The SELECT of a dataset's view over some of its files.

    One branch per series, so that reading a series touches its files only. With ``lists`` all files
    of the same columns are one branch, which binds much faster if everything is read anyway: files
    and their series come from variables, which are added to ``lists``. The connection needs these
    variables (``compute_months.set_lists``) and :func:`lists_of_series`.
    """
    alike: dict[object, list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        if owned_file.spans:
            found = owned_file.file.facts.columns
            is_vague = any(kind == OTHER_TYPE for _, kind in found)
            name = owned_file.file.object if is_vague else bool(owned_file.kept_at)
            alike[found, name, bool(owned_file.late)].append(owned_file)
    if not alike:
        return _empty_sql(columns)
    return "\nunion all\n".join(
        _select_sql(columns, group, home, lists) for group in alike.values()
    )


def lists_of_series(found: Mapping[int, SeriesKey]) -> Lists:
    """The keys of series by their numbers, for ``set_lists`` and :func:`key_of_series`."""
    every = [found.get(number) for number in range(1, max(found, default=0) + 1)]
    lists: Lists = {
        _by_series(name): ("VARCHAR", [series and getattr(series, name) for series in every])
        for name in SERIES_COLUMNS
    }
    bars_us = [interval_us(s.interval) if s and s.interval else None for s in every]
    return {**lists, _by_series("bar_us"): ("BIGINT", bars_us)}


def key_of_series(name: str, series_id: str = "series_id") -> str:
    """SQL that looks up a key of a row by its series; see :func:`lists_of_series`.

    Examples
    --------
    >>> key_of_series("symbol")
    "getvariable('symbol_by_series')[series_id]"
    """
    return f"getvariable({literal(_by_series(name))})[{series_id}]"


def months_of(dataset: str) -> str:
    """The DuckDB variable that lists the gathered months behind a view of a dataset."""
    return f"months_of_{dataset}"


def gathered_sql(columns: list[DatasetColumn], listed: str) -> str:
    """The SELECT of a dataset's view over its gathered months, given as an SQL list."""
    selected = (
        f"{identifier(c.name)}::{c.type} as {identifier(c.name)}" for c in (*KEY_COLUMNS, *columns)
    )
    return f"select {', '.join(selected)} from {parquet_rows(listed)}"


def _select_sql(
    columns: list[DatasetColumn], files: list[OwnedFile], home: Home, lists: Lists | None
) -> str:
    """Files of the same columns, under the names and in the types of the view."""
    types = dict(files[0].file.facts.columns)
    keys = {name: _unused_name(f"key_{name}", types) for name in ("series_id", *_OF_SERIES)}
    dataset = files[0].file.key.dataset
    spelled = {name.lower(): name for name in types}
    clocks = [spelled[name] for name in time_columns(dataset)]
    time, *known = (_utc(identifier(name), types[name]) for name in clocks)
    if files[0].kept_at:
        known = [identifier("known_at")]
    (known_at,) = known or (f"make_timestamp(epoch_us({time}) + {keys['bar_us']})",)
    prefix = _unused_name("late", (name.partition("_")[0] for name in types))
    if files[0].late:
        known_at = known_sql(time, known_at, keys["bar_us"], prefix)
    selected = [
        *(f"{keys[name]} as {identifier(name)}" for name in ("series_id", *SERIES_COLUMNS)),
        f'{time} as "time"',
        f"{known_at} as known_at",
        *_values(columns, types, clocks, load_contracts().get(dataset)),
    ]
    if "file_index" in spelled:  # hides DuckDB's own column of this name
        lists = None
    rows = "\nunion all\n".join(_branches(files, home, keys, lists, time))
    joined = ""
    if late := sorted({path for file in files for path in file.late}):
        joined = (
            f"\nasof left join {late_sql(files_below(home.root, late), prefix)}"
            f" on {keys['series_id']} = {prefix}_series_id and {time} >= {prefix}_time"
        )
    return f"select {', '.join(selected)}\nfrom (\n{rows}\n){joined}"


def _values(
    columns: list[DatasetColumn],
    types: Mapping[str, str],
    clocks: Container[str],
    contract: Contract | None,
) -> Iterator[str]:
    """The view's columns from files with columns of these types; NULL for those they lack."""
    sources = {_free_name(name, contract).lower(): name for name in types}
    for column in columns:
        source = sources.get(column.name.lower())
        value = f"null::{column.type}"
        if source is not None and not types[source].startswith(NO_TYPE):
            value = _converted(source, types[source], column.type, is_clock=source in clocks)
        yield f"{value} as {identifier(column.name)}"


def _branches(
    files: list[OwnedFile], home: Home, keys: dict[str, str], lists: Lists | None, time: str
) -> Iterator[str]:
    """The rows that files own: of all series together with ``lists``, else one SELECT each."""
    branches: dict[tuple[int | None, tuple[Span, ...]], list[OwnedFile]] = defaultdict(list)
    for owned_file in files:
        partial = () if owned_file.owns_all else owned_file.spans
        branches[owned_file.file.series_id if lists is None else None, partial].append(owned_file)
    for (_, spans), group in sorted(branches.items(), key=lambda b: b[1][0].file.file_id):
        if lists is None:
            rows = _rows_of_series(group, home, keys)
        else:
            rows = _rows_of_files(group, home, keys, lists)
        yield rows + _inside(time, spans)


def _rows_of_series(files: list[OwnedFile], home: Home, keys: dict[str, str]) -> str:
    """Rows of files of one series, with the series' keys as constants."""
    listed = files_below(home.root, (f.path for f in files))
    series = files[0].file.key.series
    texts = {name: getattr(series, name) for name in SERIES_COLUMNS}
    values = {
        "series_id": f"{files[0].file.series_id}::INTEGER",
        **{n: "null::VARCHAR" if text is None else literal(text) for n, text in texts.items()},
        "bar_us": f"{'null' if series.interval is None else interval_us(series.interval)}::BIGINT",
    }
    return _selected(values, keys, listed)


def _rows_of_files(files: list[OwnedFile], home: Home, keys: dict[str, str], lists: Lists) -> str:
    """Rows of files of any series, with the keys from lists: by file, then by series."""
    number = len(lists) // 2
    paths, series = f"paths_{number}", f"series_{number}"
    lists[paths] = "VARCHAR", [str(home.root / file.path) for file in files]
    lists[series] = "INTEGER", [file.file.series_id for file in files]
    series_id = f"getvariable({literal(series)})[file_index::BIGINT + 1]"
    values = {"series_id": series_id, **{n: key_of_series(n, series_id) for n in _OF_SERIES}}
    return _selected(values, keys, f"getvariable({literal(paths)})")


def _selected(values: Mapping[str, str], keys: Mapping[str, str], listed: str) -> str:
    """Rows of files, with these values as the columns ``keys``."""
    selected = ", ".join(f"{value} as {keys[name]}" for name, value in values.items())
    return f"select {selected}, {_FILE}.* from {parquet_rows(listed)} as {_FILE}"


def _inside(time: str, spans: tuple[Span, ...]) -> str:
    """The condition that a row is in one of the spans; empty without spans."""
    owned = (f"({time} >= {moment(start)} and {time} < {moment(end)})" for start, end in spans)
    return f"\nwhere {' or '.join(owned)}" if spans else ""


_FILE = "of_lake"


def _by_series(name: str) -> str:
    return f"{name}_by_series"


def _empty_sql(columns: list[DatasetColumn]) -> str:
    selected = [f"null::{c.type} as {identifier(c.name)}" for c in (*KEY_COLUMNS, *columns)]
    return f"select {', '.join(selected)} where false"


def _converted(name: str, found: str, wanted: str, *, is_clock: bool) -> str:
    """A file's column cast to its type in the view; times without a zone are UTC.

    ``try(x)`` keeps DuckDB from using the footer's statistics of ``x`` for a condition. They do not
    cover NaN and are not checked, except those of the clocks, which are used to skip files. See
    https://github.com/duckdb/duckdb/issues/25521, which is open in 2.0.
    """
    value = identifier(name) if is_clock else f"try({identifier(name)})"
    if wanted in ("TIMESTAMP", "TIMESTAMPTZ") and found.startswith(("TIMESTAMP", "DATE")):
        value = _utc(value, found)
        return value if wanted == "TIMESTAMP" else f"timezone('UTC', {value})"
    if wanted == "BIGINT" and found in ("FLOAT", "DOUBLE"):
        return f"nullif({value}, 'nan')::BIGINT"  # in a count, NaN means that nothing was counted
    if wanted == "VARCHAR" and found == "BLOB":
        return (
            f"coalesce(try(decode({value})), {value}::VARCHAR)"  # escapes bytes that are not text
        )
    return value if found == wanted else f"{value}::{wanted}"


def _utc(value: str, kind: str) -> str:
    """A file's time as naive UTC in microseconds."""
    if kind.endswith("_NS"):
        value = f"{value}::{kind.removesuffix('_NS')}"
    elif kind == "DATE":
        value = f"{value}::TIMESTAMP"
    return f"timezone('UTC', {value})" if kind.startswith("TIMESTAMPTZ") else value


def _unused_name(name: str, taken: Iterable[str]) -> str:
    """A name that no column has, ignoring case."""
    lowered = {other.lower() for other in taken}
    while name in lowered:
        name += "_"
    return name
