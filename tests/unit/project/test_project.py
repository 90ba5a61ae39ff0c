"""What ``warehouse.project`` reads from a dbt run's target folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from warehouse.errors import BuildError, DamagedError, NotFoundError, UsageError
from warehouse.project.project import (
    BuiltModel,
    Project,
    create_schemas,
    create_seeds,
    create_views,
    length_us,
    load_project,
)
from warehouse.sql import Relation


def node(name: str, reads: list[str], **more: Any) -> dict[str, Any]:
    kind, _, short = name.partition(".")
    schema = more.pop("schema", "main")
    config = {"materialized": "view", "meta": more.pop("meta", {})} | more.pop("config", {})
    return {
        "resource_type": kind,
        "name": short,
        "alias": short,
        "schema": schema,
        "package_name": "warehouse",
        "original_file_path": f"models/{short}.sql",
        "description": "",
        "columns": {},
        "compiled_code": f"select 1 as {short}",
        "depends_on": {"nodes": reads},
        "config": config,
    } | more


def source(name: str, schema: str = "vendor") -> dict[str, Any]:
    return {"resource_type": "source", "name": name, "identifier": name, "schema": schema} | {
        "config": {}
    }


def write(folder: Path, nodes: list[dict[str, Any]], sources: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "nodes": {f"{n['resource_type']}.{n['name']}": n for n in nodes},
        "sources": {f"source.{s['name']}": s for s in sources},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Project:
    seed = node("seed.sizes", [], compiled_code=None, root_path=str(tmp_path)) | {
        "original_file_path": "sizes.csv",
        "config": {"column_types": {"size": "double", "venue": "varchar"}},
    }
    (tmp_path / "sizes.csv").write_text("venue,size\nx,10\n007,\n")
    label = {"name": "next", "description": "Later. [bps]", "data_type": "double"}
    return load_project(
        write(
            tmp_path / "target",
            [
                node("model.b", ["model.hidden", "model.a"], meta={"lookback": "1 day"}),
                node("model.a", ["source.flow"], schema="staging"),
                node(
                    "model.hidden",
                    ["source.ohlcv", "seed.sizes"],
                    config={"materialized": "ephemeral"},
                ),
                node(
                    "model.c",
                    ["model.b"],
                    meta={"labels": True, "horizon": "4 hours", "accumulates": ["next"]},
                    columns={"next": label | {"config": {"meta": {"labels": True}}}},
                ),
                seed,
            ],
            [source("flow"), source("ohlcv")],
        )
    )


def test_models_come_after_what_they_read(project: Project) -> None:
    assert [model.name for model in project.models] == ["a", "b", "c"]


def test_an_ephemeral_model_is_resolved_to_what_it_reads(project: Project) -> None:
    model = project.model("b")
    assert model.depends_on == (Relation("main", "sizes"), Relation("staging", "a"))
    assert model.sources == (Relation("vendor", "ohlcv"),)


def test_declarations_are_read_and_absent_ones_are_unbounded(project: Project) -> None:
    b, c = project.model("b"), project.model("main.c")
    assert (b.lookback_us, b.horizon_us, b.is_labels) == (86_400 * 10**6, None, False)
    assert (c.lookback_us, c.horizon_us, c.is_labels) == (None, 4 * 3_600 * 10**6, True)
    assert c.accumulates == ("next",)
    assert c.labels == {"next"}


def test_ancestors_come_in_order_and_others_are_left_out(project: Project) -> None:
    assert [m.name for m in project.with_ancestors([project.model("b")])] == ["a", "b"]


def test_an_unknown_model_is_answered_with_those_there_are(project: Project) -> None:
    with pytest.raises(NotFoundError, match=r"no model 'd'\n  next: models: b, c, staging.a"):
        project.model("d")


def test_seeds_keep_their_declared_types(project: Project) -> None:
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as warehouse")
        create_schemas(connection, project)
        create_seeds(connection, project)
        rows = connection.execute("from warehouse.main.sizes order by venue").fetchall()
    assert rows == [("007", None), ("x", 10.0)]


def test_views_read_each_other_and_a_broken_one_is_named(project: Project, tmp_path: Path) -> None:
    broken = node("model.bad", ["model.a"], compiled_code='from "warehouse"."staging"."gone"')
    both = load_project(write(tmp_path / "second", [broken, node("model.a", [])], []))
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as warehouse")
        create_schemas(connection, project)
        create_views(connection, project)
        assert connection.execute("from warehouse.main.c").fetchall() == [(1,)]
        with pytest.raises(BuildError, match=r"model bad: .*\n  next: correct models/bad.sql"):
            create_views(connection, both)


def test_a_second_run_builds_on_the_first(project: Project, tmp_path: Path) -> None:
    mine = node("model.mine", ["model.b", "source.c"], schema="user")
    folder = write(
        tmp_path / "user",
        [mine, node("model.b", [], compiled_code=None)],
        [source("c", schema="main")],
    )
    both = load_project(folder, project)
    assert [model.name for model in both.models] == ["a", "b", "c", "mine"]
    read = both.model("mine")
    assert (read.depends_on, read.sources) == ((Relation("main", "b"), Relation("main", "c")), ())
    with pytest.raises(BuildError, match="model b was not compiled"):
        load_project(folder)


def test_a_folder_without_a_manifest_names_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="next: run: warehouse build"):
        load_project(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nodes": {}}', '{"nodes": 1, "sources": {}}'])
def test_a_file_that_is_no_manifest_is_damage(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DamagedError, match="cannot be read as a dbt manifest"):
        load_project(tmp_path)


def test_a_length_that_cannot_be_read_names_its_model(tmp_path: Path) -> None:
    folder = write(tmp_path, [node("model.a", [], meta={"lookback": "a month"})], [])
    with pytest.raises(UsageError, match="model a: 'a month' is not a length of time"):
        load_project(folder)


@pytest.mark.parametrize("text", ["1 month", "day", "1.5 days", "-1 day", "1day", "", "1 days ago"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        length_us(text)


@pytest.mark.parametrize(
    ("built", "refusal", "command"),
    [
        ({"b": ("select 2 as a", "one")}, None, None),
        (
            {"b": ("select 2 as a", "another")},
            "model b has changed since it was built",
            "dbt build --select a+",
        ),
        ({"a": ("select 2 as a", "one")}, "model b was not built", "dbt build"),
    ],
)
def test_built_models_replace_those_that_the_last_run_compiled(
    tmp_path: Path, built: dict[str, tuple[str, str]], refusal: str | None, command: str | None
) -> None:
    last = node("model.a", [], compiled_code=None)
    last |= {"alias": "b", "checksum": {"checksum": "one"}}
    target = write(tmp_path / "target", [last], [])
    models = {Relation("main", name): BuiltModel(*facts) for name, facts in built.items()}
    if refusal is None:
        assert load_project(target, built=models).model("b").sql == "select 2 as a"
        return
    with pytest.raises(BuildError, match=refusal) as caught:
        load_project(target, built=models)
    assert f"run: {command}, then" in str(caught.value.next_step)
