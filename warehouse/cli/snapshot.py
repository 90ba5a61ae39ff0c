"""``warehouse snapshot``, ``prune``."""

from __future__ import annotations

import click

from warehouse.cli.bucket import publish_to_bucket, published
from warehouse.cli.common import home_option, json_option, put, put_json, put_table, say
from warehouse.cli.completion import completed
from warehouse.config import Settings
from warehouse.display import counted, render_size
from warehouse.errors import ExitCode, UsageError
from warehouse.generations import list_generations
from warehouse.home import Home
from warehouse.upkeep import (
    KEEP_GENERATIONS,
    PrunePlan,
    drop_snapshot,
    plan_prune,
    prune_home,
    take_snapshot,
)


@click.command(epilog="Example: warehouse snapshot paper-v1")
@click.argument("name", required=False, shell_complete=completed("snapshot"))
@click.option("--drop", is_flag=True, help="Remove NAME, so that prune may remove the generation.")
@json_option
@home_option
@published(lambda v: v["name"] is not None)
def snapshot(settings: Settings, name: str | None, drop: bool, as_json: bool) -> int:
    """Name the current generation to keep it; without NAME, list the generations.

    A named generation keeps its files and models until the name is dropped. Query it with
    warehouse sql --snapshot paper-v1 or warehouse.open(snapshot="paper-v1").
    """
    home = Home.of(settings)
    if drop and name is None:
        raise UsageError("--drop without a NAME", next_step="write: warehouse snapshot NAME --drop")
    if drop and name is not None:
        say(f"generation {drop_snapshot(home, name)} is no longer the snapshot {name}")
        return ExitCode.DONE
    if name is not None:
        say(f"generation {take_snapshot(home, name)} is now the snapshot {name}")
        return ExitCode.DONE
    if settings.store is not None and not home.manifest.is_file():
        from warehouse.bucket import Reader

        Reader(settings).refresh(every=True)
    kept = list_generations(home)
    if as_json:
        put_json(
            [
                {
                    "generation": g.number,
                    "built_at": g.built_at,
                    "published_at": g.published_at,
                    "current": g.is_current,
                    "snapshots": g.snapshots,
                }
                for g in kept
            ]
        )
        return ExitCode.DONE
    rows = [
        (
            *(g.number, g.built_at, g.published_at),
            *("yes" if g.is_current else "", " ".join(g.snapshots)),
        )
        for g in kept
    ]
    put_table(["generation", "built_at", "published_at", "current", "snapshots"], rows)
    return ExitCode.DONE


@click.command(
    epilog="""\b
Examples:
  warehouse prune --keep 3            list what would be removed
  warehouse prune --keep 3 --yes      remove it"""
)
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=KEEP_GENERATIONS,
    show_default=True,
    help="Number of newest generations to keep.",
)
@click.option("--yes", is_flag=True, help="Remove them; without it they are only listed.")
@json_option
@home_option
@published(lambda v: bool(v["yes"]))
def prune(settings: Settings, keep: int, yes: bool, as_json: bool) -> int:
    """Remove old generations and the files that only they need.

    The current generation, snapshots and the newest generations stay, with all files that they
    read. Without --yes the plan is only printed. If the home is in a bucket, objects that are no
    longer needed are removed there too, once they are a day old.
    """
    home = Home.of(settings)
    act = prune_home if yes else plan_prune
    plan = act(home, keep=keep)
    in_bucket = [] if settings.store is None else _prune_bucket(settings, yes=yes)
    if as_json:
        put_json(_facts(plan, removed=yes) | ({"bucket": in_bucket} if settings.store else {}))
        return ExitCode.DONE
    if in_bucket:
        what = counted(len(in_bucket), "object")
        say(f"{'removed' if yes else 'would remove'} {what} of {settings.store}")
    if plan.generations:
        listed = ", ".join(map(str, plan.generations))
        say(f"{'removed' if yes else 'would remove'} generations: {listed}")
    for number in plan.in_use:
        say(f"generation {number} stays, because a session has it open")
    for path in plan.files:
        put(str(path.relative_to(home.root)))
    if not plan.generations and not plan.files:
        say("nothing to remove")
        return ExitCode.DONE
    say(
        f"{'freed' if yes else 'would free'} {render_size(plan.size_bytes)}:"
        f" {counted(len(plan.generations), 'catalog')} and {counted(len(plan.files), 'data file')}"
    )
    if not yes:
        say("  next: the same command with --yes")
    return ExitCode.DONE


def _prune_bucket(settings: Settings, *, yes: bool) -> list[str]:
    """Remove or list the objects that the bucket's newest HEAD does not need."""
    from warehouse.bucket import Store, prune_bucket

    if yes:
        publish_to_bucket(settings)
    return prune_bucket(Home.of(settings), Store(str(settings.store)), dry_run=not yes)


def _facts(plan: PrunePlan, *, removed: bool) -> dict[str, object]:
    return {
        "removed": removed,
        "generations": plan.generations,
        "in_use": plan.in_use,
        "files": [str(path) for path in plan.files],
        "size_bytes": plan.size_bytes,
    }
