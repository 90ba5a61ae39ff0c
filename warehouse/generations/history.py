"""Find a generation by its number, by the name of a snapshot, or by a moment.

Publications and rollbacks are a sequence; each is recorded with the time of this machine's clock.
``as_of`` means the last one in that sequence whose time is not after the moment. So if a clock was
set back, later publications take precedence over earlier ones with later times.

If nothing was recorded, as in a home of an earlier version, the time of the build is used. If the
generation that was current at a moment is no longer kept, no other is used instead.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from warehouse.errors import REPAIR, DamagedError, NotFoundError, UsageError
from warehouse.generations.publish import (
    current_generation,
    generations,
    publications,
    read_catalog,
    require_catalog,
)
from warehouse.home import Home, generation_path
from warehouse.sql import bound

SNAPSHOT_MARK = ".snapshot"

# A date is the start of that UTC day, a naive datetime UTC; texts are ISO 8601.
Moment = dt.datetime | dt.date | str


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation on disk; times are naive UTC, ``snapshots`` are its names.

    ``published_at`` is the last time it became current.
    """

    number: int
    built_at: dt.datetime
    published_at: dt.datetime
    is_current: bool
    snapshots: tuple[str, ...]


def list_generations(home: Home) -> list[Generation]:
    """All kept generations, the oldest first.

    Raises
    ------
    NotFoundError
        Nothing was published yet.
    DamagedError
        A kept generation cannot be read.
    """
    current = current_generation(home)
    noted = {note.generation: note.at for note in publications(home)}
    found = []
    for number in generations(home):
        built_at = _built_at(home, number)
        published_at = noted.get(number, built_at)
        is_current = number == current
        names = snapshots_of(home, number)
        found.append(Generation(number, built_at, published_at, is_current, names))
    return found


def snapshots_of(home: Home, generation: int) -> tuple[str, ...]:
    """Names of a generation, which are stored as empty files beside its catalog."""
    folder = generation_path(home, generation).parent
    marks = folder.glob(f"*{SNAPSHOT_MARK}")
    return tuple(sorted(path.name.removesuffix(SNAPSHOT_MARK) for path in marks))


def find_generation(
    home: Home,
    *,
    generation: int | None = None,
    as_of: Moment | None = None,
    snapshot: str | None = None,
) -> int:
    """The kept generation of that number, of that moment (included), or of that name."""
    if sum(given is not None for given in (generation, as_of, snapshot)) != 1:
        raise UsageError(
            "more than one generation is given",
            next_step="give only one of: generation, as_of, snapshot",
            in_shell="give only one of: --generation, --as-of, --snapshot",
        )
    kept = generations(home)
    if not kept:
        require_catalog(home)
    if snapshot is not None:
        return _named(home, snapshot, kept)
    if as_of is not None:
        return _published_by(home, _moment(as_of), kept)
    if generation not in kept:
        raise NotFoundError(f"no generation {generation} is kept", next_step=_listed(home))
    return generation


def _named(home: Home, snapshot: str, kept: list[int]) -> int:
    for number in kept:
        if snapshot in snapshots_of(home, number):
            return number
    names = ", ".join(name for number in kept for name in snapshots_of(home, number)) or "none"
    raise NotFoundError(f"no snapshot {snapshot!r}", next_step=f"snapshots: {names}")


def _published_by(home: Home, moment: dt.datetime, kept: list[int]) -> int:
    earlier = [one for one in _sequence(home, kept) if one[0] <= moment]
    if not earlier:
        raise NotFoundError(
            f"nothing was published at {moment} UTC or before", next_step=_listed(home)
        )
    at, number = earlier[-1]
    if number not in kept:
        raise NotFoundError(
            f"the catalog of {moment} UTC was generation {number}, published {at:%F %T} UTC;"
            " it is no longer kept",
            next_step=_listed(home),
        )
    return number


def _sequence(home: Home, kept: list[int]) -> list[tuple[dt.datetime, int]]:
    """Publications in order; unrecorded ones have the time of their build."""
    sequence = [(note.at, note.generation) for note in publications(home)]
    noted = {number for _, number in sequence}
    current = current_generation(home) if home.catalog.is_file() else None
    for number in kept:
        if number not in noted:
            built_at = _built_at(home, number)
            later = (i for i, (at, other) in enumerate(sequence) if other > number or at > built_at)
            place = next(later, len(sequence))
            if number == current:
                place = len(sequence)  # the process was killed before it could record it
            sequence.insert(place, (built_at, number))
    return sequence


def _listed(home: Home) -> str:
    """The kept generations, for a message."""
    try:
        kept = list_generations(home)
    except (DamagedError, NotFoundError):
        return "list kept generations with: warehouse snapshot"
    lines = [
        f"{g.number}{''.join(f' ({name})' for name in g.snapshots)} of {g.published_at:%F %T} UTC"
        for g in kept
    ]
    return f"kept generations: {', '.join(lines) or 'none'}"


def _moment(value: Moment) -> dt.datetime:
    """A moment as naive UTC.

    Examples
    --------
    >>> _moment("2026-01-01T02:00+02:00"), _moment(dt.date(2026, 1, 1))
    (datetime.datetime(2026, 1, 1, 0, 0), datetime.datetime(2026, 1, 1, 0, 0))
    """
    try:
        moment = bound(dt.datetime.fromisoformat(value) if isinstance(value, str) else value)
        if not isinstance(moment, dt.date):
            raise ValueError
    except ValueError as error:
        raise UsageError(
            f"as of {value!r}: not a date or time",
            next_step="write it as 2026-01-31 or 2026-01-31T12:00, or give a date or datetime",
        ) from error
    if isinstance(moment, dt.datetime):
        return moment
    return dt.datetime.combine(moment, dt.time())


def _built_at(home: Home, number: int) -> dt.datetime:
    catalog = generation_path(home, number)
    (rows,) = read_catalog(home, catalog, "select built_at from warehouse.meta.build")
    if len(rows) != 1 or not isinstance(rows[0][0], dt.datetime):
        raise DamagedError(
            f"{catalog}: has no build time",
            next_step=REPAIR,
        )
    return rows[0][0]
