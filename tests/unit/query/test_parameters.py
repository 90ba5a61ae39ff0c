"""Values for named parameters; the kinds of values are tested through ``wh.sql``."""

from __future__ import annotations

import datetime as dt

import pytest

from warehouse.errors import QueryError
from warehouse.query.sql_text.parameters import require_names
from warehouse.sql import bound


def test_names_when_they_fit_then_nothing_is_said() -> None:
    require_names(frozenset("ab"), {"a": 1, "b": None})
    require_names(frozenset("a"), {"a": 1}, optional=frozenset("b"))


def test_names_when_they_do_not_fit_then_all_accepted_ones_are_listed_with_types() -> None:
    with pytest.raises(QueryError) as caught:
        require_names(
            frozenset({"symbol"}),
            {"symbl": 1},
            lambda: {"symbol": "VARCHAR"},
            optional=frozenset({"start"}),
        )
    assert caught.value.what == (
        "parameters: missing symbol, unknown symbl;"
        " the query accepts $start, $symbol VARCHAR; did you mean symbol?"
    )


def test_bound_when_an_arrow_scalar_has_a_zone_then_is_naive_utc() -> None:
    import pyarrow as pa

    moment = dt.datetime(2026, 2, 28, 12, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
    expected = dt.datetime(2026, 2, 28, 17)  # noqa: DTZ001
    for unit in ("us", "ns"):
        scalar = pa.scalar(moment, pa.timestamp(unit, tz="America/New_York"))
        assert bound(scalar) == expected
