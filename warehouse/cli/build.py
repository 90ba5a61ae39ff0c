"""``warehouse build``, ``publish``, ``update``, ``rollback``."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from warehouse.cli.bucket import published
from warehouse.cli.common import home_option, indented, put, say
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import ExitCode
from warehouse.generations import Published
from warehouse.generations import rollback as roll_back
from warehouse.home import Home, writing
from warehouse.lake import Manifest


def _workers(ctx: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """The number of processes that the user chose; None leaves it to the build."""
    if value == "auto":
        return None
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 1024):
        raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 to 1024")
    return int(value)


_workers_option: Callable[[Any], Any] = click.option(
    "--workers",
    default="auto",
    show_default=True,
    metavar="N|auto",
    callback=_workers,
    help="Compute the months in N processes, which share threads and memory.",
)


@click.command(epilog="Example: warehouse build")
@click.option(
    "--no-dbt", is_flag=True, help="Only prepare the build file, so that dbt can be run by hand."
)
@click.option("--force", is_flag=True, help="Build even if nothing changed since the last build.")
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    show_default=True,
    help="Engine that computes the marts; for spark, set SPARK_REMOTE to the server's address.",
)
@_workers_option
@home_option
@published()
def build(settings: Settings, no_dbt: bool, force: bool, engine: str, workers: int | None) -> int:
    """Build the catalog and the models in a private file, test them, and publish them.

    The new catalog replaces the old one by a single rename, so readers are never interrupted. If a
    model or a structural test fails, the old catalog stays and the exit code is 4. Failed tests of
    the vendor's values are warnings (exit code 1).
    """
    from warehouse.build import build as build_all
    from warehouse.build import prepare

    settings = replace(settings, engine=engine, workers=workers)
    if no_dbt:
        path = prepare(settings)
        exported = f"export WAREHOUSE_HOME={shlex.quote(str(settings.home.resolve()))}; "
        following = "dbt build, then: warehouse publish"
        if engine == "spark":
            following = (
                "dbt build --target spark --exclude resource_type:unit_test funding_doubts"
                "\n  (the tables stay there; warehouse build --engine spark brings them here)"
            )
        say(f"prepared {path}\n  next: {exported}{following}")
        return ExitCode.DONE
    published = build_all(settings, force=force, progress=_Steps())
    if published is None:
        return ExitCode.DONE
    return _report(published)


@click.command(epilog="Example: warehouse build --no-dbt && dbt build && warehouse publish")
@click.option(
    "--target",
    type=click.Path(path_type=Path),
    default=Path("target"),
    show_default=True,
    help="Folder of dbt's compiled files.",
)
@home_option
@published()
def publish(settings: Settings, target: Path) -> int:
    """Publish a build file that `dbt build` has filled.

    The marts are stored, your own models are built on them, and all models are audited for
    look-ahead. A model that failed, was not built, or has changed since it was built stops the
    publication, whichever dbt command ran last.
    """
    from warehouse.build import publish_by_hand

    return _report(publish_by_hand(settings, target, progress=_Steps()))


@click.command(
    epilog="""\b
