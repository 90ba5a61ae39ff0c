"""The command line: one group, one module per family of verbs, loaded when a verb is called."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from warehouse._version import __version__
from warehouse.cli.common import Verbs, debug_option, to_usage_error, with_home
from warehouse.config import load_numpy_without_threads
from warehouse.errors import ExitCode, FaultError, WarehouseError, disk_error_of
from warehouse.interrupts import delay_interrupts, exit_process, is_interrupt

# Module of ``warehouse.cli`` and summary of each verb, in the order of ``--help``.
_VERBS = {
    "demo": ("demo", "Build a warehouse of a simulated market, with a chart."),
    "sync": ("sync", "Download vendor files, or import a folder of them."),
    "import": ("imports", "Import ticks in other formats, with one SQL file per format."),
    "build": ("build", "Build the catalog and the models, test them, publish them."),
    "publish": ("build", "Publish a build file that dbt has filled."),
    "pull": ("bucket", "Update the home from its bucket."),
    "update": ("build", "Sync, then build."),
    "rollback": ("build", "Return to an earlier generation."),
    "docs": ("build", "Write the dbt documentation of all models as one page."),
    "audit": ("audit", "Check models for look-ahead; compare the vendor's metrics with ticks."),
    "verify": ("verify", "Check that nothing in the home is damaged."),
    "snapshot": ("snapshot", "Name the current generation, or list all generations."),
    "prune": ("snapshot", "Remove old generations and the files that only they need."),
    "forget": ("forget", "Remove series from the lake, such as a mistyped one."),
    "sql": ("query", "Run one SELECT and print the result."),
    "preview": ("preview", "Show rows of your own model, computed from its file without a build."),
    "queries": ("query", "List the named queries, or show one with its parameters."),
    "describe": ("describe", "List the tables, or the columns of one with meaning and unit."),
    "symbols": ("describe", "List the exchanges and symbols in the lake."),
    "shell": ("query", "Open the DuckDB shell on the catalog, read-only."),
    "status": ("status", "Show data, gaps, refused files and the state of the catalog."),
    "serve": ("serve", "Serve the vendor's API from the lake, on this machine."),
    "ui": ("ui", "Show the catalog in the browser: charts, coverage, quality, SQL."),
}


class _ReaderLeft(Exception):
    """The reader of stdout has closed it."""


class _Verbs(Verbs):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        with delay_interrupts():
            module = import_module(f"warehouse.cli.{_VERBS[name][0]}")
        command: click.Command = getattr(module, f"{name}_" if iskeyword(name) else name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb. When a reader such as ``head`` closes the pipe, click would exit with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderLeft from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with a summary each, without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in _VERBS.items()])


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Example: warehouse demo && warehouse sql "from flow_features limit 5"',
)
@click.option("--home", metavar="DIR", help="Folder of the warehouse [$WAREHOUSE_HOME, ./data].")
@debug_option
@click.version_option(__version__, prog_name="warehouse")
@click.pass_context
def cli(ctx: click.Context, home: str | None) -> None:
    """A researcher's own warehouse of crypto market-microstructure data."""
    ctx.ensure_object(dict)["home"] = home


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    _open_closed_streams()
    load_numpy_without_threads()
    gc.set_threshold(200_000)  # with the default of 700 it takes 40 ms of an hourly update
    exit_process(run(arguments))


def _open_closed_streams() -> None:
    """Replace standard streams that the caller has closed, as daemons do, by the null device."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; errors become a line on stderr and an exit code."""
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    chosen: dict[str, str | None] = {}
    try:
        outcome: Any = cli.main(arguments, prog_name="warehouse", standalone_mode=False, obj=chosen)
        return int(outcome) if isinstance(outcome, int) else ExitCode.DONE
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        return _report(to_usage_error(error), debug, chosen)
    except (KeyboardInterrupt, click.Abort):
        return report_interrupt()
    except _ReaderLeft:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except WarehouseError as error:
        return _report(error, debug, chosen)
    except Exception as error:
        if is_interrupt(error):
            return report_interrupt()
        return _report(_explained(error), debug, chosen, cause=error)


def report_interrupt() -> int:
    """Print that the command was interrupted; returns its exit code."""
    click.echo("interrupted; nothing is damaged, run the same command again", err=True)
    return ExitCode.INTERRUPTED


def _explained(error: Exception) -> WarehouseError:
    """Translate an unexpected exception: an error of the disk, or a bug."""
    if isinstance(error, OSError) and (disk := disk_error_of(error)) is not None:
        return disk
    return FaultError(
        f"internal error: {type(error).__name__}: {error}",
        next_step="run the same command with --debug and report its output",
    )


def _report(
    error: WarehouseError,
    debug: bool,
    chosen: Mapping[str, str | None],
    *,
    cause: Exception | None = None,
) -> int:
    if debug:
        click.echo("".join(traceback.format_exception(cause or error)), err=True, nl=False)
    click.echo(f"error: {with_home(error.for_shell(), chosen)}", err=True)
    return error.exit_code
