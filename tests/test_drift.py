"""Facts in two places agree: contracts, views, models, README, settings, wheel."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

import warehouse
from tests.support import ROOT, run_warehouse
from warehouse.cli import cli
from warehouse.config import load_settings
from warehouse.vendor.contracts import KEY_COLUMNS, load_contracts

CONTRACTS = load_contracts()
METRIC = [name for name, contract in CONTRACTS.items() if not contract.is_raw]
VERBS = cli.list_commands(click.Context(cli))
PROJECT = yaml.safe_load((ROOT / "dbt_project.yml").read_text("utf-8"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def columns(demo_home: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Type and comment of every column of the demo's catalog, by ``schema.table`` and name."""
    with duckdb.connect() as connection:
        path = str(demo_home / "warehouse.duckdb").replace("'", "''")
        connection.execute(f"attach '{path}' as warehouse (read_only)")
        rows = connection.execute(
            "select schema_name || '.' || table_name, column_name, data_type, comment"
            " from duckdb_columns() where database_name = 'warehouse' order by all"
        ).fetchall()
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for table, name, kind, comment in rows:
        found.setdefault(table, {})[name] = (kind, comment or "")
    return found


# -- contracts, catalog, staging -----------------------------------------------------------------


def expected_columns(dataset: str) -> dict[str, str]:
    contract = CONTRACTS[dataset]
    declared = [*KEY_COLUMNS, *(column for column in contract.columns if column.name != "time")]
    long_names = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
    return {column.name: long_names.get(column.type, column.type) for column in declared}


def types(table: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {name: kind for name, (kind, _) in table.items()}


def comments(table: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {name: comment for name, (_, comment) in table.items()}


def test_vendor_views_when_compared_with_their_contracts_then_are_the_same(
    columns: dict[str, dict[str, tuple[str, str]]],
) -> None:
    wanted = {name: expected_columns(name) for name in CONTRACTS}
    assert {name: types(columns[f"vendor.{name}"]) for name in CONTRACTS} == wanted
    uncommented = [
        f"{name}.{column.name}"
        for name, contract in CONTRACTS.items()
        for column in contract.columns
        if column.name != "time" and columns[f"vendor.{name}"][column.name][1] != column.comment
    ]
    assert uncommented == []


def test_staging_when_compared_with_its_contracts_then_is_the_same(
    columns: dict[str, dict[str, tuple[str, str]]],
) -> None:
    found = {name: columns[f"staging.stg_{name}"] for name in METRIC}
    assert {name: types(table) for name, table in found.items()} == {
        name: expected_columns(name) for name in METRIC
    }
    assert {name: comments(table) for name, table in found.items()} == {
        name: comments(columns[f"vendor.{name}"]) for name in METRIC
    }


def test_staging_when_a_dataset_has_a_contract_then_has_a_model() -> None:
    files = {path.stem for path in (ROOT / "models" / "staging").glob("stg_*.sql")}
    assert files >= {f"stg_{name}" for name in METRIC}


def test_contract_files_when_listed_then_are_named_like_their_datasets() -> None:
    assert {path.stem for path in (ROOT / "models" / "vendor").glob("*.yml")} == set(CONTRACTS)


# -- marts ---------------------------------------------------------------------------------------


def mart_documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((ROOT / "models" / "marts").rglob("*.yml")):
        for model in (yaml.safe_load(path.read_text("utf-8")) or {}).get("models", []):
            yield model["name"], model


MARTS = dict(mart_documents())


def test_marts_when_listed_then_every_file_has_its_description() -> None:
    assert {path.stem for path in (ROOT / "models" / "marts").rglob("*.sql")} == set(MARTS)


def test_marts_when_built_then_every_column_has_meaning_and_unit(
    columns: dict[str, dict[str, tuple[str, str]]],
) -> None:
    built = {name: set(columns[f"main.{name}"]) for name in MARTS}
    assert {
        name: {column["name"] for column in mart["columns"]} for name, mart in MARTS.items()
    } == built
    bare = [
        f"{name}.{column}: {text}"
        for name in MARTS
        for column, text in comments(columns[f"main.{name}"]).items()
        if not re.search(r".\[[^\[\]]+\]$", text)
    ]
    assert bare == []


def test_marts_when_described_then_begin_with_their_grain() -> None:
    assert [
        name for name, mart in MARTS.items() if not mart["description"].startswith("One row per ")
    ] == []


# -- command line --------------------------------------------------------------------------------


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by the words that call it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for verb in command.list_commands(context):
            inner = command.get_command(context, verb)
            assert inner is not None
            yield from leaves(inner, f"{name} {verb}")
    else:
        yield name, command


LEAVES = dict(leaves(cli, "warehouse"))


def lacks_of_help(words: str, command: click.Command) -> Iterator[str]:
    """What is missing from the help of a verb."""
    text = command.get_help(click.Context(command, info_name=words))
    if words not in "".join(re.split(r"Examples?:", text)[1:2]):
        yield f"{words}: an example"
    if "--home" not in text:
        yield f"{words}: --home"
    for option in command.params:
        if isinstance(option, click.Option) and not option.help and option.name not in PLAIN:
            yield f"{words}: {option.name}"


def test_help_when_asked_of_a_verb_then_has_an_example_and_every_option() -> None:
    lacking = [lack for words, command in LEAVES.items() for lack in lacks_of_help(words, command)]
    assert lacking == []


def test_examples_when_typed_in_a_shell_then_no_parameter_is_replaced() -> None:
    helps = [c.get_help(click.Context(c, info_name=words)) for words, c in LEAVES.items()]
    docs = [path.read_text("utf-8") for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))]
    lines = [line for text in helps + docs for line in text.splitlines() if "warehouse sql" in line]
    assert [line for line in lines if re.search(r"\$[a-z]", re.sub("'[^']*'", "", line))] == []


