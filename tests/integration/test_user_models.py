"""The user's own models: those that fail are named by file and line, and stop no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest

import warehouse
from tests.support import Run, bar_table, copy_home, file_key, run_warehouse, write_file
from warehouse.build.meta.inputs import fingerprint
from warehouse.config import Settings
from warehouse.errors import QueryError
from warehouse.home import Home
from warehouse.project import NeedsDbt, build_rendered_models, built_project, shipped_or_kept

MODELS = {
    "good.sql": """
select series_id, symbol, "interval", "time", known_at, {{ twice('spread_bps') }} as twice_bps
from {{ ref('l1_features') }}
""",
    "hostile.sql": """-- Mr. O'Brien's "spread": 50%} of it {% is {{ nothing }} </script>
-- twice_bps: Twice the {# spread. [bps]
{{ config(alias='spreads') }}
select series_id, "time", known_at, spread_bps, 2 * spread_bps as twice_bps
from {{ ref('l1_features') }}
""",
    "kept.sql": """
-- Spread of the next bar.
{{ config(materialized='table') }}
select series_id, "interval", "time", known_at, lead(spread_bps) over w as next_spread
from {{ ref('l1_features') }} window w as (partition by series_id order by "time")
""",
    "growing.sql": """
{{ config(materialized='incremental', unique_key=['series_id', 'time']) }}
select series_id, "time", known_at, spread_bps as s from {{ ref('l1_features') }}
{% if is_incremental() %} where "time" > (select max("time") from {{ this }}) {% endif %}
""",
    "no_ref.sql": "select *\nfrom {{ ref('flow_featurez') }}\n",
    "no_jinja.sql": "select a,\n  {{ rolling_zscore('a', }}\nfrom {{ ref('l1_features') }}\n",
    "deeper/no_column.sql": "select series_id,\n  x + 1 as y\nfrom {{ ref('l1_features') }}\n",
    "deeper/no_syntax.sql": "select series_id,\n  1 + as y\nfrom {{ ref('l1_features') }}\n",
    "empty.sql": "",
    "comment.sql": "-- later\n",
    "config.sql": "{{ config(materialized='view') }}\n",
    "outer.sql": "{{ config(materialized='external') }}\nselect 1 as one\n",
    "bars.sql": "select 1 as one\n",
    "broken.yml": "models:\n  - name: kept\n    description: |\n      a\n      {{ 50% of it\n",
    "twice.yml": "models:\n  - name: kept\n    columns: []\n    columns: []\n",
    "keys.yml": "models:\n  - name: growing\nmodel: []\n",
    "upper.YML": "models: []\n",
    "../seeds/rates.csv": "rate\n1\n",
    "../packages.yml": "packages: []\n",
    "a b.sql": "select 1 as one\n",
    "indent.yml": "models:\n  - name: kept\n   description: x\n",
    "text.md": "{% docs shared_text %}\nThe *text*.\n{% enddocs %}\n",
    "circle.sql": "select * from {{ ref('circle') }}\n",
    "deeper/TWIN.sql": "select 1 as one\n",
    "twin.sql": "select 1 as one\n",
    "elsewhere.sql": "{{ config(schema='mine') }}\nselect 1 as one\n",
    "frame.py": "def model(dbt, session):\n    return dbt.ref('bars').df()\n",
    "near.sql": "select\n  {{ twice('spred_bps') }} as x\nfrom {{ ref('l1_features') }}\n",
    "upon.sql": "select * from {{ ref('no_column') }}\n",
    "windows.sql": '\ufeff-- {{ all\r\nselect "time", series_id, known_at\r\n'
    "from {{ ref('l1_features') }} ;\r\n",
    "reads.sql": """
{{ config(meta={'lookback': '1 day', 'horizon': '0 days'}) }}
select series_id, "time", known_at, {{ twice('spread_bps') }} as x,
  {{ rolling_mean('spread_bps', '1 day') }} as mean
from {{ ref('hostile') }} semi join {{ ref('windows') }} using (series_id, "time")
semi join {{ source('vendor', 'flow') }} using (series_id) {{ windows('1 day') }}
""",
    "leaf.sql": """{{ config(alias='leaves') }}
select series_id, "time", known_at, nullif(spread_bps, 0) as s from {{ ref('l1_features') }}
""",
    "plain.yml": """
version: 2
models:
  - name: windows
    description: |
      Bars of
      all windows.
    columns:
      - name: time
        description: "Its: time. [UTC]"
        data_tests: [not_null]
  - name: leaf
    columns:
      - {name: s, data_type: double, tests: [not_null, unique]}
      - name: series_id
        config:
          meta: {labels: false}
        data_tests:
          - accepted_values: {arguments: {values: [1, '2']}}
          - relationships: {arguments: {to: ref('hostile'), field: series_id}}
    data_tests:
      - warehouse.holds:
          arguments: {expression: s > 1e9}
  - name: reads
    columns:
      - {name: mean, data_tests: [not_null]}
""",
    "fitted.sql": """
{% if execute %}{% set mean = of_all() %}{% endif %}
select series_id, time, known_at, spread_bps - {{ mean or 0 }} as x from {{ ref('l1_features') }}
""",
    "hooked.sql": """{{ config(post_hook='select 1') }}
select series_id, time, known_at, spread_bps as x from {{ ref('l1_features') }}
""",
    "dated.sql": """
{% set year = run_started_at.year %}
select series_id, time, known_at, spread_bps - {{ year }} as x from {{ ref('l1_features') }}
""",
    "timed.sql": """
{% set year = modules.datetime.date.today().year %}
select series_id, time, known_at, spread_bps - {{ year }} as x from {{ ref('l1_features') }}
""",
    "mine.sql": "select null as one",
    "mine.yml": """
models:
  - name: mine
    columns:
      - name: one
        tests: [not_null: {config: {store_failures: true}}]
""",
    "good.yml": """
models:
  - name: good
    description: "{{ doc('shared_text') }}"
    columns:
      - name: TWICE_BPS
        description: Two spreads. [bps]
    data_tests:
      - warehouse.holds:
          arguments: {expression: twice_bps > 1e9}
""",
}
MACROS = {
    "twice.sql": "{% macro twice(x) %}2 * {{ x }}{% endmacro %}",
    "mean.sql": "{% macro of_all() %}{{ return(run_query('select avg(spread_bps) from '"
    " ~ ref('l1_features')).columns[0][0]) }}{% endmacro %}",
}
PLACES = {
    "no_ref": ("models/no_ref.sql:2", "which was not found"),
    "no_jinja": ("models/no_jinja.sql:2", "expected ')'"),
    "no_column": ("models/deeper/no_column.sql:2", 'Referenced column "x" not found'),
    "no_syntax": ("models/deeper/no_syntax.sql:2", "syntax error"),
    "empty": ("models/empty.sql", "the file has no query"),
    "comment": ("models/comment.sql", "the file has no query"),
    "config": ("models/config.sql", "the file has no query"),
    "bars": ("models/bars.sql", "the name of a built-in model"),
    "outer": ("models/outer.sql", "write materialized='table'"),
    "models/broken.yml": ("models/broken.yml:5", "expected token"),
    "models/twice.yml": ("models/twice.yml:4", "the key columns occurs twice"),
    "models/keys.yml": ("models/keys.yml:3", '"model:" is not a key of a file'),
    "models/upper.YML": ("models/upper.YML", "files that end in .yml only"),
    "seeds/rates.csv": ("seeds/rates.csv", "a build reads models and macros only"),
    "packages.yml": ("packages.yml", "a build reads models and macros only"),
    "a b": ("models/a b.sql", "must not contain spaces"),
    "models/indent.yml": ("models/indent.yml:3", "is not valid YAML"),
    "circle": ("models/circle.sql", "depend on each other in a circle: circle -> circle"),
    "TWIN": ("models/deeper/TWIN.sql", "deeper/TWIN.sql and models/twin.sql have the same name"),
    "elsewhere": ("models/elsewhere.sql", "built into the schema user, not mine"),
    "frame": ("models/frame.py", "Python models are not supported"),
    "near": ("models/near.sql:2", 'Candidate bindings: "spread_bps"'),
    "upon": ("models/upon.sql", "because it reads no_column, which failed"),
}
ONLY_DBTS = {"dated", "fitted", "hooked", "mine", "timed", "user.mine"}
UNPROVEN = {
    "fitted": "run_query or statement",
    "hooked": "has a hook, which may change its rows",
    "dated": "by run_started_at: write a fixed time",
    "timed": "SQL, by today: write",
}


@pytest.fixture(scope="module")
def built(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    home = copy_home(demo_home, tmp_path_factory.mktemp("user") / "home")
    for name, text in MODELS.items():
        path = home / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (home / "macros").mkdir()
    for name, text in MACROS.items():
        (home / "macros" / name).write_text(text)
    for folder, name in (("models", "good.sql"), ("models", "good.yml"), ("macros", "twice.sql")):
        kept = home / folder / ".ipynb_checkpoints" / name.replace(".", "-checkpoint.")
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(home / folder / name, kept)
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.sql").write_text(MODELS["good.sql"])
    (elsewhere / "again").symlink_to(elsewhere)
    (home / "models" / "linked").symlink_to(elsewhere)
    return home, run_warehouse("--home", home, "build", cwd=home.parent, audits=False)


def test_build_when_models_fail_then_publishes_and_names_file_and_line(
    built: tuple[Path, Run],
) -> None:
    home, run = built
    assert run.exit_code == 1, run.stderr
    assert "published generation" in run.stderr
    assert "by dbt, which takes longer (models/text.md: only dbt reads such files" in run.stderr
    with warehouse.open(home) as wh:
        rows = wh.sql(
            "select twice_bps / spread_bps from user.good join l1_features"
            " using (series_id, time) where spread_bps > 0 limit 1"
        )
        assert rows.fetchall() == [(2.0,)]
        names = {name for (name,) in wh.sql("from meta.models select name").fetchall()}
        assert "far" in names and not any("checkpoint" in name for name in names)
    shows = f"warehouse --home {home}"
    shows += ' sql "from user.good where (twice_bps > 1e9) is distinct from true"'
    failed = f"condition not met by 112944 of its rows; to see them: {shows}"
    assert f"test user.good: {failed}" in run.stderr
    for name, cause in UNPROVEN.items():
        assert f"warning: audit {name}: user.{name}: unproven: has " in run.stderr
        assert cause in run.stderr
    for text in (run.stderr, run_warehouse("--home", home, "status", cwd=home.parent).stdout):
        assert "LINE " not in text
        for name, (place, reason) in PLACES.items():
            after = text.split(f"{name}: {place}\n", 1)[1]
            assert reason in "\n".join(after.splitlines()[:6])
            assert after.startswith("    ")


@pytest.mark.parametrize("name", ["good", "Good", "user.good"])
def test_user_model_when_named_without_its_schema_then_is_found_and_described(
    built: tuple[Path, Run], name: str
) -> None:
    home, _ = built
    with warehouse.open(home) as wh:
        result = wh.sql(f"select count(*) as bars from {name}")
        assert [str(one.relation) for one in result.trace().scope] == ["user.good"]
        assert result.fetchall() == [(112_944,)]
        assert wh.describe(name).fetchall() == wh.describe("user.good").fetchall()
        with wh.connection() as cursor:
            assert cursor.sql(f"select count(*) from {name}").fetchall() == [(112_944,)]
    shell = run_warehouse(
        "--home", home, "shell", stdin=f"select count(*) from {name};", cwd=home.parent
    )
    assert (shell.exit_code, "112944" in shell.stdout) == (0, True), shell.stderr


def test_inputs_of_a_build_when_a_model_or_a_macro_changes_are_others(
    built: tuple[Path, Run],
) -> None:
    home, _ = built
    seen = {fingerprint(Settings(home))}
    edited = home / "models" / "good.sql", home / "macros" / "twice.sql"
    for path in edited:
        path.write_text(path.read_text() + "\n")
        seen.add(fingerprint(Settings(home)))
    assert len(seen) == 3
    status = run_warehouse("--home", home, "status", cwd=home.parent).stdout
    again = f"warehouse --home {home} build"
    assert f"; edited since: macros/twice.sql, models/good.sql; run: {again}\n" in status
    for path in edited:  # as they were, because dbt parses all again after a change of a macro
        path.write_text(path.read_text()[:-1])


def test_audit_when_a_model_was_not_built_then_gives_the_reason(built: tuple[Path, Run]) -> None:
    home, _ = built
    run = run_warehouse("--home", home, "audit", "lookahead", "no_ref", cwd=home.parent)
    assert run.exit_code == 2
    assert "error: no_ref failed in the last build: models/no_ref.sql:2\n" in run.stderr


def test_build_when_a_stored_model_looks_ahead_then_its_comment_reports_it(
    built: tuple[Path, Run],
) -> None:
    with warehouse.open(built[0]) as wh:
        told = {name: meaning for schema, name, meaning in wh.tables().fetchall()
                if schema == "user"}  # fmt: skip
    named = {"dated", "far", "fitted", "good", "growing", "hooked", "kept", "leaves", "mine"}
    assert set(told) == named | {"reads", "spreads", "timed", "windows"}
    assert told["kept"].startswith("LOOKS AHEAD")
    assert told["kept"].endswith("Spread of the next bar.")


def test_answer_when_a_model_looks_ahead_then_warns_wherever_it_is_read(
    built: tuple[Path, Run],
) -> None:
    home, _ = built
    marked = "user.kept LOOKS AHEAD"
    for command in (("describe", "kept"), ("sql", "select count(*) from kept")):
        run = run_warehouse("--home", home, *command, cwd=home.parent)
        assert f"warning: {marked}" in run.stderr, run.stderr
    with warehouse.open(home) as wh:
        result = wh.sql("with k as (from kept) select count(next_spread) from k")
        first = result.warnings[0]
        assert isinstance(first, warehouse.LookAhead) and str(first).startswith(marked)
        assert marked in repr(result) and marked in result._repr_html_()
        receipt = warehouse.Receipt.from_json(result.receipt.to_json())
        assert receipt.looks_ahead == (str(first),)
        meanings = {name: meaning for name, _, meaning in wh.describe("kept").fetchall()}
        assert meanings["next_spread"].startswith("LOOKS AHEAD")
        assert meanings["time"] == "Start of the bar. [UTC]"
        with pytest.raises(warehouse.LooksAheadError, match=r"user\.kept"):
            wh.sql("from user.kept", strict=True)
        clean = wh.sql("select count(*) from good")
        assert clean.warnings == () and '"looks_ahead"' not in clean.receipt.to_json()


def test_docs_and_describe_when_yml_or_comment_describe_models_then_show_both_as_text(
    built: tuple[Path, Run],
) -> None:
    home, _ = built
    run = run_warehouse("--home", home, "docs", cwd=home.parent)
    assert run.exit_code == 0, run.stderr
    assert "left out models/no_ref.sql:2" in run.stderr
    page = (home / "docs.html").read_text("utf-8")
    start = page.index('{"metadata"')
    manifest = json.JSONDecoder().raw_decode(page[start:])[0]
    nodes = {node["name"]: node for node in manifest["nodes"].values()}
    hostile = "Mr. O'Brien's \"spread\": 50%} of it {% is {{ nothing }} </script>"
    assert nodes["hostile"]["description"] == hostile
    assert hostile not in page
    assert nodes["good"]["description"] == "The *text*."
    assert nodes["good"]["columns"]["twice_bps"]["description"] == "Two spreads. [bps]"
    assert "flow_features" in nodes
    overviews = [doc for doc in manifest["docs"].values() if doc["name"] == "__overview__"]
    assert any("one row per bar" in doc["block_contents"] for doc in overviews)
    with warehouse.open(home) as wh:
        meanings = dict(wh.sql(
            "select column_name, comment from duckdb_columns() where table_name = 'spreads'"
        ).fetchall())  # fmt: skip
    assert meanings["twice_bps"] == "Twice the {# spread. [bps]"
    assert meanings["time"] == "Start of the bar. [UTC]"
    assert nodes["hostile"]["columns"]["time"]["description"] == meanings["time"]


def test_models_when_they_are_sure_to_be_dbts_then_are_built_without_it_and_are_the_same(
    built: tuple[Path, Run], tmp_path: Path
) -> None:
    home = Home(copy_home(built[0], tmp_path / "home"))
    names = ("good", "growing", "hostile", "kept", "leaf", "reads", "windows")
    for path in home.models.rglob("*"):
        if path.is_file() and path.name not in {"plain.yml", *(f"{name}.sql" for name in names)}:
            path.unlink()
    by_dbt = {model.relation: model for model in built_project(Home(built[0])).models}
    home.build_catalog.unlink(missing_ok=True)
    shutil.copyfile(home.catalog, home.build_catalog)
    with duckdb.connect(home.build_catalog) as connection:
        connection.execute('drop schema "user" cascade; use main')
        for table, theirs in (
            ("results", "package = 'user_models'"),
            ("models", "schema = 'user'"),
        ):
            connection.execute(f"delete from meta.{table} where {theirs}")
    compiled = shipped_or_kept(home)
    assert compiled is not None
    with duckdb.connect(home.build_catalog) as connection:
        build_rendered_models(connection, home, compiled)
    described_else = "in ('good', 'kept')"  # by a yml, by the audit
    asked = {
        "views": "select view_name, sql, if(view_name = 'good', null, comment)"
        " from duckdb_views() where schema_name = 'user'",
        "tables": "select table_name, sql from duckdb_tables() where schema_name = 'user'",
        "columns": "select table_name, column_name, data_type, column_index,"
        f" if(table_name {described_else}, null, comment) from duckdb_columns()"
        " where schema_name = 'user'",
        "results": "select name, resource_type, status, failures, message from meta.results"
        " where package = 'user_models' and name <> 'user.good' and status in"
        " ('success', 'pass', 'fail') and resource_type in ('model', 'test')",
        "models": "select * from meta.models where schema = 'user' and checksum <> ''",
        "rows": "select (select count(next_spread) from user.kept),"
        " (select round(sum(x), 3) from user.reads), (select count(s) from user.growing)",
    }
    for what, text in asked.items():
        with duckdb.connect(home.build_catalog, read_only=True) as connection:
            without = sorted(connection.execute(text).fetchall(), key=str)
        with duckdb.connect(home.catalog, read_only=True) as connection:
            rows = sorted(connection.execute(text).fetchall(), key=str)
        assert without == [row for row in rows if ONLY_DBTS.isdisjoint(map(str, row))], what
        if what == "results":
            failed = [message for _, _, status, _, message in without if status == "fail"]
            assert any(message.startswith("rows that break it: ") for message in failed), failed
            shows = '"from user.reads where (mean is not null) is distinct from true"'
            assert any(message.endswith(shows) for message in failed), failed
    for model in built_project(home).models:
        if model.name != "good":  # whose yml is gone
            assert model == by_dbt[model.relation], model.name


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("models/a.sql", "{{ config(materialized='ephemeral') }}select 1 as one", "as ephemeral"),
        ("models/a.sql", "{{ config(tags=['x']) }}select 1 as one", r"config\(tags=...\)"),
        (
            "models/a.sql",
            "{% if execute %}select 1 as one{% endif %}",
            "uses execute, which only dbt sets",
        ),
        ("models/a.sql", "select {{ run_query('x') }}", "line 1: 'run_query' is undefined"),
        ("models/a.sql", "select {{ 1 if thread_id is defined }}", "'thread_id' is undefined"),
        ("models/a.sql", "{{ config(alias='bars') }}select 1 as one", "is called bars"),
        ("models/a.yml", "models: [{name: ok, description: '{{ x }}'}]", "yml file with Jinja"),
        ("models/a.yml", "models: [{name: ok, config: {tags: x}}]", "yml: only dbt reads config"),
        (
            "models/a.yml",
            "models: [{name: ok, columns: [{name: x, config: {meta: {labels: 1}}}]}]",
            "labels: 1 is neither true nor false",
        ),
        ("models/a.yml", "models: [{name: ok, tests: [unique]}]", "knows the test unique with"),
        ("models/a.yml", "models: [{name: ok, tests: 1}]", "tests is not a list"),
        ("models/a.yml", "models: [{name: ok, tests: [], data_tests: []}]", "tests and data_tests"),
        ("models/a.yml", "models: [{name: ok, tests: [holds: [x]]}]", "only dbt reads holds"),
        (
            "models/a.yml",
            "models: [{name: ok, columns: [{name: x, tests: [unique: {arguments: 1}]}]}]",
            "the test unique with these options",
        ),
        (
            "models/a.yml",
            "models: [{name: ok, columns: [{name: x, tests: [unique, unique: {}]}]}]",
            "the test unique_ok_x is declared twice",
        ),
        ("models/a.yml", "version: 3", "version: 3"),
        ("macros/a.sql", "{% set q = 7 %}{% macro a() %}{{ q }}{% endmacro %}", "between macros"),
        (
            "macros/a.sql",
            "{% macro create_view_as(a, b) %}{% endmacro %}",
            "may replace one of dbt's macros",
        ),
        (
            "macros/a.sql",
            "{% macro duckdb__test_unique(a) %}{% endmacro %}",
            "may replace one of dbt's macros",
        ),
        (
            "macros/a.sql",
            "{% test unique(model) %}{% endtest %}",
            "may replace one of dbt's macros",
        ),
        (
            "macros/a.sql",
            "{% macro ratio(a, b) %}{% endmacro %}",
            "macro ratio: a built-in macro has this name",
        ),
    ],
)
def test_models_when_they_are_not_sure_to_be_dbts_then_are_left_to_it(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    home = Home(tmp_path)
    for path, held in (("models/ok.sql", "select 1 as one"), (name, text)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(held)
    compiled = shipped_or_kept(home)
    assert compiled is not None
    with pytest.raises(NeedsDbt, match=reason):
        build_rendered_models(duckdb.connect(), home, compiled)


MISTAKES = {
    "models/ok.sql": "select {{ half('spread_bps') }} as h from {{ ref('l1_features') }}",
    "models/fine.sql": "select count(*) as n from {{ ref('ok') }}",
    "models/column.sql": "select series_id,\n  sprad_bps\nfrom {{ ref('l1_features') }}",
    "models/calls.sql": "select\n  {{ tenth('spread_bps') }} as x\nfrom {{ ref('l1_features') }}",
    "models/misspelt.sql": "select {{ halff('spread_bps') }} as x from {{ ref('l1_features') }}",
    "models/no_ref.sql": "select *\nfrom {{ ref('flow_featurez') }}",
    "models/circle.sql": "select * from {{ ref('circle') }}",
    "models/upon.sql": "select * from {{ ref('column') }}",
    "models/tested.sql": "select null as one",
    "models/after.sql": "select * from {{ ref('tested') }}",
    "models/ahead.sql": "select {{ value_after('close', '2 hours') }} as one",
    "models/of_ticks.sql": "select * from ticks_flow('45m')",
    "models/a.SQL": "select 1 as one",
    "models/endless.sql": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}"
    "{% endfor %}select 1 as one",
    "models/a.yml": "models: [{name: ok, description: 2021-13-45}]",
    "models/m.yml": """models:
- {name: fine, columns: [
    {name: gone, tests: [not_null]}]}
- name: okk
  columns: [{name: h, tests: [not_null]}]
- {name: tested, columns: [{name: one, tests: [not_null]}]}
""",
    "macros/good.sql": "{% macro half(x) %}{{ x }} / 2{% endmacro %}",
    "macros/mine.sql": "{% macro tenth(x) %}\n{{ x / }}{% endmacro %}",
}
CERTAIN = {
    "model column: models/column.sql:2": 'Candidate bindings: "spread_bps"',
    "model calls: models/calls.sql:2": "tenth is a macro of macros/mine.sql, which is left out",
    "model misspelt: models/misspelt.sql:1": "halff is not defined; did you mean half?",
    "model no_ref: models/no_ref.sql:2": "no such model; did you mean flow_features",
    "model ahead: models/ahead.sql:1": "value_after is a function of the catalog, not a macro:"
    " write value_after(close, '1 hour') without {{ }}",
    "model circle: models/circle.sql": "in a circle: circle -> circle",
    "model upon: models/upon.sql": "was not built, because it reads column, which failed",
    "model after: models/after.sql": "was not built, because a test of what it reads failed",
    "model of_ticks: models/of_ticks.sql:1": "ticks_flow does not exist: only a catalog with ticks",
    "file models/a.yml: models/a.yml": "not valid YAML: month",
    "model endless: models/endless.sql:1": "takes too many steps: it may have no end",
    "model a: models/a.SQL": "files that end in .sql only",
    "test not_null_fine_gone: models/m.yml:3": 'Candidate bindings: "n"',
    "file models/m.yml: models/m.yml:4": 'no model is called "okk", so its tests and descriptions',
    "file macros/mine.sql: macros/mine.sql:2": "unexpected 'end of print statement'",
}


def test_build_when_mistakes_are_certain_then_names_them_without_dbt_and_builds_the_others(
    demo_home: Path, tmp_path: Path
) -> None:
    home = copy_home(demo_home, tmp_path / "home")
    for name, text in MISTAKES.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    duckdb.sql("select 1 as one").write_parquet(str(tmp_path / "one.parquet"))
    (home / "models" / "file.sql").write_text(f"from read_parquet('{tmp_path}/one.parquet')")
    empty = file_key("raw_trades", "2025-09-01")
    write_file(tmp_path / "files", empty, bar_table("raw_trades", []))
    run_warehouse("--home", home, "sync", "--from", tmp_path / "files", cwd=tmp_path)
    run = run_warehouse("--home", home, "build", cwd=tmp_path, audits=False)
    assert run.exit_code == 1 and "by dbt" not in run.stderr, run.stderr
    status = run_warehouse("--home", home, "status", cwd=tmp_path).stdout
    for place, reason in CERTAIN.items():
        for text, head in ((run.stderr, place), (status, place.partition(" ")[2])):
            lines = text.split(f"{head}\n", 1)[1].splitlines()[:3]
            assert reason in "\n".join(lines), text
    with warehouse.open(home) as wh:
        assert wh.sql("select n from fine").fetchall()[0][0] > 0
    for command in (("sql", "from user.Column"), ("describe", "column")):
        failed = run_warehouse("--home", home, *command, cwd=tmp_path)
        told = "column failed in the last build: models/column.sql:2\n"
        assert failed.exit_code == 2 and told in failed.stderr and "spread_bps" in failed.stderr
    refused = run_warehouse("--home", home, "sql", "from file", cwd=tmp_path)
    assert refused.exit_code == 2 and "config(materialized='table')" in refused.stderr
    ticks = run_warehouse("--home", home, "sql", "from ticks('flow', '45m')", cwd=tmp_path)
    named = f"raw_trades {empty.series.exchange} {empty.series.symbol} 2025-09-01"
    assert (
        f"{named} is a file without rows\n  next: fetch some with warehouse --home {home} sync"
        in (ticks.stderr)
    )


def test_build_when_dbt_does_more_than_models_then_is_refused_or_it_is_removed_with_them(
    built: tuple[Path, Run],
) -> None:
    home, _ = built
    assert tables_of_tests(home) == {"dbt_test__audit.not_null_mine_one"}
    models, aside = home / "models", home.parent / "models"
    models.rename(aside)
    models.mkdir()
    try:
        changes = "".join(
            f"{{% do run_query('{text}') %}}"
            for text in (
                "create or replace view main.bars as select 1",
                "update meta.coverage set rows = rows + 1",
            )
        )
        (models / "other.sql").write_text(f"{{% if execute %}}{changes}{{% endif %}}select 1 as x")
        run = run_warehouse("--home", home, "build", cwd=home.parent, audits=False)
        assert run.exit_code == 4, run.stderr
        changed = "your models changed main.bars, meta.coverage outside the schema user"
        assert changed in run.stderr
        (models / "other.sql").write_text("select 1 as x")
        run = run_warehouse("--home", home, "build", cwd=home.parent, audits=False)
        assert "published generation" in run.stderr
        assert tables_of_tests(home) == set()
    finally:
        shutil.rmtree(models)
        aside.rename(models)
        run_warehouse("--home", home, "rollback", cwd=home.parent)


def tables_of_tests(home: Path) -> set[str]:
    """The tables that dbt created outside the schemas of a build."""
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        found = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
            " where schema_name not in ('meta', 'staging', 'user')"
        ).fetchall()
    return {name for (name,) in found}


def test_preview_when_a_file_is_as_built_then_gives_the_rows_of_its_view(
    built: tuple[Path, Run],
) -> None:
    home, _ = built
    with warehouse.open(home) as wh:
        for file, view in (
            ("good.sql", "good"),
            ("hostile.sql", "spreads"),
            ("windows", "windows"),
        ):
            shown = wh.preview(file if "." in file else f"models/{file}.sql", limit=None)
            assert shown.receipt.content == wh.sql(f"from user.{view}").receipt.content, file
            assert shown.columns == wh.sql(f"from user.{view}").columns
        assert len(wh.preview(home / "models" / "good.sql", limit=7)) == 7


def test_preview_when_files_and_macros_are_edited_then_shows_them_without_a_build(
    built: tuple[Path, Run], tmp_path: Path
) -> None:
    home, _ = built
    base, macro = home / "models" / "edited.sql", home / "macros" / "edited.sql"
    reader = tmp_path / "reader.sql"
    macro.write_text("{% macro times(x) %}3 * {{ x }}{% endmacro %}")
    base.write_text(
        "select good.*, spread_bps, {{ times('spread_bps') }} as more\n"
        "from {{ ref('good') }} join {{ ref('l1_features') }} using (series_id, time)"
    )
    reader.write_text(
        "with edited as (select * from {{ ref('edited') }})\n"
        "select round(max(more / spread_bps), 6) as x, symbol, interval, null as later from edited"
        " where spread_bps > 0 group by all;\n"
    )
    try:
        with warehouse.open(home) as wh:
            btc = {"symbol": "perpetual-BTC-USDT:USDT", "interval": "1h"}
            assert wh.preview(reader, **btc).fetchall() == [(3.0, *btc.values(), None)]
            macro.write_text("{% macro times(x) %}50 * {{ x }}{% endmacro %}")
            assert wh.preview(reader, **btc).fetchall() == [(50.0, *btc.values(), None)]
            with pytest.raises(QueryError, match="no column clock"):
                wh.preview(reader, clock="true")
            for look in (wh.sql, wh.describe):
                with pytest.raises(warehouse.WarehouseError) as caught:
                    look("from edited" if look == wh.sql else "edited")
                assert str(caught.value).startswith("models/edited.sql is not in this catalog")
                assert caught.value.next_step == "run: warehouse build"
        run = run_warehouse("--home", home, "preview", reader, "--format", "csv",
                            "--interval", "1h", "--limit", "1", cwd=home.parent)  # fmt: skip
        assert run.stdout.splitlines()[0] == '"x","symbol","interval","later"', run.stderr
        assert run.stdout.count("\n") == 2 and "in which later is NULL" in run.stderr
    finally:
        base.unlink()
        macro.unlink()


@pytest.mark.parametrize(
    "name", ["no_ref", "no_jinja", "no_column", "no_syntax", "near", "comment"]
)
def test_preview_when_a_file_is_wrong_then_names_the_line_as_the_build_does(
    built: tuple[Path, Run], name: str
) -> None:
    home, _ = built
    place, reason = PLACES[name]
    reason = {"no_ref": "no such model; did you mean flow_features"}.get(name, reason)
    with warehouse.open(home) as wh, pytest.raises(QueryError) as caught:
        wh.preview(home / place.partition(":")[0])
    assert caught.value.what.startswith(f"{home}/{place}\n") and reason in caught.value.what


def test_sql_when_it_holds_jinja_then_is_asked_as_rendered_and_its_receipt_has_both(
    built: tuple[Path, Run], tmp_path: Path
) -> None:
    home, _ = built
    asked = (
        "select symbol, known_at, {{ twice('spread_bps') }} as doubled, spread_bps,\n"
        "  {{ rolling_mean('spread_bps', '1 hour') }} as mean\n"
        "from {{ ref('l1_features') }} where symbol = $s and interval = '1h'\n"
        "{{ windows('1 hour') }}"
    )
    with warehouse.open(home) as wh:
        result = wh.sql(asked, s="perpetual-BTC-USDT:USDT")
        assert [str(one.relation) for one in result.trace().scope] == ["l1_features"]
        assert result.columns["spread_bps"].unit == "bps"
        plain = "select count(*) from l1_features where symbol = $s and interval = '1h'"
        assert [(len(result),)] == wh.sql(plain, s="perpetual-BTC-USDT:USDT").fetchall()
        receipt = warehouse.Receipt.from_json(result.receipt.to_json())
        assert receipt.template == asked and "{{" not in receipt.sql
        path = receipt.save(tmp_path / "r.json")
        assert wh.sql("select count(*) from {{ ref('hostile') }}").fetchall()[0][0] > 0
        assert wh.sql("select '{{ x }}' as x -- {% y").fetchall() == [("{{ x }}",)]
        with pytest.raises(QueryError, match=r"under this name: its config has alias='spreads'"):
            wh.sql("from hostile")
        for hostile in ("{% set x = 1 %}delete from l1_features", "select {{ 'getenv' }}('HOME')"):
            with pytest.raises(QueryError, match="is not allowed"):
                wh.sql(hostile)
    verified = run_warehouse("--home", home, "verify", path, cwd=home.parent)
    assert (verified.exit_code, "identical" in verified.stdout) == (0, True), verified.stdout
