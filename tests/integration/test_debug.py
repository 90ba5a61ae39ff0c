"""``--debug`` shows where the seconds went; the first example of every ``--help`` works."""

from __future__ import annotations

import re
import shlex
from datetime import date
from pathlib import Path

import click
import pytest

from tests.support import bar_table, copy_home, file_key, grid, run_warehouse, write_file
from warehouse.cli import cli, status
from warehouse.cli import run as run_here
from warehouse.errors import ExitCode

PHASE = re.compile(r"warehouse\.phases: +\d+\.\d{3} s  (.+)")

NOT_RUN_HERE = {
    "demo": "the fixture demo_home has run it",
    "sync": "it asks the vendor; test_command_line.py runs it against a server of ours",
    "update": "it asks the vendor for what warehouse.toml subscribes to; likewise",
    "build": "the fixture story runs it; here it would take half a minute",
    "publish": "the fixture story runs its three commands",
    "docs": "test_user_models.py runs it; it takes half a minute",
    "audit": "test_audit.py runs it; it takes minutes",
    "shell": "it becomes the DuckDB shell; test_cli.py runs it",
    "serve": "it runs until it is stopped; test_client.py starts and stops it",
    "pull": "needs a home in a bucket; tests/s3 runs it",
    "ui": "it runs until it is stopped; test_page.py starts and stops it",
    "preview": "needs a model of one's own",
}
"""Verbs whose first example is run by another test, or whose run costs too much, and why."""

VERBS = [verb for verb in cli.list_commands(click.Context(cli)) if verb not in NOT_RUN_HERE]


def first_example(verb: str) -> list[str]:
    """The words of the first example in a verb's help, without what explains it."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    text = command.get_help(click.Context(command, info_name=verb)).replace("\\\n", "")
    line = re.split(r"Examples?:\s*", text)[1].splitlines()[0]
    program, *words = shlex.split(re.sub(r"(?<=\S) {3,}(?![- ]).*", "", line))
    assert program == "warehouse"
    return words


@pytest.mark.parametrize("verb", VERBS)
def test_help_when_its_first_example_is_typed_then_works(
    demo_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
) -> None:
    home = copy_home(demo_home, tmp_path / "home")
    monkeypatch.setenv("WAREHOUSE_HOME", str(home))
    code = run_here(first_example(verb))
    out, err = capsys.readouterr()
    if verb in ("rollback", "forget"):  # nothing to go back to, or to let go, in the demo
        assert "next: " in err and code == ExitCode.USAGE
    else:
        assert code == ExitCode.DONE, err
        assert out or err


def test_debug_when_given_before_or_after_the_verb_then_shows_phases(
    demo_home: Path, tmp_path: Path
) -> None:
    for words in (["--debug", "sql", "select 1"], ["sql", "select 1", "--debug"]):
        run = run_warehouse("--home", demo_home, *words, cwd=tmp_path)
        phases = PHASE.findall(run.stderr)
        assert [phase.split(":")[0] for phase in phases] == [
            "open the catalog",
            "parse and check the SQL",
            "run the query and write the result",
            "in all",
        ]
        assert "1" in run.stdout


def test_debug_when_a_folder_is_synced_again_then_shows_what_was_known(tmp_path: Path) -> None:
    key = file_key("flow", "2025-09")
    write_file(tmp_path / "files", key, bar_table("flow", grid(date(2025, 9, 1), 3)))
    for known in (0, 1):
        words = ("--home", "home", "sync", "--from", "files", "--debug")
        run = run_warehouse(*words, cwd=tmp_path)
        told = f"{1 - known} files to read, {known} known and unchanged"
        assert f"compare the folder with the lake: {told}" in PHASE.findall(run.stderr)


def test_update_when_it_is_a_dry_run_then_builds_nothing(tmp_path: Path) -> None:
    key = file_key("flow", "2025-09")
    write_file(tmp_path / "files", key, bar_table("flow", grid(date(2025, 9, 1), 3)))
    words = ["--home", str(tmp_path / "home"), "update", "--from", str(tmp_path / "files")]
    assert run_here([*words[:2], "sync", *words[3:]]) == ExitCode.DONE
    assert run_here([*words, "--dry-run"]) == ExitCode.DONE
    assert not (tmp_path / "home" / "generations").exists()


def test_fault_when_the_program_has_one_then_names_debug_which_shows_the_traceback(
    demo_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise KeyError("nothing")

    monkeypatch.setattr(status, "_facts", broken)
    assert run_here(["status", "--home", str(demo_home)]) == ExitCode.FAULT
    err = capsys.readouterr().err
    assert err.startswith("error: internal error: KeyError") and "--debug" in err
    assert run_here(["--debug", "status", "--home", str(demo_home)]) == ExitCode.FAULT
    assert "Traceback" in capsys.readouterr().err
