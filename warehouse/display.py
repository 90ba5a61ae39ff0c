"""Text output: aligned tables that fit the terminal, and charts drawn with characters."""

from __future__ import annotations

import datetime as dt
import math
import re
import shutil
import textwrap
from collections.abc import Sequence
from itertools import chain, groupby, zip_longest
from typing import Any

_SIGNIFICANT = 10
_MAX_DECIMALS = 6
_MIN_TEXT_WIDTH = 10
# Characters of a struct, map or list; those after them are only counted.
_MAX_NESTED = 48
# Width of the ellipsis for left-out columns, with the space beside it.
_MARK_WIDTH = 3
# Columns that identify a row: never cut while there is room, and the last to be left out.
_KEYS = ("time", "symbol", "interval")
# Columns that are left out first when a table is too wide.
_MINOR_KEYS = ("exchange", "clock", "known_at", "series_id")
_BARS = " ▁▂▃▄▅▆▇█"
# Control characters that a terminal would execute instead of showing.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def render_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    width: int | None = None,
    wrap: bool = False,
    hint: str = "",
) -> str:
    """Rows under their column names: numbers on their decimal points, text to the left.

    If the table is wider than ``width`` (the terminal's by default), the last column goes over
    several lines if ``wrap``; else long texts are cut, then columns are left out, and both are
    marked by an ellipsis. Time, symbol and interval stay; a last line has the number of columns
    that are not shown, and ``hint``, how to see them.

    Examples
    --------
    >>> print(render_table(["symbol", "close"], [["BTC", 108180.1], ["ETH", None]]))
    symbol      close
    ------  ---------
    BTC     108,180.1
    ETH             ·
    """
    width = width or terminal_width()
    values = [[row[i] for row in rows] for i in range(len(columns))]
    cells = [_format_column(column) for column in values]
    right = [_is_number_column(column) for column in values]
    widths = _widths(columns, cells)
    if _total(widths) > width:
        cells = [_shorten(*column) for column in zip(values, cells, strict=True)]
        widths = _widths(columns, cells)
    last_width = width - sum(widths[:-1]) - 2 * (len(widths) - 1)
    wrap = wrap and not right[-1] and _MIN_TEXT_WIDTH <= last_width < widths[-1]
    if wrap:
        widths[-1] = last_width
    else:
        widths = _shrink(columns, widths, [_is_text_column(column) for column in values], width)
    shown = _fit(columns, widths, width)

    def line(row: Sequence[str]) -> str:
        parts = ("…" if i is None else _pad(row[i], widths[i], right[i]) for i in shown)
        return "  ".join(parts).rstrip()

    lines = [line(columns), line(["-" * w for w in widths])]
    for row in zip(*cells, strict=True):
        folded = (textwrap.wrap(row[-1], widths[-1]) or [""]) if wrap else [row[-1]]
        lines.append(line([*row[:-1], folded[0]]))
        lines += [line([*[""] * (len(row) - 1), rest]) for rest in folded[1:]]
    if None in shown:
        hidden = len(columns) - len(shown) + 1
        remark = f"… {hidden:,} more of {counted(len(columns), 'column')}" + (
            f": {hint}" if hint else ""
        )
        lines += textwrap.wrap(remark, width, subsequent_indent="  ")
    return "\n".join(lines)


