"""The renderer gives what dbt compiles, refuses what it does not support, and always ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from warehouse.project import Renderer, TemplateMistake, UnsupportedTemplate
from warehouse.project.compiled import SHIPPED
from warehouse.sql import Relation
from warehouse.vendor import dbt_project_dir

PROJECT = dbt_project_dir()


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture(scope="module")
def compiled() -> list[dict[str, Any]]:
    return list(json.loads(SHIPPED.read_bytes())["nodes"].values())


def test_models_and_tests_are_rendered_as_dbt_compiled_them(
    renderer: Renderer, compiled: list[dict[str, Any]]
) -> None:
    wrong = []
    for node in compiled:
        path = PROJECT / node["original_file_path"]
        if path.suffix == ".sql" and node["resource_type"] != "seed":
            relation = Relation(node["schema"], node["name"])
            if renderer.render(path.read_text(), relation).sql != node["compiled_code"]:
                wrong.append(node["name"])
    assert wrong == []
    generic = {"holds", "unique_grain", "keys_of_series"}
    expected = [
        node["compiled_code"]
        for node in compiled
        if node.get("test_metadata", {}).get("name") in generic
        and "__dbt__cte__" not in node["compiled_code"]
    ]
    rendered = [
        renderer.test(name, relation, arguments)
        for name, relation, arguments in _declared_tests(renderer)
        if name in generic
    ]
    assert sorted(rendered) == sorted(expected)


def _declared_tests(renderer: Renderer) -> Iterator[tuple[str, Relation, dict[str, Any]]]:
    for path in [*(PROJECT / "models").rglob("*.yml"), *(PROJECT / "seeds").glob("*.yml")]:
        said = yaml.safe_load(path.read_text())
        for node in said.get("models", []) + said.get("seeds", []):
            for test in node.get("data_tests", []):
                name, given = next(iter(test.items())) if isinstance(test, dict) else (test, {})
                relation = renderer.relation(node["name"])
                if relation is not None and not renderer.file_of_ephemeral(node["name"]):
                    yield name, relation, (given or {}).get("arguments", {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("select {{ run_query('select 1') }}", "line 1: 'run_query' is undefined"),
        ("select\n{{ env_var('HOME') }}", "line 2: 'env_var' is undefined"),
        ("{% if invocation_id is defined %}select 1{% endif %}", "'invocation_id' is undefined"),
        ("select {{ run_started_at | default('null') }}", "'run_started_at' is undefined"),
        ("{% for n in graph.nodes %}{% endfor %}", "line 1: .*no attribute 'nodes'"),
        ("{{ adapter.get_columns_in_relation(ref('bars')) }}", "no attribute 'get_columns"),
        ("{{ 'a'.__class__ }}", "line 1: access to attribute '__class__'"),
        ("{% for i in range(9999) %}{% for j in range(999) %}{% endfor %}{% endfor %}", "no end"),
        ("{% set x = namespace(y='a') %}{% for i in range(99) %}{% set x.y = x.y ~ x.y %}"
         "{% endfor %}", "too long"),
        ("{% set x = [[]] %}{% for i in range(9) %}{% do x.append([x[-1], x[-1]]) %}{% endfor %}"
         "{{ x[-1] }}", "a list of lists"),
        ("{% set x = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set x.a = [x.a, x.a] %}"
         "{% set x.b = [x.b, x.b] %}{% endfor %}{{ 1 if x.a == x.b }}", "no end"),
        ("{% set x = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set x.a = [x.a, x.a] %}"
         "{% set x.b = [x.b, x.b] %}{% endfor %}{{ 1 if x.a is eq x.b }}", "no end"),
        ("{{ 'a' * 10**9 }}", "too long"),
        ("{{ 2 ** (10**9) }}", "the number is too large"),
        ("{{ '%999999999d' % 1 }}", "this width is too large"),
        ("{{ 'aaaa' | replace('a', 'a' * 10**6) }}", "too long"),
        ("{{ (('a' * 10**6,) * 10**5) | join }}", "too"),
        ("{{ modules.re.fullmatch('(a+)+b', 'a' * 40) }}", "re: the pattern"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "'m' is undefined"),
        ("{% include 'x' %}", "line 1: "),
    ],
)  # fmt: skip
def test_what_only_dbt_supports_or_what_may_not_end_is_refused(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setattr("warehouse.project.sandbox._MOST_STEPS", 50_000)
    with pytest.raises(TemplateMistake, match=reason):
        renderer.render(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\n{{ ref('flow_featurs') }}", "line 2: ref.*did you mean flow_features"),
        ("a\n\n{{ rolling_zscore('a', }}", r"line 3: .*expected token '\)'|line 3: "),
        ("a\n{{ rolling_mean('a', '1 month') }}", "line 2: length '1 month': write a whole"),
        ("{{ source('vendor', 'flw') }}", "no such source; did you mean flow"),
    ],
)
def test_a_mistake_is_named_by_line_and_is_not_left_to_dbt(
    renderer: Renderer, text: str, reason: str
) -> None:
    with pytest.raises(TemplateMistake, match=reason) as caught:
        renderer.render(text)
    assert not isinstance(caught.value, UnsupportedTemplate)


def test_own_models_and_macros_are_rendered_and_read_each_other(tmp_path: Path) -> None:
    (tmp_path / "twice.sql").write_text("{% macro twice(x) %}2 * {{ x }}{% endmacro %}")
    (tmp_path / "base.sql").write_text("select {{ twice('a') }} as b from {{ ref('bars') }};\n")
    renderer = Renderer(tmp_path, {"base": tmp_path / "base.sql"})
    bars = '"warehouse"."main"."bars"'
    text = "{{ config(alias='x', meta={'labels': true}) }}\nfrom {{ ref('base') }} -- {{ this }}"
    own = renderer.render(text, Relation("user", "x"))
    assert own.sql == '\nfrom "warehouse"."user"."base" -- "warehouse"."user"."x"'
    assert own.config == {"alias": "x", "meta": {"labels": True}}
    inline = renderer.render("from {{ ref('base') }}", inline=True).sql
    assert inline == (
        f'with "base" as (\nselect 2 * a as b from {bars}\n)\nselect * from (\nfrom "base"\n)'
    )
    (tmp_path / "base.sql").write_text("from {{ ref('base') }}")
    with pytest.raises(TemplateMistake, match="read each other: base -> base"):
        renderer.render("from {{ ref('base') }}", inline=True)


def test_a_user_macro_that_replaces_a_built_in_one_is_left_to_dbt(tmp_path: Path) -> None:
    path = tmp_path / "m.sql"
    path.write_text("{% macro duckdb__ratio(a, b) %}{{ a }}:{{ b }}{% endmacro %}")
    assert Renderer(tmp_path).render("{{ ratio('x', 'y') }}").sql == "x:y"
    path.write_text("{% macro ratio(a, b) %}{% endmacro %}")
    with pytest.raises(UnsupportedTemplate, match="macro ratio: a built-in macro has this name"):
        Renderer(tmp_path)
