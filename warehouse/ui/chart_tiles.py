"""Points of a chart: tiles of a column, in which each bucket shows its first, low, high and last.

A bucket of level L is 2^L steps wide, a tile holds 512 buckets, and both begin at multiples of
their width since the epoch, so a view that moves needs only the tiles at its edge. A bucket has
four points at 0, 1/4, 2/4 and 3/4 of its width: first, low and high in the order of their times,
last. Level 0 has every row. A missing bar is NaN, so that no line is drawn across it.
"""

from __future__ import annotations

import json
import struct
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from warehouse.display import counted
from warehouse.errors import UsageError
from warehouse.sql import Relation, identifier
from warehouse.times import Span, merge, subtract, us_datetime
from warehouse.ui.asking import Asking
from warehouse.ui.values import shown_table
from warehouse.vendor import interval_us

Floats = npt.NDArray[np.float64]

TILE_BUCKETS = 512
MOST_LEVEL = 40
MOST_COLUMNS = 32
MOST_ROWS = 200_000

_CACHE_BYTES = 128 << 20
# Number of rows at the start of a series from which its step is determined.
_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class Source:
    """One series of one table.

    Attributes
    ----------
    first_us, last_us
        Times of its first and last row.
    step_us
        The step between rows that is most common; the mean one, as a power of two, for raw data.
    on_grid
        Whether each step of the series should have a row.
    """

    relation: Relation
    series_id: int
    rows: int
    first_us: int
    last_us: int
    step_us: int
    on_grid: bool


@dataclass(slots=True)
class Tile:
    """A tile: the x of its points in seconds, its columns, and the spans without bars."""

    x: Floats
    gaps: list[Span]
    rows: int
    columns: dict[str, Floats] = field(default_factory=dict)


