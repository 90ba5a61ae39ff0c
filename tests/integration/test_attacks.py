"""Queries are read-only: attempts to write, or to read beyond the catalog, are refused.

Each is tried through ``Warehouse.sql``, and again on the session without the guard, where the
wrapped form and the engine's locks must suffice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import warehouse
from warehouse.errors import QueryError

CANARY = "canary-7f3a"

WRITING = """
copy flow_features to '{out}/a.csv'
copy (select 1) to '{out}/a.parquet' (format parquet)
copy (select 1) to '{lake}/a.parquet' (format parquet)
COPY (from flow_features limit 1) TO '{lake}/a.csv' WITH (HEADER)
with x as (copy (select 1) to '{lake}/x.csv') select * from x
with x as (copy (select 1) to '{out}/x.csv') select * from x
with x as materialized (copy (select 1) to '{lake}/x.csv') from x
select * from (copy (select 1) to '{lake}/x.csv')
select * from flow_features where time in (copy (select 1) to '{lake}/x.csv')
explain copy (select 1) to '{lake}/x.csv'
explain analyze copy (select 1) to '{lake}/x.csv'
EXPLAIN (ANALYZE) COPY (select 1) TO '{lake}/x.csv'
explain (analyze, format json) copy (select 1) to '{lake}/x.csv'
explain analyze with x as (copy (select 1) to '{lake}/x.csv') select * from x
explain analyze create table t as select 1
explain explain analyze copy (select 1) to '{lake}/x.csv'
explain analyze select 1; copy (select 1) to '{lake}/x.csv'
explain/**/analyze/**/copy (select 1) to '{lake}/x.csv'
/* hidden */ copy (select 1) to '{lake}/x.csv' -- end
-- a comment
copy (select 1) to '{lake}/x.csv'
select 1; copy (select 1) to '{lake}/x.csv'
select 1) ; copy (select 1) to '{lake}/x.csv'; select * from (select 1
select 1) t; create table x as select * from (select 1
select 1; select 2
select 1) union all (select 2
select 1 /* open
export database '{out}'
export database '{lake}' (format parquet)
import database '{out}'
attach '{out}/other.duckdb' as other
attach '{lake}/other.duckdb'
attach if not exists ':memory:' as other
detach warehouse
create table t as select 1
create temp table t as select 1
create or replace view flow_features as select 1
create schema s
create macro m() as 1
create type mood as enum ('a')
create sequence s
create secret (type s3, key_id 'a', secret 'b')
create index i on meta.build (generation)
drop view flow_features
drop table meta.build
alter table meta.build rename to gone
insert into meta.build select * from meta.build
insert into meta.build select * from meta.build returning *
update meta.build set generation = 0
delete from meta.build
truncate meta.build
merge into meta.build using (select 1 as generation) s using (generation) when matched then delete
with x as (insert into meta.build select * from meta.build returning *) select * from x
with x as (delete from meta.build returning *) from x
with x as (update meta.build set generation = 0 returning *) from x
comment on table meta.build is 'gone'
vacuum
checkpoint
force checkpoint
begin transaction
commit
set memory_limit = '1TB'
set global threads = 64
set enable_external_access = true
set allowed_directories = ['/']
set variable lake = '/'
reset memory_limit
pragma enable_profiling
pragma memory_limit = '1TB'
pragma database_list
use memory
install httpfs
load httpfs
load '{out}/evil.duckdb_extension'
force install spatial from 'http://127.0.0.1:9/'
update extensions
call force_checkpoint()
call pragma_version()
prepare p as select 1
execute p
deallocate p
select * from force_checkpoint()
from enable_profiling()
from enable_logging()
from truncate_duckdb_logs()
from write_log('x')
select write_log('{out}')
select nextval('s')
select setseed(0.5)
pivot flow_features on interval using sum(close); copy (select 1) to '{lake}/x.csv'
create type e as enum ('a'); select 1 -- pivot
with p as (pivot flow_features on interval using sum(close)), x as (copy (select 1) to '{lake}/p.csv') from p
"""  # noqa: E501

READING = """
select * from '{secret}'
from '{secret}'
from "{secret}"
table "{secret}"
describe '{secret}'
describe table '{secret}'
summarize '{secret}'
show '{secret}'
explain select * from '{secret}'
explain analyze select * from '{secret}'
select * from read_csv('{secret}')
select * from read_csv_auto('{secret}')
from read_text('{secret}')
from read_text(['{secret}'])
from read_blob('{secret}')
from read_json('{secret}')
from read_json_objects('{secret}')
from read_ndjson('{secret}')
from read_parquet('{secret}')
from parquet_scan('{secret}')
from parquet_metadata('{secret}')
from parquet_schema('{secret}')
from parquet_kv_metadata('{secret}')
from read_parquet('{lake}/*.parquet')
from read_text('{lake}/../manifest.sqlite')
from read_text('{lake}/../warehouse.toml')
from sniff_csv('{secret}')
from glob('/etc/*')
from glob('{lake}/*')
from 'http://127.0.0.1:9/x.parquet'
from read_csv('https://127.0.0.1:9/x.csv')
from 's3://bucket/x.parquet'
select * from query('from read_text(''{secret}'')')
from query_table('{secret}')
from query_table(['{secret}'])
select (select content from read_text('{secret}'))
select * from flow_features where exists (from read_text('{secret}'))
with t as (from read_text('{secret}')) from t
with recursive t as (select 1 as i union all select i + 1 from t, read_text('{secret}')) from t
from (values (1)) v(x), lateral (from read_text('{secret}')) r
select 1 union all select length(content) from read_text('{secret}')
from flow_features semi join read_csv('{secret}') on true
pivot (from read_text('{secret}')) on filename using count(*)
pivot read_csv('{secret}') on column0 using count(*)
pivot '{secret}' on column0 using count(*)
unpivot (from read_text('{secret}')) on columns(*)
FROM ReAd_TeXt('{secret}')
from/**/read_text/**/('{secret}')
from main.read_text('{secret}')
from system.main.read_text('{secret}')
from "read_text"('{secret}')
select read_text('{secret}')
select getenv('HOME')
select getenv('APERIODIC_API_KEY')
from json_execute_serialized_sql(json_serialize_sql('from read_text(''{secret}'')'))
pragma json_execute_serialized_sql('x')
from duckdb_settings()
from duckdb_secrets()
from duckdb_logs()
from which_secret('s3://x', 's3')
from python_scan('x')
from pandas_scan(1)
from arrow_scan(1, 2, 3)
from sqlite_scan('{lake}/../manifest.sqlite', 'files')
from seq_scan('x')
select 1 from{nul} flow_features
"""

TEXTS = [
    *(("writes", text) for text in WRITING.replace("comment\ncopy", "comment\\ncopy").split("\n")),
    *(("reads", text) for text in READING.split("\n")),
]
ATTACKS = [(kind, text.replace("\\n", "\n")) for kind, text in TEXTS if text.strip()]

ALLOWED = [
    "select 1",
    "select 1;",
    "select 1; -- the end",
    "from flow_features limit 1",
    "table meta.build",
    "values (1, 'a'), (2, 'b')",
    "with a as (select 1 as x) from a",
    "with recursive a as (select 1 as i union all select i + 1 from a where i < 3) from a",
    "(select 1) union (select 2)",
    "select * from flow_features where interval = '1h' qualify row_number() over () = 1",
    "pivot (from flow_features where interval = '1h') on symbol using avg(close)",
    "with p as (pivot meta.files on interval using count(*)) from p",
    "select * from (pivot meta.files on interval in ('1h', '5m') using count(*))",
    "unpivot (select 1 as a, 2 as b) on a, b",
    "select a.time from flow_features a asof join l1_features b using (series_id, time) limit 1",
    "describe flow_features",
    "describe select 1 as x",
    "summarize (from flow_features limit 10)",
    "show tables",
    "show all tables",
    "explain from flow_features",
    "explain analyze select count(*) from flow_features",
    "explain (format json) select 1",
    "-- first\nfrom help()",
    "from range(3)",
    "select ';' || $$;$$",
    "select unnest([1, 2])",
    "from duckdb_columns() limit 1",
    "select 'copy x to y; drop table t' as text -- copy",
    'select "close" from flow_features limit 1',
    "select list_transform([1, 2], lambda x: x + 1)",
    "select 'https://example.com/a.csv' as text",
    "from flow_features a positional join l1_features b select a.close limit 1",
    "select columns('close|time') from flow_features limit 1",
    "select columns(*)::varchar from meta.build",
    "select * exclude (close) replace (symbol as exchange) from flow_features limit 1",
    "select f.* from flow_features f join l1_features b on f.series_id = b.series_id limit 1",
    "select * rename (close as last) from flow_features limit 1",
    "from flow_features semi join l1_features using (series_id, time) limit 1",
    "select symbol, grouping(symbol), count(*) from flow_features group by rollup (symbol)",
    "select close from flow_features tablesample 1% limit 1",
    "from (describe flow_features)",
    "from (values (1, 2)) t(a, b), lateral (select a + b as c)",
    "select {'a': close}.a, [close][1], close between 1 and 2 from flow_features limit 1",
    "select * from flow_features where (symbol, interval) in (('a', 'b'))",
    "select * from flow_features where time in (select max(time) from flow_features)",
    "select max(time) from flow_features where time >= current_date - interval 1 day",
    "select count(*) from flow_features where series_id in (1, null)",
    "select 1 union all by name select 2 as b",
    "with a(x) as (select close from flow_features) select x from a limit 1",
    "select close as x, x + 1 as y from flow_features where x > 0 limit 1",
    "from unnest([1, 2]) as t(a)",
    "select unnest({'a': 1, 'b': 2})",
    "select first(close order by time) over () from flow_features limit 1",
    "select distinct on (symbol) symbol, close from flow_features order by symbol, time",
]


@pytest.fixture(scope="module")
def wh(demo_home: Path) -> Iterator[warehouse.Warehouse]:
    with warehouse.open(demo_home) as opened:
        yield opened


@pytest.fixture(scope="module")
def ground(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Targets of attacks: a folder outside with a secret, the lake's own objects."""
    out = tmp_path_factory.mktemp("outside")
    (out / "secret.csv").write_text(f"a,b\n{CANARY},1\n")
    (out / "evil.duckdb_extension").write_bytes(b"")
    places = {"out": out, "secret": out / "secret.csv", "lake": demo_home / "objects"}
    return {**{name: str(path) for name, path in places.items()}, "nul": "\x00"}


def listing(*folders: str | Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time of change, except DuckDB's spill files."""
    found = (path for folder in folders for path in Path(folder).rglob("*") if path.is_file())
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in found if p.suffix != ".tmp"}


def test_attacks_when_counted_then_are_at_least_sixty() -> None:
    assert len(ATTACKS) >= 60
    assert len({text for _, text in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize(("kind", "text"), ATTACKS, ids=[text[:60] for _, text in ATTACKS])
def test_attack_when_tried_then_is_refused_and_leaves_no_trace(
    wh: warehouse.Warehouse, ground: dict[str, str], kind: str, text: str
) -> None:
    before = listing(ground["out"], wh.settings.home / "objects")
    with pytest.raises(QueryError) as caught:
        wh.sql(text.format(**ground)).fetchall()
    assert CANARY not in str(caught.value)
    assert listing(ground["out"], wh.settings.home / "objects") == before


def test_attacks_when_past_the_guard_then_form_and_locks_hold_alone(
    wh: warehouse.Warehouse, ground: dict[str, str]
) -> None:
    """All except those that close the bracket around them, which only the guard can stop."""
    before = listing(ground["out"], wh.settings.home / "objects")
    connection = wh.connection()
    for _, text in ATTACKS:
        if text.startswith("select 1)"):
            continue
        try:
            wrapped = f"select * from (\n{text.format(**ground)}\n)"
            told = str(connection.execute(wrapped).fetchall())
        except (duckdb.Error, ValueError, RuntimeError) as error:
            told = str(error)
        assert CANARY not in told, text
        assert listing(ground["out"], wh.settings.home / "objects") == before, text
    assert wh.sql("select count(*) from meta.build").fetchall() == [(1,)]


@pytest.mark.parametrize("text", ALLOWED)
def test_query_when_it_only_reads_then_runs_and_shows_all_about_itself(
    wh: warehouse.Warehouse, text: str
) -> None:
    result = wh.sql(text)
    assert result.arrow().num_columns == len(result.columns) > 0
    assert len(result.trace().columns) == len(result.columns)
    assert "<table" in result._repr_html_()
    assert isinstance(result.warnings, tuple)
    assert result.receipt.rows == len(result) or "sample" in text or "analyze" in text
