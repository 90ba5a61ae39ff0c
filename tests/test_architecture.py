"""Rules for the code: imports, output, environment, size, cost."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import warehouse
from tests.support import ROOT, bar_table, file_key, grid, write_file

PACKAGE = ROOT / "warehouse"
SOURCES = {
    str(path.relative_to(PACKAGE)): path.read_text("utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}
HEAVY = (
    "dbt", "duckdb", "httpx", "jinja2", "matplotlib", "numpy", "obstore", "pandas", "polars",
    "pyarrow", "rich", "sqlglot", "starlette", "uvicorn", "yaml",
)  # fmt: skip
"""Packages that cost time to load, and so are loaded by who needs them."""


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(source) for name, source in SOURCES.items()}


def test_imports_when_followed_then_go_in_one_direction() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    finished = subprocess.run(
        [program, "--no-cache", "--no-logo"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "0 broken" in finished.stdout


# -- cost of imports -----------------------------------------------------------------------------


def loaded_after(code: str, *arguments: object) -> set[str]:
    """Heavy packages that a fresh process has loaded after running ``code``."""
    tail = f"\nimport sys; sys.stderr.write(' '.join(m for m in {HEAVY} if m in sys.modules))"
    finished = subprocess.run(
        [sys.executable, "-c", code + tail, *map(str, arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(finished.stderr.split())


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import warehouse; warehouse.__version__", set()),
        ("import warehouse; warehouse.WarehouseError", set()),
        ("import warehouse.query.warehouse", {"duckdb"}),
        ("import warehouse.cli", set()),
        ("import warehouse.config, warehouse.vendor.keys, warehouse.errors, warehouse.home", set()),
        ("import warehouse.vendor.contracts", set()),
        ("import warehouse.generations.publish", {"duckdb"}),
        ("import warehouse.sync.from_vendor, warehouse.cli.sync", {"httpx", "rich"}),
        ("import warehouse.display", set()),
    ],
)
def test_import_when_cold_then_loads_only_what_it_needs(code: str, allowed: set[str]) -> None:
    assert loaded_after(code) <= allowed


def test_sql_when_asked_on_the_command_line_then_loads_no_build_or_frames(demo_home: Path) -> None:
    code = (
        "import sys; from warehouse.cli import run;"
        " run(['--home', sys.argv[1], 'sql', 'select count(*) from flow_features'])"
    )
    assert loaded_after(code, demo_home) <= {"duckdb", "pyarrow", "numpy", "yaml", "sqlglot"}


def test_open_when_the_catalog_of_today_is_asked_then_looks_at_no_other(demo_home: Path) -> None:
    code = (
        "import sys, warehouse; warehouse.open(sys.argv[1]).sql('select 1').fetchall();"
        " past = ('warehouse.generations.history', 'warehouse.upkeep.prune', 'warehouse.bucket');"
        " print(*(name for name in past if name in sys.modules))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, demo_home],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert finished.stdout.split() == []


def test_sync_when_files_grew_then_loads_no_frames(tmp_path: Path) -> None:
    key, starts = file_key("flow", "2025-09-01"), grid(date(2025, 9, 1), 24)
    code = (
        "import sys; from warehouse.cli import run;"
        " run(['--home', sys.argv[1], 'sync', '--from', sys.argv[2]])"
    )
    for bars in (6, 12):
        write_file(tmp_path / "files", key, bar_table("flow", starts[:bars]))
        loaded = loaded_after(code, tmp_path / "home", tmp_path / "files")
        assert "pyarrow" in loaded
        assert "pandas" not in loaded


def test_help_when_asked_then_loads_nothing_heavy() -> None:
    assert loaded_after("from warehouse.cli import run; run(['--help'])") == set()


def test_benchmarks_when_read_then_import_only_names_that_exist() -> None:
    """No other test runs them, so that a renamed module would break them unnoticed."""
    missing = [
        f"{path.name}: {node.module}.{alias.name}"
        for path in sorted((ROOT / "benchmarks").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("warehouse")
        for alias in node.names
        if not hasattr(import_module(str(node.module)), alias.name)
        and find_spec(f"{node.module}.{alias.name}") is None
    ]
    assert missing == []


# -- output and environment ----------------------------------------------------------------------


def test_modules_when_they_report_something_then_do_not_print() -> None:
    printed = [
        f"{name}:{node.lineno}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "breakpoint", "input")
    ]
    assert printed == []


def test_duckdb_when_opened_then_by_the_door_that_applies_the_settings() -> None:
    """A bare connection or home has no memory limit and no time zone."""
    doors = {
        name: ast.unparse(node.func)
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("duckdb.connect", "Home")
    }
    assert doors == {"engine.py": "duckdb.connect", "lake/manifest/manifest.py": "Home"}


def test_environment_when_read_then_by_config_alone() -> None:
    touched = {
        name
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("environ", "environb", "getenv", "putenv")
            and ast.unparse(node.value) == "os"
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and any(alias.name in ("environ", "getenv") for alias in node.names)
        )
    }
    assert touched == {"config.py"}


TABLES = {"build/meta/rows.py: _of_lake"}
"""Functions that are one long table of rows, where cutting would not help a reader."""


# -- size and shape ------------------------------------------------------------------------------


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of the body that hold code."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    if not body:
        return 0
    held = (line.strip() for line in lines[body[0].lineno - 1 : body[-1].end_lineno])
    return sum(bool(line) and not line.startswith("#") for line in held)


def test_modules_when_written_then_are_small_enough_to_be_read() -> None:
    lines = {name: source.splitlines() for name, source in SOURCES.items()}
    assert [name for name in lines if len(lines[name]) > 500] == []
    long = [
        f"{name}: {node.name}"
        for name, tree in trees().items()
        for node in functions(tree)
        if length(node, lines[name]) > 50
    ]
    assert [place for place in long if place not in TABLES] == []


def test_modules_when_opened_then_have_a_docstring() -> None:
    assert [name for name, tree in trees().items() if not ast.get_docstring(tree)] == []


# -- names ---------------------------------------------------------------------------------------


def imported(tree: ast.Module) -> set[tuple[str, str]]:
    """Module and name of each import that only a type checker reads."""
    return {
        (str(node.module), alias.name)
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_modules_of_a_package_are_imported_by_that_package_only() -> None:
    """Code outside a package imports from its ``__init__.py``, wherever the import is written."""
    modules = {f"warehouse/{name}".removesuffix(".py").replace("/", ".") for name in SOURCES}
    wrong = [
        f"{name} imports {module}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        for alias in (node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else ())
        for module in (
            getattr(node, "module", alias.name),
            f"{getattr(node, 'module', '')}.{alias.name}",
        )
        if module in modules and module.count(".") > 1
        if module.split(".")[1] != Path(name).parts[0]
    ]
    assert not wrong


def test_packages_when_used_then_have_the_names_that_a_type_checker_reads() -> None:
    packages = {
        ".".join(["warehouse", *Path(name).parent.parts]): imported(tree)
        for name, tree in trees().items()
        if "lazy_names(" in SOURCES[name] and name != "lazy_imports.py"
    }
    assert {"warehouse", "warehouse.analysis", "warehouse.vendor"} <= set(packages)
    for package, names in packages.items():
        assert dir(import_module(package)) == sorted(name for _, name in names)


def test_names_of_the_product_when_read_then_each_list_has_the_same_names() -> None:
    checked = imported(trees()["__init__.py"])
    assert set(warehouse.__all__) - {"__version__"} == {name for _, name in checked}
    for module, name in checked:
        assert getattr(warehouse, name) is getattr(import_module(module), name)


# -- words ---------------------------------------------------------------------------------------

ODD_WORDS = re.compile(
    r"\b(whence|anew|mend(s|ed|ing)?|thereof|(is|are|was|were) (said|told)|who asks|for ever"
    r"|of now|wish(ed|es)?|amid|our words|(asked|said) (of|for)|all the same)\b",
    re.I,
)
TEXTS = ("warehouse", "docs", "models", "macros", "tests/dbt", "README.md", "CONTRIBUTING.md")


def test_texts_when_written_then_are_plain_english() -> None:
    """Docstrings, comments, messages and docs; constants are explained by comments above them."""
    roots = [ROOT / name for name in TEXTS]
    paths = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    offenders = [
        f"{path.relative_to(ROOT)}:{number}: {found[0]}"
        for path in sorted(paths)
        if path.suffix in (".py", ".md", ".sql", ".yml")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if (found := ODD_WORDS.search(line))
    ]
    offenders += [
        f"{name}:{text.lineno}: a string below a constant"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef)
        for constant, text in itertools.pairwise(node.body)
        if isinstance(constant, ast.Assign | ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    ]
    assert not offenders, "\n".join(offenders)