def find_source(asking: Asking, table: str, series_id: int) -> Source | None:
    """The rows of a series in a table; None if it has none."""
    relation = asking.relation(table)
    asking.require_columns(relation, "series_id", "time")
    name = shown_table(relation)
    params = {"series_id": series_id}
    (found,) = asking.rows(
        "select count(*) as n, epoch_us(min(time)) as first, epoch_us(max(time)) as last"
        f" from {name} where series_id = $series_id",
        params,
    )
    if not found["n"]:
        return None
    listed = asking.rows('select "interval" from meta.series where series_id = $series_id', params)
    interval = listed[0]["interval"] if listed else None
    if interval is None:
        mean = max(1, (found["last"] - found["first"]) // found["n"])
        step, on_grid = 1 << (mean.bit_length() - 1), False
    else:
        (common,) = asking.rows(
            "select mode(step) as step from (select t - lag(t) over (order by t) as step from"
            f" (select epoch_us(time) as t from {name} where series_id = $series_id"
            f" order by t limit {_SAMPLE}))",
            params,
        )
        bar = interval_us(interval)
        step = common["step"] or bar
        on_grid = step == bar
    return Source(relation, series_id, found["n"], found["first"], found["last"], step, on_grid)


class Tiles:
    """Cached tiles of all open generations, the least recently used are removed first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0
        self._tiles: OrderedDict[tuple[Any, ...], Tile] = OrderedDict()
        self._sources: dict[tuple[Any, ...], Source | None] = {}

    def source(self, asking: Asking, table: str, series_id: int) -> Source | None:
        """The series of a table, looked up once per generation."""
        key = asking.warehouse.generation, table, series_id
        if key not in self._sources:
            if len(self._sources) > 100_000:
                self._sources.clear()
            self._sources[key] = find_source(asking, table, series_id)
        return self._sources[key]

    def tile(
        self, asking: Asking, source: Source, columns: Sequence[str], level: int, number: int
    ) -> Tile:
        """A tile with at least these columns.

        Raises
        ------
        NotFoundError
            The table has no such column.
        UsageError
            There is no such level, or the tile is far too large.
        """
        if not 0 <= level <= MOST_LEVEL or len(columns) > MOST_COLUMNS:
            raise UsageError(
                f"level {level} with {counted(len(columns), 'column')}: too much for one tile"
            )
        asking.require_measures(source.relation, *columns)
        key = asking.warehouse.generation, source.relation, source.series_id, level, number
        with self._lock:
            held = self._tiles.get(key)
            if held is not None:
                self._tiles.move_to_end(key)
        lacking = [name for name in columns if held is None or name not in held.columns]
        if held is None or lacking:
            made = _read(asking, source, lacking, level, number)
            held = self._keep(key, made)
        return held

    def _keep(self, key: tuple[Any, ...], made: Tile) -> Tile:
        """Store a tile, or add its columns to the one that is stored."""
        with self._lock:
            held = self._tiles.setdefault(key, made)
            for name, values in made.columns.items():
                held.columns[name] = values
                self._bytes += values.nbytes
            while self._bytes > _CACHE_BYTES and len(self._tiles) > 1:
                _, dropped = self._tiles.popitem(last=False)
                self._bytes -= sum(values.nbytes for values in dropped.columns.values())
            return held


def encoded(tile: Tile, columns: Sequence[str]) -> bytes:
    """A tile for the page: length of the head, the head as JSON, and the doubles."""
    head = json.dumps(
        {
            "points": len(tile.x),
            "columns": list(columns),
            "rows": tile.rows,
            "gaps": [[start / 1e6, end / 1e6] for start, end in tile.gaps],
        }
    ).encode()
    head += b" " * (-(4 + len(head)) % 8)
    parts = [tile.x, *(tile.columns[name] for name in columns)]
    return struct.pack("<I", len(head)) + head + b"".join(part.tobytes() for part in parts)


def _read(asking: Asking, source: Source, columns: Sequence[str], level: int, number: int) -> Tile:
    """A tile from the catalog."""
    width = source.step_us << level
    start = number * TILE_BUCKETS * width
    end = start + TILE_BUCKETS * width
    inside = max(start, source.first_us), min(end, source.last_us + source.step_us)
    if inside[0] >= inside[1]:
        return _empty(columns)
    read = _every_row if level == 0 else _buckets
    return read(asking, source, columns, inside, width)


def _empty(columns: Sequence[str]) -> Tile:
    return Tile(np.empty(0), [], 0, {name: np.empty(0) for name in columns})


def _selected(source: Source, columns: Sequence[str], span: Span) -> tuple[str, dict[str, object]]:
    """The rows of a span as SQL: t in microseconds, and the columns as doubles, else NULL."""
    listed = "".join(
        f", case when isfinite({identifier(name)}::double) then {identifier(name)}::double end"
        f" as c{place}"
        for place, name in enumerate(columns)
    )
    text = (
        f"select epoch_us(time) as t{listed} from {shown_table(source.relation)}"
        " where series_id = $series_id and time >= $start and time < $end"
    )
    start, end = map(us_datetime, span)
    return text, {"series_id": source.series_id, "start": start, "end": end}


def _every_row(asking: Asking, source: Source, columns: Sequence[str], span: Span, _: int) -> Tile:
    text, params = _selected(source, columns, span)
    found = asking.sql(f"{text} order by t limit {MOST_ROWS + 1}", params).arrow()
    if found.num_rows > MOST_ROWS:
        raise UsageError(
            f"more than {counted(MOST_ROWS, 'row')} in one tile", next_step="zoom in, or write SQL"
        )
    t = found["t"].to_numpy()
    values = [_doubles(found[f"c{place}"]) for place in range(len(columns))]
    gaps: list[Span] = []
    if source.on_grid:
        step = source.step_us
        present = [(int(at), int(at) + step) for at in t]
        gaps = subtract([span], present)
        grid = np.arange(span[0], span[1], step, dtype=np.int64)
        places = np.searchsorted(grid, t)
        fits = (places < len(grid)) & (grid[np.minimum(places, len(grid) - 1)] == t)
        if fits.all():
            spread = partial(_spread, size=len(grid), places=places)
            t, values = grid, list(map(spread, values))
    x = (t / 1e6).astype(np.float64)
    return Tile(x, gaps, found.num_rows, dict(zip(columns, values, strict=True)))


def _spread(values: Floats, *, size: int, places: npt.NDArray[np.int64]) -> Floats:
    every = np.full(size, np.nan)
    every[places] = values
    return every


def _buckets(
    asking: Asking, source: Source, columns: Sequence[str], span: Span, width: int
) -> Tile:
    text, params = _selected(source, columns, span)
    x, rows, values = bucketed(asking, text, params, len(columns), span, width)
    thin = _incomplete_spans(rows, source, span, span[0] // width, width)
    return Tile(x, thin, int(rows.sum()), dict(zip(columns, values, strict=True)))


def bucketed(
    asking: Asking, text: str, params: Mapping[str, object], count: int, span: Span, width: int
) -> tuple[Floats, npt.NDArray[np.int64], list[Floats]]:
    """x in seconds, rows of each bucket, and the four points of each, of t and c0, c1, … in SQL."""
    parts = "".join(
        f", arg_min(c{i}, t) as first{i}, arg_max(c{i}, t) as last{i}, min(c{i}) as low{i},"
        f" max(c{i}) as high{i}, arg_min(t, c{i}) > arg_max(t, c{i}) as falls{i}"
        for i in range(count)
    )
    found = asking.sql(
        f"select t // $width as k, count(*) as n{parts} from ({text}) group by k order by k",
        {**params, "width": width},
    ).arrow()
    k0, k1 = span[0] // width, (span[1] - 1) // width + 1
    size = k1 - k0
    places = found["k"].to_numpy() - k0
    rows = np.zeros(size, dtype=np.int64)
    rows[places] = found["n"].to_numpy()
    x = (np.arange(size * 4) + k0 * 4) * np.float64(width / 4e6)
    values = []
    for i in range(count):
        four = np.full((size, 4), np.nan)
        low, high = _doubles(found[f"low{i}"]), _doubles(found[f"high{i}"])
        falls = _doubles(found[f"falls{i}"]) == 1
        four[places, 0] = _doubles(found[f"first{i}"])
        four[places, 1] = np.where(falls, high, low)
        four[places, 2] = np.where(falls, low, high)
        four[places, 3] = _doubles(found[f"last{i}"])
        values.append(four.reshape(-1))
    return x.astype(np.float64), rows, values


def _incomplete_spans(
    rows: npt.NDArray[np.int64], source: Source, span: Span, k0: int, width: int
) -> list[Span]:
    """Spans of the buckets that lack bars."""
    if not source.on_grid:
        return []
    starts = np.maximum((np.arange(len(rows)) + k0) * width, span[0])
    ends = np.minimum((np.arange(len(rows)) + k0 + 1) * width, span[1])
    short = rows < (ends - starts) // source.step_us
    return merge(zip(starts[short].tolist(), ends[short].tolist(), strict=True))


def _doubles(column: Any) -> Floats:
    """A column of Arrow as doubles, NULL as NaN."""
    cast = (
        column.cast(pa.float64())
        if not pa.types.is_boolean(column.type)
        else column.cast(pa.int8()).cast(pa.float64())
    )
    return np.asarray(cast.to_numpy(), dtype=np.float64)
