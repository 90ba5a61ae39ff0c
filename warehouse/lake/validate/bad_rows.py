"""Rows that contradict the name of a file, and the file without them.

A bad row has no time, a time outside the file's period or off the bar grid, or is a second row for
one bar. ``find_bad_rows`` lists them; ``write_salvaged`` writes the other rows, with the list in
the metadata of the new file, so that the facts of a lake file always come from its own bytes.
"""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.display import counted
from warehouse.errors import FileRefusedError
from warehouse.files import SHA256
from warehouse.lake.manifest.records import BadRow
from warehouse.times import SECOND_US
from warehouse.vendor import FileKey, interval_us, time_columns

# Key of a parquet file's metadata: the sha256 of the vendor's file and the rows left out of it.
SALVAGED = b"warehouse.salvaged"

MOST_BAD_ROWS = 1_000
_NAMED = 3
# Time zones are up to 14 hours from UTC, in steps of a quarter of an hour.
_HOUR_US = 3600 * SECOND_US
_FURTHEST_US, _NEAREST_US = 14 * _HOUR_US, _HOUR_US // 4
_LONGEST_REASON = 200


class BadRowsError(FileRefusedError):
    """A file is refused because of some of its rows, ``rows``.

    ``shifted`` is how all its times seem to be shifted; empty if they do not.
    """

    def __init__(self, rows: list[BadRow], total: int, shifted: str = "") -> None:
        super().__init__("; ".join([_described(rows, total), *[shifted] * bool(shifted)]))
        self.rows = rows
        self.total = total
        self.shifted = shifted

    @property
    def can_be_salvaged(self) -> bool:
        """Whether so few rows are bad that the file probably is what its name claims."""
        is_few = len(self.rows) <= MOST_BAD_ROWS and 2 * len(self.rows) < self.total
        return is_few and not self.shifted


def find_bad_rows(
    times: np.ndarray, is_null: np.ndarray, key: FileKey, *, is_finer: np.ndarray
) -> list[BadRow]:
    """Every bad row in the order of the file.

    ``times`` are microseconds since the epoch; ``is_finer`` are starts of bars that were truncated
    to a microsecond.
    """
    start, end = key.period.start_us, key.period.end_us
    reasons = np.full(len(times), "", dtype=object)
    if not key.is_raw:
        bar = interval_us(key.series.interval or "")
        order = np.argsort(times, kind="stable")
        order = order[~(is_null | is_finer)[order]]
        is_same = np.diff(times[order]) == 0
        twice = np.concatenate((order[1:][is_same], order[:-1][is_same]))
        reasons[twice] = "bar with more than one row"
        reasons[times % bar != 0] = f"time not a multiple of {key.series.interval}"
    reasons[is_finer] = "time finer than a microsecond"
    reasons[(times < start) | (times >= end)] = f"time outside {key.period.text}"
    reasons[is_null] = f"NULL in {' or '.join(time_columns(key.dataset))}"
    return [
        BadRow(number, None if is_null[number] else int(times[number]), reasons[number])
        for number in np.flatnonzero(reasons.astype(bool)).tolist()
    ]


def find_shift(times: np.ndarray, key: FileKey) -> str:
    """How all times of a file seem to be shifted, for the user; empty if nothing shows it.

    Its rows then overrun one end of its period by no more than time zones differ, or by one bar,
    and as much or more is missing at the other end, or an hour less if the clocks went forward
    between. ``times`` are those that are not NULL.
    """
    start, end = key.period.start_us, key.period.end_us
    bar = 0 if key.is_raw else interval_us(key.series.interval or "")
    near = times[(times >= start - _FURTHEST_US) & (times < end + _FURTHEST_US)]
    if not len(near):
        return ""
    before, after = start - int(near.min()), int(near.max()) + bar - end
    overrun, lacking = max(before, after), -min(before, after)
    if overrun <= 0:
        return ""
    # Some rows beyond the period far away from the others are bad rows.
    beyond = int(np.count_nonzero((near < start) | (near >= end)))
    is_dense = bar == 0 or 2 * beyond * bar >= overrun
    is_long = overrun >= max(2 * bar, _NEAREST_US)
    # Missing ticks are no sign of a shift by little, but bars leave a gap of the same length.
    is_moved = lacking >= overrun if is_long else bar > 0 and lacking == overrun
    clocks_changed = (
        bar > 0
        and is_long
        and overrun - lacking == _HOUR_US
        and int(np.diff(np.sort(near)).max(initial=0)) - bar >= _HOUR_US
    )
    if not (is_dense and (is_moved or clocks_changed)):
        return ""
    edge, other, way = ("end", "start", "late") if after > before else ("start", "end", "early")
    where = f"at its {other}" + (" and inside it" if clocks_changed else "")
    cause = "in another time zone"
    if overrun == bar and after > before:
        cause += ", or the ends of the bars"
    return (
        f"they extend beyond the {edge} of {key.period.text} by {timedelta(microseconds=overrun)},"
        f" and as much or more is missing {where}, so all times seem too {way}: are they"
        f" {cause}? Correct all of them (the starts of bars, in UTC) rather than these rows"
    )