PLAIN = {"interval", "clock", "symbol", "exchange", "intervals", "clocks", "form"}
"""Options that need no help, because their name and choices are clear."""


def test_readme_when_read_then_names_every_verb() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [v for v in VERBS if not re.search(rf"(`{v}`|warehouse {v}\b)", text)] == []


def test_readme_when_it_calls_a_verb_then_there_is_such_a_verb() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) + re.findall(
        r"`(warehouse [^`]+)`", text
    )
    called = {
        verb
        for block in blocks
        for verb in re.findall(
            r"(?:^|&& |bin/)warehouse (?:--home \S+ )?([a-z]+)", block, re.MULTILINE
        )
    }
    assert called
    assert called <= set(VERBS)


def test_top_help_when_asked_then_every_verb_shows_its_own_first_line(tmp_path: Path) -> None:
    text = run_warehouse("--help", cwd=tmp_path).stdout
    assert [line.split()[0] for line in text.split("Commands:")[1].splitlines()
            if re.match(r"  [a-z]", line)] == VERBS  # fmt: skip


# -- settings, project, wheel --------------------------------------------------------------------


@pytest.mark.parametrize("environment", [{}, {"WAREHOUSE_THREADS": "2", "WAREHOUSE_MEMORY": "1GB"}])
def test_session_when_dbt_opens_one_then_has_the_settings_of_config(
    environment: dict[str, str],
) -> None:
    settings = load_settings("/HOME", environment)
    variables = environment | {"WAREHOUSE_HOME": "/HOME"}
    profile = yaml.safe_load((ROOT / "profiles.yml").read_text("utf-8"))
    native = NativeEnvironment()
    native.filters["as_bool"] = bool  # one of dbt's own
    output = {
        name: native.from_string(str(value)).render(env_var=variables.get)
        for name, value in profile["warehouse"]["outputs"]["home"].items()
    }
    assert output["settings"] == settings.session
    assert output["path"] == "/HOME/.build/warehouse.duckdb"
    assert output["keep_open"] is False


def test_session_when_dbt_runs_then_uses_the_profile_of_the_project() -> None:
    profile = yaml.safe_load((ROOT / "profiles.yml").read_text("utf-8"))
    assert PROJECT["profile"] in profile
    assert PROJECT["flags"]["send_anonymous_usage_stats"] is False


def test_wheel_when_built_then_carries_the_whole_dbt_project() -> None:
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for source, target in included.items():
        assert (ROOT / source).exists(), source
        assert target == f"warehouse/_dbt/{source}"
    needed = [PROJECT[kind] for kind in ("model-paths", "macro-paths", "seed-paths", "test-paths")]
    assert {path for paths in needed for path in paths} <= set(included)
    assert {"dbt_project.yml", "profiles.yml"} <= set(included)


def test_version_when_printed_then_is_one() -> None:
    assert PROJECT["version"] == warehouse.__version__
    assert warehouse.__version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_contributing_when_it_lists_packages_then_these_are_all() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text.split("| package | responsibility |")[1].split("\n\n")[0]
    packages = {path.parent.name for path in (ROOT / "warehouse").glob("*/__init__.py")}
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(packages)


def test_guarantees_when_they_name_a_test_then_the_file_is_there() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[a-z0-9_]+/)+test_\w+\.py)", text))
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).is_file()] == []
