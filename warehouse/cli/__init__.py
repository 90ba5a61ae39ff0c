"""The command line: one group, one module per family of verbs, loaded when a verb is called."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from importlib import import_module
from typing import Any

import click

from warehouse.cli.common import Verbs, as_ours, debug_option
from warehouse.errors import ROOM_OR_RIGHTS, DiskError, ExitCode, FaultError, WarehouseError
from warehouse.interrupts import held_back, is_interrupt, leave

_VERBS = {
    "demo": "demo",
    "sync": "sync",
    "build": "build",
    "publish": "build",
    "update": "build",
    "rollback": "build",
    "docs": "build",
    "audit": "audit",
    "verify": "verify",
    "snapshot": "snapshot",
    "prune": "snapshot",
    "forget": "forget",
    "sql": "query",
    "queries": "query",
    "describe": "query",
    "symbols": "query",
    "shell": "query",
    "status": "status",
    "serve": "serve",
}
"""Verb to module below ``warehouse.cli``, in the order of ``--help``."""


class _ReaderLeft(Exception):
    """Nobody reads stdout any more."""


class _Verbs(Verbs):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        with held_back():
            module = import_module(f"warehouse.cli.{_VERBS[name]}")
        command: click.Command = getattr(module, name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; where a reader such as ``head`` left early, click itself would end with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderLeft from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with their first lines, without importing them all."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, _SUMMARIES[verb]) for verb in _VERBS])


_SUMMARIES = {
    "demo": "A simulated market, end to end: files, lake, catalog, marts, a chart.",
    "sync": "Fetch vendor files, or take in a folder of them.",
    "build": "Make catalog and models, test them, publish them.",
    "publish": "Publish a build file that dbt has filled.",
    "update": "Sync, then build.",
    "rollback": "Go back to an earlier generation.",
    "audit": "Proof by trial that no model looks ahead.",
    "verify": "Is everything in the home as it was left?",
    "snapshot": "Name the current generation; list the generations.",
    "prune": "Remove old generations and what no kept one needs.",
    "forget": "Take series out of the lake again, such as a mistyped one.",
    "docs": "The dbt documentation of all models as one page.",
    "sql": "Run one SELECT and print the answer.",
    "queries": "Named queries; or one, with its parameters.",
    "describe": "Tables; or the columns of one, with meaning and unit.",
    "symbols": "What is in the lake, by exchange and symbol.",
    "shell": "The DuckDB shell on the catalog, read-only.",
    "status": "What is here, until when, what is missing, what was refused.",
    "serve": "Answer the vendor's API from the lake, on this machine.",
}


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Example: warehouse demo && warehouse sql "from flow_features limit 5"',
)
@click.option("--home", metavar="DIR", help="Folder of the warehouse [$WAREHOUSE_HOME, ./data].")
@debug_option
@click.version_option(package_name="microstructure-warehouse", prog_name="warehouse")
@click.pass_context
def cli(ctx: click.Context, home: str | None) -> None:
    """A researcher's own warehouse of crypto market-microstructure data."""
    ctx.obj = {"home": home}


_OF_DISK = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EROFS", "EACCES", "EPERM", "EDQUOT"),
        *("EFBIG", "EIO", "EISDIR", "ENOTDIR", "ENAMETOOLONG"),
    )
)
"""What a disk or its permissions refuse; no fault of the program."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    _open_closed_streams()
    leave(run(arguments))


def _open_closed_streams() -> None:
    """Put nothing in the place of streams that the caller has closed, as daemons do."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; errors become a line on stderr and an exit code."""
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    try:
        outcome: Any = cli.main(arguments, prog_name="warehouse", standalone_mode=False)
        return int(outcome) if isinstance(outcome, int) else ExitCode.DONE
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        return _report(as_ours(error), debug)
    except (KeyboardInterrupt, click.Abort):
        return report_interrupt()
    except _ReaderLeft:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except WarehouseError as error:
        return _report(error, debug)
    except Exception as error:
        if is_interrupt(error):
            return report_interrupt()
        return _report(_explained(error), debug, cause=error)


def report_interrupt() -> int:
    """Print that the command was interrupted; returns its exit code."""
    click.echo("interrupted; nothing is damaged, run the same command again", err=True)
    return ExitCode.INTERRUPTED


def _explained(error: Exception) -> WarehouseError:
    """An error that is none of ours: the disk's, or a fault of the program."""
    if isinstance(error, OSError) and error.errno in _OF_DISK:
        named = f"{error.filename}: " if error.filename else ""
        return DiskError(f"{named}{error.strerror}", next_step=ROOM_OR_RIGHTS)
    return FaultError(
        f"a fault of the program: {type(error).__name__}: {error}",
        next_step="run the same command with --debug, and report what it prints",
    )


def _report(error: WarehouseError, debug: bool, *, cause: Exception | None = None) -> int:
    if debug:
        click.echo("".join(traceback.format_exception(cause or error)), err=True, nl=False)
    click.echo(f"error: {error.for_shell()}", err=True)
    return error.exit_code