def write_salvaged(source: Path, target: Path, original: str, bad: BadRowsError) -> None:
    """Write the good rows of ``source``, whose sha256 is ``original``, to ``target``.

    If rows for one bar are equal in every column, the first is kept.
    """
    with pq.ParquetFile(source) as file:
        table = file.read()
    left_out = _without_first_of_equals(table, bad.rows)
    rows = [(row.number, row.time_us, row.reason) for row in left_out]
    facts = json.dumps({"original": original, "rows": rows})
    kept = pa.concat_tables(_between(table, [row.number for row in left_out]))
    pq.write_table(
        kept.replace_schema_metadata({**(table.schema.metadata or {}), SALVAGED: facts.encode()}),
        target,
    )


def left_out_of(metadata: dict[bytes, bytes] | None) -> tuple[str | None, tuple[BadRow, ...]]:
    """The vendor's file and its bad rows, from the metadata of a salvaged file."""
    try:
        facts = json.loads((metadata or {}).get(SALVAGED, b"null"))
        if facts is None:
            return None, ()
        rows = tuple(BadRow(int(n), None if t is None else int(t), str(why)[:_LONGEST_REASON])
                     for n, t, why in facts["rows"][:MOST_BAD_ROWS])  # fmt: skip
        if not (SHA256.fullmatch(facts["original"]) and all(map(_is_plain, rows))):
            raise ValueError("not a list that salvaging writes")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FileRefusedError(f"its list of salvaged rows cannot be read ({error})") from error
    return facts["original"], rows


def _is_plain(row: BadRow) -> bool:
    """Whether the numbers of a row fit into a table of the catalog."""
    return 0 <= row.number < 1 << 63 and abs(row.time_us or 0) < 1 << 63


def _described(rows: list[BadRow], total: int) -> str:
    """The reasons, each with the number of rows and the first of them."""
    by_reason: dict[str, list[BadRow]] = {}
    for row in rows:
        by_reason.setdefault(row.reason, []).append(row)
    parts = []
    for reason, group in by_reason.items():
        named = ", ".join(map(str, group[:_NAMED]))
        more = f" and {len(group) - _NAMED:,} more" if len(group) > _NAMED else ""
        parts.append(f"{len(group):,} of {counted(total, 'row')}: {reason}: {named}{more}")
    return "; ".join(parts)


def _without_first_of_equals(table: pa.Table, rows: list[BadRow]) -> list[BadRow]:
    """The rows to leave out, without the first row of each bar whose rows are all equal."""
    by_time: dict[int | None, list[BadRow]] = {}
    for row in rows:
        if row.reason == "bar with more than one row":
            by_time.setdefault(row.time_us, []).append(row)
    kept = set()
    for first, *others in by_time.values():
        if all(_are_equal(table, first.number, other.number) for other in others):
            kept.add(first.number)
    return [
        BadRow(row.number, row.time_us, "it repeats another row of its bar")
        if row.time_us in by_time and by_time[row.time_us][0].number in kept
        else row
        for row in rows
        if row.number not in kept
    ]


def _are_equal(table: pa.Table, left: int, right: int) -> bool:
    """Whether two rows are equal in every column; NaN equals NaN."""
    pairs = ((column[left], column[right]) for column in table.columns)
    return all(one.equals(other) or (_is_nan(one) and _is_nan(other)) for one, other in pairs)


def _is_nan(value: pa.Scalar) -> bool:
    return bool(pa.types.is_floating(value.type) and value.is_valid and np.isnan(value.as_py()))


def _between(table: pa.Table, numbers: list[int]) -> list[pa.Table]:
    """The ranges of rows between these, which are in order; every type can be sliced."""
    edges = [-1, *numbers, len(table)]
    return [table.slice(left + 1, right - left - 1) for left, right in pairwise(edges)]
