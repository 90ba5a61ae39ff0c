"""The kept bars in the catalog: the views ``ticks.<dataset>``, and their rows of ``meta``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import duckdb

from warehouse.build.meta.rows import add_rows, write_stored
from warehouse.build.months.late import known_sql, late_sql
from warehouse.build.months.stored import StoredMonth
from warehouse.build.ticks.kept import KeptDay, KeptTicks, late_series
from warehouse.display import first_few
from warehouse.home import Home
from warehouse.project import create_bar_end
from warehouse.sql import comment_all, files_below, identifier, parquet_rows
from warehouse.vendor import KEY_COLUMNS, load_contracts


def write_ticks(connection: duckdb.DuckDBPyConnection, home: Home, days: Sequence[KeptDay]) -> None:
    """Create a view of the schema ``ticks`` for each dataset, and the rows of ``meta.stored``."""
    connection.execute("drop schema if exists ticks cascade")
    connection.execute("delete from meta.stored where starts_with(model, 'ticks.')")
    late = late_series(days)
    create_bar_end(connection, {number: series.bar_us for number, series in late.items()})
    if not days:
        return
    connection.execute("create schema ticks")
    of_late = {day.stored.path: day.stored for series in late.values() for day in series.days}
    write_stored(connection, home, [*(day.stored for day in days), *of_late.values()])
    by_series: dict[str, dict[int, list[KeptDay]]] = defaultdict(lambda: defaultdict(list))
    for day in days:
        # Bars that the vendor's views do not show have their own series number, so that no join by
        # number matches them with the vendor's bars.
        by_series[day.key.dataset][day.number].append(day)
    for dataset, series in sorted(by_series.items()):
        view = f"ticks.{identifier(dataset)}"
        branches = []
        for number, of_series in series.items():
            files = [day.stored for day in of_series if day.stored.rows] or [of_series[0].stored]
            rows = f"{parquet_rows(_listed(home, files))} as bars"
            replaced = f"{number}::integer as series_id"
            if number in late:
                series_late = late[number]
                listed = _listed(home, [late_day.stored for late_day in series_late.days])
                rows += f' asof left join {late_sql(listed)} on bars."time" >= late_time'
                known = known_sql('bars."time"', "bars.known_at", series_late.bar_us)
                replaced += f", {known} as known_at"
            branches.append(f"select bars.* replace ({replaced}) from {rows}")
        connection.execute(f"create view {view} as\n" + "\nunion all\n".join(branches))
        _describe(connection, dataset, view)


def warn_of_left_out(connection: duckdb.DuckDBPyConnection, kept: KeptTicks) -> None:
    """Write the warning about the series that are left out to ``meta.results``."""
    connection.execute("delete from meta.results where resource_type = ?", [_SETTING])
    if kept.left_out:
        series = [
            f"{one} ({', '.join(sorted(datasets))})"
            for one, datasets in sorted(kept.left_out.items())
        ]
        message = (
            f"no bars on the clock 'true' of {first_few(series)}, because these ticks have no"
            ' times of receipt; in warehouse.toml, choose clocks = ["exchange"] for them, or'
            " limit exchanges or symbols to others"
        )
        row = ("[[ticks]]", _SETTING, "warehouse", "warn", None, message)
        add_rows(connection, "results", [row])


# The type of the warnings in ``meta.results``.
_SETTING = "setting"


def _listed(home: Home, files: Iterable[StoredMonth]) -> str:
    return files_below(home.root, (str(file.path.relative_to(home.root)) for file in files))


def _describe(connection: duckdb.DuckDBPyConnection, dataset: str, view: str) -> None:
    contract = load_contracts()[dataset]
    meaning = f"Kept bars from ticks ([[ticks]]): {contract.description}"
    texts = {c.name: c.comment for c in (*KEY_COLUMNS, *contract.columns)} | {
        "known_at": "End of the bar, or later if its ticks or those of an earlier bar arrived late."
        " [UTC]",
        "n_events": "Number of ticks in the bar. [count]",
        "is_partial": "Whether the ticks may begin or end inside the bar.",
    }
    shown = connection.execute(f"select column_name from (describe {view})").fetchall()
    comment_all(connection, "view", view, meaning, {name: texts[name] for (name,) in shown})
