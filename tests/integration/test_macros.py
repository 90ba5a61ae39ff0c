"""Macros of the dbt project: documented, and careful about their arguments."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oracle.project import bare_project
from tests.support import ROOT
from warehouse.project import Renderer, TemplateMistake
from warehouse.sql import Relation

MACROS = ROOT / "macros"

# What a user may write by mistake, and what the error must say.
MISTAKES = {
    "{{ rolling_mean('x', '1 week') }}": "length '1 week': write a whole number and second",
    "{{ rolling_mean('x', 'day') }}": "length 'day'",
    "{{ rolling_sum('x', '0 days') }}": "length '0 days'",
    "{{ rolling_std('x', '1.5 hours') }}": "length '1.5 hours'",
    "{{ rolling_mean('x', '1 day', coverage=0.5) }}": "no keyword argument 'coverage'",
    "{{ rolling_mean('', '1 day') }}": "name a column or write an expression",
    "{{ rolling_mean(x, '1 day') }}": "'x' is undefined",
    "{{ rolling_mean('x', '1 day', min_coverage=1.5) }}": "lie in (0, 1], not",
    "{{ rolling_mean('x', '1 day', min_coverage=0) }}": "lie in (0, 1], not",
    "{{ rolling_mean('x', '1 day', min_bars=0) }}": "min_bars must be a whole number of at least 1",
    "{{ rolling_mean('x', '1 day', min_bars=2, min_coverage=0.5) }}": "excludes min_coverage",
    "{{ rolling_rank('x', 'a day') }}": "length 'a day'",
    "{{ windows() }}": "windows: name the lengths",
    "{{ windows('1 dya') }}": "length '1 dya'",
    "{{ mean_of('x') }}": "mean_of: give a list of columns",
    "{{ mean_of(['x']) }}": "mean_of: give a list of columns",
    "{{ join_at('a', 'b', 'tomorrow') }}": "length 'tomorrow'",
    "{{ asof_join('a', 'b', 'c', by='series_id') }}": "by is a list of columns",
    "{{ asof_value('x', 'a', 'b', 'old') }}": "length 'old'",
}


def quotient(numerator: str) -> str:
    """A ratio by ``b`` under the bounds of the project's vars."""
    value = f"{numerator} / nullif(b, 0)"
    return f"case when abs({value}) between 1e-100 and 1e+100 or {value} = 0 then {value} end"


ACCEPTED = {
    "{{ ratio('a', 'b') }}": quotient("a"),
    "{{ ratio('a + 1', 'b') }}": quotient("(a + 1)"),
    "{{ bps('a', 'b') }}": f"{quotient('a')} * 1e4",
    "{{ change_pct('a', 'b') }}": f"100 * ({quotient('a')} - 1)",
    "{{ rolling_count('x', '7 days') }}": "sum((x is not null)::double) over last_7_days::bigint",
    "{{ rolling_count('*', '7 days') }}": "count(*) over last_7_days::bigint",
    "{{ rolling_count('distinct x', '7 days') }}": "count(distinct x) over last_7_days::bigint",
    "{{ rolling_count('a, b', '7 days') }}": "count(a, b) over last_7_days::bigint",
    "{{ rolling_count('coalesce(a, b)', '7 days') }}": "sum(((coalesce(a, b)) is not null)::double)"
    " over last_7_days::bigint",
    "{{ windows('1 hour', '90 minutes') }}": "window"
    ' last_1_hour as ( partition by series_id order by "time"'
    " range between interval '00:59:59.999999' preceding and current row ),"
    ' bars_1_hour as ( partition by series_id order by "time" rows between'
    ' greatest(3600000000 // (epoch_us(END) - epoch_us("time")), 1) - 1'
    " preceding and current row ),"
    ' last_90_minutes as ( partition by series_id order by "time"'
    " range between interval '01:29:59.999999' preceding and current row ),"
    ' bars_90_minutes as ( partition by series_id order by "time" rows between'
    ' greatest(5400000000 // (epoch_us(END) - epoch_us("time")), 1) - 1'
    " preceding and current row )",
    "from {{ counted('x', '7 days') }}": "from ( select *, count(*) over last_7_days as rows_7_days"
    ' from x window last_7_days as ( partition by series_id order by "time"'
    " range between interval '167:59:59.999999' preceding and current row ) ) as x",
    "{{ windows('7 days', counted=true) }}": "window"
    ' last_7_days as ( partition by series_id order by "time"'
    " rows between rows_7_days - 1 preceding and current row ),"
    ' bars_7_days as ( partition by series_id order by "time" rows between'
    ' greatest(604800000000 // (epoch_us(END) - epoch_us("time")), 1) - 1'
    " preceding and current row )",
    "{{ rolling_mean('x', '1 day') }}": 'case when epoch_us(END) - epoch_us(lag("time",'
    ' greatest(86400000000 // (epoch_us(END) - epoch_us("time")), 1) - 1)'
    " over bars_1_day) = 86400000000"
    " then nullif(sum(coalesce((x)::double, 'nan')) over bars_1_day, 'nan')"
    ' / greatest(86400000000 // (epoch_us(END) - epoch_us("time")), 1) end',
    "{{ rolling_min('x', '1 day') }}": 'case when epoch_us(END) - epoch_us(lag("time",'
    ' greatest(86400000000 // (epoch_us(END) - epoch_us("time")), 1) - 1)'
    " over bars_1_day) = 86400000000"
    " and sum((x is not null)::double) over bars_1_day"
    " = epoch(interval '1 day') / epoch(END - \"time\")"
    " then min(x) over bars_1_day end",
    "{{ rolling_sum('x', '1 day', min_coverage=0.5) }}": "case when"
    " sum((x is not null)::double) over last_1_day"
    ' * epoch(END - "time") >= 43200.0 and 86400 % epoch(END - "time") = 0'
    " then sum((x)::double) over last_1_day end",
}
ACCEPTED = {
    macro: sql.replace("END", 'bar_end(series_id, "time", known_at)')
    for macro, sql in ACCEPTED.items()
}

