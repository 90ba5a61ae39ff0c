"""Values of the catalog as JSON that a browser reads without loss, and names as SQL shows them."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

from warehouse.sql import Relation, identifier

_EXACT = 2**53
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
# Words that DuckDB reserves and that a column might be called.
_RESERVED = {
    "all", "and", "any", "array", "as", "asc", "both", "case", "cast", "check", "collate",
    "column", "constraint", "create", "default", "desc", "describe", "distinct", "do", "else",
    "end", "except", "false", "fetch", "for", "foreign", "from", "group", "having", "in",
    "initially", "intersect", "into", "lambda", "lateral", "leading", "limit", "not", "null",
    "offset", "on", "only", "or", "order", "pivot", "placing", "primary", "qualify",
    "references", "returning", "select", "show", "some", "summarize", "symmetric", "table",
    "then", "to", "trailing", "true", "union", "unique", "unpivot", "using", "variadic",
    "when", "where", "window", "with",
}  # fmt: skip


def shown(name: str) -> str:
    """A name as in SQL, quoted only if necessary.

    Examples
    --------
    >>> shown("close"), shown("order"), shown("a b")
    ('close', '"order"', '"a b"')
    """
    return name if _PLAIN.fullmatch(name) and name not in _RESERVED else identifier(name)


def shown_table(relation: Relation) -> str:
    """The name of a table in queries."""
    if relation.schema == "main":
        return shown(relation.name)
    return f"{shown(relation.schema)}.{shown(relation.name)}"


def plain(value: Any) -> Any:
    """A value as JSON; values without a JSON form become text.

    Examples
    --------
    >>> plain(float("inf")), plain(2**60), plain(dt.datetime(2026, 1, 1, 12))
    ('inf', '1152921504606846976', '2026-01-01 12:00:00')
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) < _EXACT else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, Decimal):
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    return list(map(plain, value)) if isinstance(value, (list, tuple)) else str(value)
