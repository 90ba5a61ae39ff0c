"""Bars of a monthly file that differ from those of the daily files, which are shown instead."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

import duckdb

from warehouse.build.vendor_views import view_columns, view_sql
from warehouse.display import counted
from warehouse.home import Home
from warehouse.lake import Note, OwnedFile
from warehouse.sql import identifier
from warehouse.times import subtract

# Kind of the note about such bars.
DIFFERING = "hidden bars differ"

# Relative differences up to this are rounding.
_ROUNDING = 1e-9
_NAMED = 3


def notes_on_hidden_bars(
    connection: duckdb.DuckDBPyConnection, owned: Iterable[OwnedFile], home: Home
) -> Iterator[tuple[OwnedFile, Note]]:
    """A note for each monthly file whose hidden bars differ; ``owned`` are files of one month."""
    monthly, days = [], defaultdict[int, list[OwnedFile]](list)
    for file in owned:
        if file.file.key.is_raw or file.kept_at:
            continue
        if not file.file.key.period.is_day:
            monthly.append(file)
        elif file.spans:
            days[file.file.series_id].append(replace(file, late=()))
    for file in monthly:
        shown = days[file.file.series_id]
        if shown and file.rows_hidden:
            hidden = subtract([file.file.key.period.span], file.spans)
            text = _difference(connection, replace(file, spans=tuple(hidden), late=()), shown, home)
            if text is not None:
                yield file, (DIFFERING, text)


def _difference(
    connection: duckdb.DuckDBPyConnection, hidden: OwnedFile, shown: list[OwnedFile], home: Home
) -> str | None:
    """How the bars that a file hides differ from those that are shown; None if they do not."""
    key = hidden.file.key
    found = {file.file.facts.columns for file in (hidden, *shown)}
    columns = view_columns(key.dataset, found)
    old_bars, new_bars = (view_sql(columns, files, home) for files in ([hidden], shown))
    named = ", ".join(identifier(name) for name in ("time", *(column.name for column in columns)))
    # Most are equal, which DuckDB finds in a sixth of the time that the query below takes.
    if not connection.execute(
        f"""select {named} from ({old_bars}) semi join ({new_bars}) using ("time")
        except select {named} from ({new_bars}) limit 1"""
    ).fetchall():
        return None
    counts, changes = [], []
    for column in columns:
        name = identifier(column.name)
        old, new = f"hidden.{name}", f"shown.{name}"
        if column.type == "DOUBLE":  # NaN and infinity are NULL in staging
            old, new = (f"case when isfinite({value}) then {value} end" for value in (old, new))
            size = f"abs(({new}) - ({old}))"
            most = f"{_ROUNDING} * greatest(abs({new}), abs({old}))"
            differs = f"({old}) is distinct from ({new}) and not coalesce({size} <= {most}, false)"
            changes.append(f"max({size} / nullif(abs({new}), 0)) filter ({differs})")
        else:
            differs = f"{old} is distinct from {new}"
            changes.append("null::double")
        counts.append(f"({differs})")
    total, by_column, largest = connection.execute(
        f"""
        select
            count_if({" or ".join(counts)}),
            [{", ".join(f"count_if({differs})" for differs in counts)}],
            [{", ".join(changes)}]
        from ({old_bars}) as hidden join ({new_bars}) as shown using ("time")
        """
    ).fetchone() or (0, [], [])
    if not total:
        return None
    parts = [
        column.name if change is None else f"{column.name} (by up to {100 * change:.2g} %)"
        for column, count, change in zip(columns, by_column, largest, strict=True)
        if count
    ]
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    differ = "differs from that" if total == 1 else "differ from those"
    period = ["--period", f"{key.period.month}-*"]
    forget = shlex.join(["warehouse", "forget", key.dataset, *key.series.options, *period])
    return (
        f"{counted(total, 'bar')} of this monthly file {differ} of a daily file, which is shown"
        f" instead, in {', '.join(parts[:_NAMED])}{more}. To show the monthly file, remove the"
        f" daily ones; this lists them: {forget}"
    )