def render_cells(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[tuple[str, ...]]:
    """The texts of a table's cells as :func:`render_table` writes them, with long structs cut."""
    values = [[row[i] for row in rows] for i in range(len(columns))]
    return list(zip(*(_shorten(column, _format_column(column)) for column in values), strict=True))


def render_chart(
    values: Sequence[float | None], *, title: str, height: int = 8, width: int | None = None
) -> str:
    """A line of bar characters that charts a series; gaps stay empty."""
    width = max(20, min(width or terminal_width(), 100) - 12)
    points = _resample(values, width)
    known = [p for p in points if p is not None]
    if not known:
        return f"{title}: no values"
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    levels = [None if p is None else (p - low) / span * height * 8 for p in points]
    lines = [title]
    for row in range(height - 1, -1, -1):
        label = _label(high) if row == height - 1 else _label(low) if row == 0 else ""
        drawn = "".join(
            " " if level is None else _BARS[max(0, min(8, round(level - row * 8)))]
            for level in (None if v is None else max(v, 0.6) for v in levels)
        )
        lines.append(f"{label:>10} │{drawn}".rstrip())
    return "\n".join(lines)


def _label(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def render_size(size_bytes: float) -> str:
    """A number of bytes with its unit.

    Examples
    --------
    >>> render_size(1_536_000)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size_bytes) < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def counted(number: int, noun: str) -> str:
    """A number with its noun in the singular or plural.

    Examples
    --------
    >>> counted(1, "file"), counted(1464, "row"), counted(2, "entry")
    ('1 file', '1,464 rows', '2 entries')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def first_few(names: Sequence[str]) -> str:
    """``a, b, c, d and 3 more``."""
    more = f" and {len(names) - 4:,} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def terminal_width() -> int:
    """Columns of the terminal; 100 if there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def _format_column(values: Sequence[Any]) -> list[str]:
    decimals = max((_decimals(v) for v in values if isinstance(v, float)), default=0)
    timespec = _timespec([v for v in values if isinstance(v, dt.datetime)])
    return [_format(value, decimals, timespec) for value in values]


def _format(value: Any, decimals: int, timespec: str) -> str:
    if value is None:
        return "·"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        if value and (abs(value) >= 1e15 or abs(value) < 10**-_MAX_DECIMALS):
            return f"{value:.3e}"
        return f"{value:,.{decimals}f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec=timespec)
    return _CONTROL.sub(" ", str(value))


def _shorten(values: Sequence[Any], cells: Sequence[str]) -> list[str]:
    """Cut the cells of structs, maps and lists, and count what they lose."""
    return [
        f"{cell[:_MAX_NESTED]}… {len(cell) - _MAX_NESTED:,} more characters"
        if isinstance(value, (dict, list)) and len(cell) > _MAX_NESTED
        else cell
        for value, cell in zip(values, cells, strict=True)
    ]


def _timespec(moments: Sequence[dt.datetime]) -> str:
    """The coarsest of minutes, seconds and microseconds that loses nothing of any moment."""
    if any(moment.microsecond for moment in moments):
        return "microseconds"
    return "seconds" if any(moment.second for moment in moments) else "minutes"


def _decimals(value: float) -> int:
    """Decimals that a float needs to show its ten leading digits, at most six."""
    if not math.isfinite(value) or value == 0 or abs(value) >= 1e15:
        return 0
    text = f"{value:.{_SIGNIFICANT}g}"
    if "e" in text:
        return _MAX_DECIMALS if abs(value) < 1 else 0
    return min(len(text.partition(".")[2]), _MAX_DECIMALS)


def _is_number_column(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known)


def _is_text_column(values: Sequence[Any]) -> bool:
    return any(isinstance(value, (str, dict, list)) for value in values)


def _pad(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        text = text[: width - 1].rstrip("…") + "…"
    return text.rjust(width) if right else text.ljust(width)


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max([len(n), *map(len, c)]) for n, c in zip(columns, cells, strict=True)]


def _shrink(
    columns: Sequence[str], widths: Sequence[int], text: Sequence[bool], limit: int
) -> list[int]:
    """Cut the widest text columns until the table fits or none is wider than the least width.

    Keys are cut only if they do not fit on their own.
    """
    keys = [name in _KEYS for name in columns]
    widths = _cut(widths, [t and not key for t, key in zip(text, keys, strict=True)], limit)
    least = [w for w, key in zip(widths, keys, strict=True) if key]
    return widths if _total(least) + _MARK_WIDTH <= limit else _cut(widths, text, limit)


def _cut(widths: Sequence[int], may_be_cut: Sequence[bool], limit: int) -> list[int]:
    widths = list(widths)
    while _total(widths) > limit:
        texts = [i for i, is_text in enumerate(may_be_cut) if is_text]
        widest = max(texts, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= _MIN_TEXT_WIDTH:
            break
        widths[widest] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _fit(columns: Sequence[str], widths: Sequence[int], limit: int) -> list[int | None]:
    """Indexes of the columns to show; None marks the place of left-out columns."""
    if _total(widths) <= limit:
        return list(range(len(widths)))
    chosen: set[int] = set()
    used = _MARK_WIDTH - 2
    for index in _by_weight(columns):
        used += widths[index] + 2
        if used > limit and chosen:
            break
        chosen.add(index)
    hidden = [i for i in range(len(widths)) if i not in chosen]
    if not hidden:
        return list(range(len(widths)))
    stretches = groupby(enumerate(hidden), lambda placed: placed[1] - placed[0])
    mark = max(([i for _, i in stretch] for _, stretch in stretches), key=len)[0]
    return [None if i == mark else i for i in sorted(chosen | {mark})]


def _by_weight(columns: Sequence[str]) -> list[int]:
    """Indexes of the columns by importance: keys first, then from both ends inwards."""
    names = list(columns)
    keys = [names.index(name) for name in _KEYS if name in names]
    minor = [names.index(name) for name in _MINOR_KEYS if name in names]
    others = [i for i in range(len(names)) if i not in {*keys, *minor}]
    inwards = chain.from_iterable(zip_longest(others, reversed(others)))
    return [*keys, *dict.fromkeys(i for i in inwards if i is not None), *minor]


def _resample(values: Sequence[float | None], width: int) -> list[float | None]:
    """Means of ``width`` equal parts."""
    width = min(width, len(values))
    points: list[float | None] = []
    for i in range(width):
        part = values[i * len(values) // width : (i + 1) * len(values) // width]
        known = [v for v in part if v is not None and math.isfinite(v)]
        points.append(sum(known) / len(known) if known else None)
    return points