# One process for all: each call of dbt alone costs seconds.
BY_DBT = """
import json, os, sys
from dbt.cli.main import dbtRunner
from warehouse.build.dbt_process import invoke_dbt
places, accepted, mistake = json.loads(sys.argv[1]), *json.loads(sys.stdin.read())
parsed = dbtRunner().invoke(["--quiet", "parse", *places])

def compiled(text):
    dbt = dbtRunner(manifest=parsed.result)
    return dbt.invoke(["--quiet", "compile", "--inline", text, *places])

ran, refused = compiled(accepted), compiled(mistake).exception
shown = invoke_dbt(["--quiet", "show", "--inline", "select 1", *places])
assert shown.success, shown.exception
opened = []
for name in os.listdir("/proc/self/fd"):
    try:
        opened.append(os.readlink(f"/proc/self/fd/{name}"))
    except FileNotFoundError:
        pass
with open(sys.argv[2], "w") as file:
    json.dump({
        "accepted": ran.result.results[0].node.compiled_code,
        "refused": f"{refused} {refused.__cause__ or refused.__context__}",
        "opened": [path for path in opened if path.endswith(".duckdb")],
    }, file)
"""
BETWEEN = "\n-- next\n"


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture(scope="module")
def by_dbt(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What dbt makes of all accepted texts and of a mistake, and the DuckDB files it left open."""
    home = tmp_path_factory.mktemp("macros")
    (home / ".build").mkdir()
    subprocess.run(
        [sys.executable, "-c", BY_DBT, json.dumps(bare_project(home)), str(home / "told")],
        input=json.dumps([BETWEEN.join(ACCEPTED), "{{ rolling_mean(x, '1 day') }}"]),
        text=True,
        capture_output=True,
        env={**os.environ, "WAREHOUSE_HOME": str(home), "WAREHOUSE_DBT_KEEPS_OPEN": "true"},
        cwd=home,
        check=True,
    )
    assert (home / ".build" / "warehouse.duckdb").is_file(), "dbt has opened it"
    told: dict[str, Any] = json.loads((home / "told").read_text())
    return told


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake_stops_compilation_and_is_named(renderer: Renderer, text: str) -> None:
    with pytest.raises(TemplateMistake) as refused:
        renderer.render(text, Relation("user", "x"))
    assert MISTAKES[text] in " ".join(str(refused.value).split())


@pytest.mark.parametrize("text", ACCEPTED)
def test_macro_compiles_to_sql_as_if_typed(renderer: Renderer, text: str) -> None:
    assert " ".join(renderer.render(text, Relation("user", "x")).sql.split()) == ACCEPTED[text]


def test_macros_when_compiled_by_dbt_then_are_the_same(by_dbt: dict[str, Any]) -> None:
    compiled = [" ".join(sql.split()) for sql in by_dbt["accepted"].split(BETWEEN)]
    assert compiled == [*ACCEPTED.values()]
    assert "name a column or write an expression" in " ".join(by_dbt["refused"].split())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_dbt_command_when_it_returns_then_the_build_file_is_closed(by_dbt: dict[str, Any]) -> None:
    """Two engines of one process on one file would overwrite each other's data."""
    assert by_dbt["opened"] == []


def test_every_macro_is_documented_with_its_arguments() -> None:
    documented = {
        macro["name"]: [argument["name"] for argument in macro.get("arguments", [])]
        for macro in yaml.safe_load((MACROS / "macros.yml").read_text())["macros"]
    }
    written = {}
    for path in sorted(MACROS.rglob("*.sql")):
        for name, arguments in re.findall(r"{%-? macro (\w+)\((.*?)\) -?%}", path.read_text()):
            if not name.startswith(("_", "default__", "duckdb__", "spark__")):
                without_lists = re.sub(r"\[.*?\]", "", arguments)
                written[name] = re.findall(r"(\w+)(?==|,|$)", re.sub(r"=[^,]*", "", without_lists))
    assert documented == written
