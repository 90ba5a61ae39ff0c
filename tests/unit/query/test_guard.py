"""Which SQL may run: its wrapped form, its parameters, and the messages for the rest.

The table of attacks is in ``tests/integration/test_attacks.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.errors import QueryError
from warehouse.query.sql_text.guard import check, parameters_of


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("select 1", "select 1"),
        ("  select 1 ;; \n", "select 1"),
        ("select 1; -- a; b", "select 1"),
        ("select 1; /* ; */ -- c", "select 1"),
        ("select 'a; -- b'", "select 'a; -- b'"),
        ("select ';' as a -- ; b", "select ';' as a -- ; b"),
        ("select 1 -- (", "select 1 -- ("),
    ],
)
def test_check_when_a_query_ends_oddly_then_its_meaning_stays(
    connection: duckdb.DuckDBPyConnection, text: str, bare: str
) -> None:
    statement = check(text, connection)
    assert statement.bare == bare
    expected = connection.execute(text).fetchall()
    assert connection.execute(statement.text).fetchall() == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        (" ; ", "empty"),
        ("-- nothing", "empty"),
        ("select 1; select 2", "has 2"),
        ("selec 1", "selec"),
        ("drop table t", "DROP"),
        ("update extensions", "is not allowed"),
        ("from read_csv('a')", "read_csv()"),
        ("from ticks_flow('1h')", "ticks_flow(): this home has no ticks"),
        ("from 'a.parquet'", "a.parquet"),
        ("select 1\x00", "NUL"),
        ("select ?", "by name"),
        ("select $1", "by name"),
        ("select " + "(" * 20_000 + "1" + ")" * 20_000, ""),
    ],
)
def test_check_when_it_is_not_a_query_then_names_the_obstacle(
    connection: duckdb.DuckDBPyConnection, text: str, word: str
) -> None:
    with pytest.raises(QueryError) as caught:
        check(text, connection)
    assert word in caught.value.what


def test_check_when_a_table_macro_is_the_catalogs_then_passes(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert check("from mine(1)", connection, lambda name: name == "mine").tree is not None
    with pytest.raises(QueryError, match=r"mine\(\)"):
        check("from mine(1)", connection)


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("explain select 1", "explain select * from (\nselect 1\n)"),
        ("EXPLAIN ANALYZE select 1", "explain analyze select * from (\nselect 1\n)"),
        (
            "explain (analyze, format json) select 1",
            "explain (analyze, format json) select * from (\nselect 1\n)",
        ),
        ("/* a */ explain -- b\n(select 1)", "explain select * from (\n(select 1)\n)"),
    ],
)
def test_check_when_explaining_then_the_explained_is_wrapped(
    connection: duckdb.DuckDBPyConnection, text: str, runs: str
) -> None:
    statement = check(text, connection)
    assert statement.explains
    assert statement.text.replace("-- b\n", "") == runs
    assert connection.execute(statement.text).fetchall()


@pytest.mark.parametrize(
    ("text", "ordered"),
    [
        ("select 1 as a order by a", True),
        ("select * from (select 1 as a order by a)", False),
        ("select 1", False),
        ("from range(3) order by all", True),
        ("select 1 as a union select 2 order by a", True),
    ],
)
def test_statement_when_asked_for_its_order_then_only_the_outermost_counts(
    connection: duckdb.DuckDBPyConnection, text: str, ordered: bool
) -> None:
    assert check(text, connection).is_ordered is ordered


def test_parameters_when_in_texts_and_comments_then_are_not_counted() -> None:
    assert parameters_of("select $a, '$b', \"$c\" -- $d") == {"a"}


@pytest.mark.parametrize(
    "text",
    [
        "select $a, '$b', \"$c\" /* $d */",
        "select $b, $a, $B, $A from range($n) limit $most offset $A",
        "with x as (values ($v)) select case when v = $w then [$z] end from x as t(v)"
        " where v in ($v, $u) group by grouping sets ((v), ($b)) having count(*) > $h order by $o",
        "select sum($x) over (order by 1 rows $n preceding)",
        "from range(3) select * replace ($r as range)",
    ],
)
def test_parameters_when_taken_from_the_tree_are_those_of_the_engine(
    connection: duckdb.DuckDBPyConnection, text: str
) -> None:
    assert check(text, connection).parameters == parameters_of(text) != frozenset()


@given(st.text(max_size=40))
def test_check_when_given_anything_then_passes_or_refuses(text: str) -> None:
    with duckdb.connect() as connection:
        try:
            statement = check(text, connection)
        except QueryError:
            return
        assert statement.bare in text
