"""Moments as text: DuckDB drops the UTC offset when it casts text to TIMESTAMP."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from warehouse.analysis import Tree, nodes, texts_in

_MOMENT = re.compile(
    r"\s*\d{4}-\d{1,2}-\d{1,2}[T ]+\d{1,2}(:\d{2}){0,2}([.,]\d+)?"
    r"\s*([+-]\d{1,2}(:?\d{2}){0,2}|Z)\s*",
    re.IGNORECASE,
)
_ZERO = re.compile(r"(Z|[+-]0{1,2}(:?00){0,2})\s*$", re.IGNORECASE)


def has_offset(text: str) -> bool:
    """Whether a string is a moment with an offset from UTC, including Z.

    Examples
    --------
    >>> has_offset("2026-02-28T12:00:00-05:00"), has_offset("2026-02-28 12:00"), has_offset("1-2")
    (True, False, False)
    """
    return bool(_MOMENT.fullmatch(text))


def naive_utc(text: str) -> dt.datetime:
    """The moment in a string with an offset, as naive UTC like the catalog's columns.

    Raises
    ------
    ValueError
        The text is not a moment in ISO 8601.

    Examples
    --------
    >>> naive_utc("2026-02-28T12:00:00-05:00").isoformat()
    '2026-02-28T17:00:00'
    """
    moment = dt.datetime.fromisoformat(text.strip())
    return moment.astimezone(dt.UTC).replace(tzinfo=None)


def lost_offsets(tree: Tree) -> Iterator[str]:
    """Text constants in a query whose UTC offset DuckDB would drop."""
    for node in nodes(tree):
        for part in _read_as_timestamp(node):
            for text in texts_in(part) if part.get("class") == "CONSTANT" else ():
                if has_offset(text) and not _ZERO.search(text):
                    yield text


def _read_as_timestamp(node: Tree) -> list[Tree]:
    """Operands that are compared, or cast to a type without time zone."""
    kind = str(node.get("type", ""))
    if kind.startswith("COMPARE_") or node.get("class") in ("COMPARISON", "BETWEEN"):
        sides = [node[key] for key in ("left", "right", "input", "lower", "upper") if key in node]
        return [*sides, *(node.get("children") or [])]
    if node.get("class") == "CAST" and _drops_offset(node):
        return [node["child"]]
    return []


def _drops_offset(cast: Tree) -> bool:
    kind = cast.get("type_expr", {}).get("type_name") or cast.get("cast_type", {}).get("id") or ""
    name = str(kind).upper()
    is_moment = name.startswith(("TIMESTAMP", "DATE"))
    return is_moment and "TZ" not in name and "WITH TIME ZONE" not in name and name[-3:] != "_NS"