Examples:
  warehouse update                             the subscriptions in warehouse.toml
  warehouse update --from ~/aperiodic-files    a folder of vendor files""",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS OF SYNC]...")
@_workers_option
@home_option
@published(lambda v: "--dry-run" not in v["arguments"])
@click.pass_context
def update(
    ctx: click.Context, settings: Settings, arguments: tuple[str, ...], workers: int | None
) -> int:
    """Sync, then build, for example from cron. Accepts the arguments of `warehouse sync`.

    The build runs even if some files were refused. Does nothing if nothing is new. With --dry-run,
    only the plan of the sync is printed.
    """
    from warehouse.cli.sync import sync

    home = ["--home", str(settings.home)]
    ctx.find_root().meta["builds"] = True
    synced = sync.main(
        [*home, *arguments], prog_name="sync", standalone_mode=False, parent=ctx.parent
    )
    if "--dry-run" in arguments or not _holds_files(Home.of(settings)):
        return int(synced or 0)
    chosen = [*home, "--workers", str(workers or "auto")]
    built = build.main(chosen, prog_name="build", standalone_mode=False, parent=ctx.parent)
    return int(max(synced or 0, built or 0))


def _holds_files(home: Home) -> bool:
    """Whether the home has files to build from."""
    if not home.manifest.is_file():
        return False
    with Manifest(home.manifest) as manifest:
        return manifest.holds_files()


@click.command(epilog="Example: warehouse rollback")
@click.argument("generation", type=int, required=False)
@home_option
@published()
def rollback(settings: Settings, generation: int | None) -> int:
    """Go back to the previous generation, or to GENERATION; no build is needed."""
    home = Home.of(settings)
    with writing(home, "rollback"):
        number = roll_back(home, generation)
    say(f"generation {number} is now the catalog")
    return ExitCode.DONE


@click.command(epilog="Example: warehouse docs")
@home_option
def docs(settings: Settings) -> int:
    """Write the dbt documentation of all models, your own included, to docs.html in the home."""
    from warehouse.build import write_docs

    say("writing the documentation ...")
    put(str(write_docs(settings, _Steps())))
    return ExitCode.DONE


class _Steps:
    """Print each step of a build, how many months and days it computes, and what is reused."""

    def __init__(self) -> None:
        self._reused: Counter[str] = Counter()
        self._step = self._what = ""
        self._computed = self._rows = 0
        self._began = self._shown = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        if event["step"] != "stored":
            self._finish()
            self._step = event["step"]
        match event:
            case {"step": "unchanged", "warnings": int(warnings)}:
                built = "up to date: nothing has changed since the catalog was built"
                found = f"; that build had {counted(warnings, 'warning')}; see: warehouse status"
                say(built + found * bool(warnings))
            case {"step": "stored", "reused": True, "is_day": is_day}:
                self._reused["stored day" if is_day else "stored month"] += 1
            case {"step": "stored", "is_day": is_day, "rows": int(rows), "waiting": int(waiting)}:
                self._count("day" if is_day else "month", rows, waiting)
            case {"step": "left out", "message": str(message)}:
                say(f"  left out {message.splitlines()[0]}")
            case {"step": "dbt builds", "message": str(message)}:
                say(f"  by dbt, which takes longer ({message})")
            case {"step": "no native copy", "message": str(message)}:
                say(f"  no native copy, so queries from Python take longer ({message})")
            case {"step": "tested", "reused": int(reused)}:
                self._reused["test result"] = reused
            case {"step": "audited", "reused": int(reused)}:
                self._reused["audit"] = reused
            case {"step": "publish"} if +self._reused:
                parts = [counted(number, what) for what, number in (+self._reused).items()]
                say(f"reused {', '.join(parts)}")
            case {"step": str(step)} if step in _STEPS:
                say(_STEPS[step])

    def _count(self, what: str, rows: int, waiting: int) -> None:
        """Count a computed month or day, and print from time to time how many are left."""
        now = time.monotonic()
        if not self._computed:
            self._began = self._shown = now
            if self._step in _COMPUTING:
                say(_COMPUTING[self._step])
        self._computed += 1
        self._rows += rows
        self._what = what
        if now - self._shown > _SECONDS_BETWEEN_LINES:
            self._shown = now
            wait_s = (now - self._began) / (self._computed - 1) * waiting  # began with the first
            done = counted(self._computed, what)
            say(f"  {done} stored, {waiting:,} left, about {wait_s:,.0f} s")

    def _finish(self) -> None:
        if self._computed:
            say(f"  stored {counted(self._computed, self._what)}, {counted(self._rows, 'row')}")
        self._computed = self._rows = 0


_SECONDS_BETWEEN_LINES = 5.0

# Steps that are named only if they compute something.
_COMPUTING = {
    "catalog": "gathering the vendor's files by month ...",
    "ticks": "computing bars from ticks ...",
}

_STEPS = {
    "models": "building the models ...",
    "store": "storing the marts ...",
    "tests": "testing ...",
    "user models": "building your own models ...",
    "audit": "auditing for look-ahead ...",
    "native": "copying the marts into tables ...",
}


def _report(published: Published) -> int:
    for warning in published.warnings:
        say(f"warning: {warning.resource_type} {warning.name}: {indented(warning.message)}")
    say(f"published generation {published.generation}: {published.catalog}")
    return ExitCode.DATA_PROBLEMS if published.warnings else ExitCode.DONE
