"""The light installation: what works without dbt, pandas, Polars, matplotlib and the server."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

import warehouse
from tests.market import Market, bars
from tests.support import BTC, ROOT, file_key, write_file
from warehouse.errors import UsageError

EXTRAS = ("dbt", "matplotlib", "pandas", "polars", "starlette", "uvicorn")
PROGRAM = f"""
import sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
from tests.commands import own_models_audited
from warehouse.build.checks import lookahead_gate
from warehouse.cli import run

lookahead_gate._audit = own_models_audited(lookahead_gate._audit)  # which saves seconds
sys.exit(run(sys.argv[1:]))
"""


def light(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "--home", str(home), *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_light_installation_when_used_then_syncs_builds_asks_and_names_what_is_missing(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    table = bars(
        Market(symbols=(BTC,)), "flow", symbol=BTC, interval="1h", clock="true",
        start=date(2025, 9, 1), end=date(2025, 9, 3),
    )  # fmt: skip
    write_file(tmp_path / "files", file_key("flow", "2025-09"), table)
    updated = light(home, "update", "--from", tmp_path / "files")
    assert updated.returncode == 0, updated.stderr
    asked = light(home, "sql", "select count(*) as n from flow_features", "--format", "csv")
    assert (asked.returncode, asked.stdout.split()) == (0, ['"n"', "48"])
    models = {
        "good": "select series_id, time, known_at, close from {{ ref('flow_features') }}",
        "daily": "{{ config(materialized='ephemeral') }} select * from {{ ref('good') }}",
        "reader": "select * from {{ ref('typo') }}",
        "typo": "select series_id, tine from {{ ref('good') }}",
    }
    (home / "models").mkdir(exist_ok=True)
    for name, text in models.items():
        (home / "models" / f"{name}.sql").write_text(text)
    built = light(home, "build")
    assert built.returncode == 1, built.stderr
    assert "models/daily.sql\n    materialized as ephemeral\n" in built.stderr
    assert "pip install 'microstructure-warehouse[dbt]'" in built.stderr
    assert "was not built, because it reads typo, which failed\n" in built.stderr
    assert 'Referenced column "tine" not found' in built.stderr
    names = "select view_name from duckdb_views() where schema_name = 'user'"
    assert light(home, "sql", names, "--format", "csv").stdout.split()[1:] == ['"good"']
    for verb, library in (("serve", "starlette"), ("docs", "dbt")):
        refused = light(home, verb)
        assert refused.returncode == 2, refused.stderr
        assert f"{library} is not installed" in refused.stderr or "uvicorn is" in refused.stderr
        assert "next: run: pip install 'microstructure-warehouse[" in refused.stderr


@pytest.mark.parametrize(("method", "library"), [("df", "pandas"), ("pl", "polars")])
def test_frame_when_its_library_is_not_installed_then_names_the_pip_command(
    demo_home: Path, monkeypatch: pytest.MonkeyPatch, method: str, library: str
) -> None:
    with warehouse.open(demo_home) as wh:
        answer = wh.sql("select close from flow_features where symbol = $s limit 1", s=BTC)
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(UsageError, match=f"{library} is not installed") as refused:
            getattr(answer, method)()
        assert f"microstructure-warehouse[{library}]" in str(refused.value.next_step)
        assert len(answer.fetchall()) == 1
