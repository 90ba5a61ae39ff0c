"""The compiled SQL that the package ships, against what dbt compiles now."""

from __future__ import annotations

from pathlib import Path

from warehouse.project.compiled import SHIPPED, write_compiled


def test_shipped_sql_is_what_dbt_compiles(target: Path, tmp_path: Path) -> None:
    write_compiled(target, tmp_path / "compiled.json")
    compiled = (tmp_path / "compiled.json").read_text("utf-8")
    assert compiled == SHIPPED.read_text("utf-8"), "run: make compiled"
