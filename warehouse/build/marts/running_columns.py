"""Running columns of stored marts: sums from the first bar of a series (``meta.accumulates``).

A stored month holds their sums from its own first bar on, so that no month depends on the one
before. ``meta.running`` contains the sum of each series before each month, and the mart's view
adds that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain

import duckdb

from warehouse.build.marts.views import Name
from warehouse.sql import identifier, literal


def sums_within(sql: str, columns: Sequence[str], since: str, until: str) -> str:
    """The rows of a query between two SQL timestamps, with running columns that begin at the first.

    The query's sum before that is subtracted.
    """
    names = [identifier(column) for column in columns]
    within = ", ".join(f"whole.{name} - coalesce(earlier.{name}, 0) as {name}" for name in names)
    last = ", ".join(f'arg_max({name}, "time") as {name}' for name in names)
    return f"""with whole as materialized ({sql})
select whole.* replace ({within})
from whole
left join (
    select series_id, {last} from whole where "time" < {since} group by series_id
) as earlier on whole.series_id = earlier.series_id
where whole."time" >= {since} and whole."time" < {until}"""


def write_running(
    connection: duckdb.DuckDBPyConnection, model: str, columns: Sequence[str], rows: str
) -> None:
    """Fill ``meta.running`` for a mart whose stored months are read by ``from <rows>``."""
    if not columns:
        return
    first, months, series = connection.execute(
        "select date_trunc('month', min(\"time\"))::date,"
        ' datediff(\'month\', min("time"), max("time")) + 1, max(series_id)'
        f" from {rows}"
    ).fetchall()[0]
    for column in columns if series is not None else ():
        sums = connection.execute(
            f"select series_id, datediff('month', ?, \"time\") as month,"
            f' arg_max({identifier(column)}, "time") from {rows} group by all',
            [first],
        ).fetchall()
        added = {(number, month): value or 0.0 for number, month, value in sums}
        before = chain.from_iterable(
            accumulate((added.get((number, m), 0.0) for m in range(months - 1)), initial=0.0)
            for number in range(1, series + 1)
        )
        connection.execute(
            "insert into meta.running values (?, ?, ?, ?, ?)",
            [model, column, first, months, list(before)],
        )


def continued(
    connection: duckdb.DuckDBPyConnection, sources: Mapping[Name, str]
) -> dict[Name, str]:
    """The sources of marts, with running columns that continue from month to month."""
    added: dict[str, list[str]] = {}
    for model, column, first, months in connection.execute(
        'select model, "column", first_month, months from warehouse.meta.running order by all'
    ).fetchall():
        before = (
            f"(select before from meta.running where model = {literal(model)}"
            f' and "column" = {literal(column)})'
        )
        place = f"(series_id - 1) * {months} + datediff('month', date '{first}', \"time\") + 1"
        name = identifier(column)
        added.setdefault(model, []).append(f"{name} + {before}[{place}] as {name}")
    return {
        (schema, model): f"(select * replace ({', '.join(added[model])}) from {source})"
        if model in added
        else source
        for (schema, model), source in sources.items()
    }
