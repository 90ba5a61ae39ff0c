"""``warehouse sync``: from the vendor, or from a folder of the vendor's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from warehouse.cli.bucket import published
from warehouse.cli.common import grouped, home_option, json_option
from warehouse.cli.sync_output import (
    last_line,
    print_folder_plan,
    print_report,
    print_vendor_plan,
)
from warehouse.config import Settings
from warehouse.errors import ExitCode, UsageError, VendorError
from warehouse.home import Home
from warehouse.sync import LAYOUTS, Naming, Subscription, expand_datasets, plan_folder, sync_folder
from warehouse.vendor import CLOCKS, INTERVALS, day_after

if TYPE_CHECKING:
    from warehouse.vendor import VendorClient


class _Day(click.DateTime):
    """A UTC day; a day that the calendar lacks, such as 30 February, is named as such."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            found: datetime = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a day of the calendar, such as 2025-09-30", param, ctx)
        return found


_DAY = _Day(["%Y-%m-%d"])


@dataclass(frozen=True, slots=True)
class _Options:
    """Options of a sync that do not depend on its source."""

    recheck: bool
    salvage: bool
    dry_run: bool
    as_json: bool


def _as_day(ctx: click.Context, parameter: click.Parameter, value: datetime | None) -> date | None:
    return None if value is None else value.date()


def _as_end(ctx: click.Context, parameter: click.Parameter, value: datetime | None) -> date | None:
    return None if value is None else day_after(value.date())


@click.command(
    epilog="\b\nExamples:\n"
    "  warehouse sync flow l1_price --exchange binance-futures --interval 1h --clock true \\\n"
    "      --symbol perpetual-BTC-USDT:USDT --start 2025-01-01\n"
    "  warehouse sync --preview                     one month, without a key\n"
    "  warehouse sync                               the subscriptions in warehouse.toml\n"
    "  warehouse sync --from ~/files --dry-run      a folder of the vendor's files\n\n"
    "\b\nLayouts of a folder:\n" + "\n".join(f"  {layout}" for layout in LAYOUTS),
)
@grouped(
    "asked",
    Subscription,
    click.argument("datasets", metavar="[DATASET]...", nargs=-1),
    click.option("--exchange", "exchanges", multiple=True, help="Venue; may be repeated."),
    click.option(
        "--symbol", "symbols", multiple=True, help="Atlas symbol or pattern; may be repeated."
    ),
    click.option(
        "--interval",
        "intervals",
        multiple=True,
        type=click.Choice(INTERVALS),
        metavar="1m|5m|1h|...",
        help="Length of the bars; may be repeated.",
    ),
    click.option(
        "--clock",
        "clocks",
        multiple=True,
        type=click.Choice(CLOCKS),
        help="Time by which events are sorted into bars; may be repeated.",
    ),
    click.option(
        "--start", type=_DAY, callback=_as_day, metavar="YYYY-MM-DD", help="First UTC day."
    ),
    click.option(
        "--end",
        type=_DAY,
        callback=_as_end,
        metavar="YYYY-MM-DD",
        help="Last UTC day, included [today].",
    ),
)
@click.option(
    "--preview", is_flag=True, help="Download the free sample: one series, one month, no key."
)
@click.option(
    "--connections",
    type=click.IntRange(1, 32),
    default=8,
    show_default=True,
    help="Number of parallel downloads.",
)
@click.option(
    "--from", "folder", type=click.Path(path_type=Path), help="Folder of vendor files to import."
)
@click.option("--dataset", help="With --from: dataset of the files, if their paths lack it.")
@click.option(
    "--pattern",
    metavar="TEXT",
    help="With --from: pattern of the file names, as '{symbol}_{dataset}_{interval}_{period}'.",
)
@grouped(
    "options",
    _Options,
    click.option(
        "--recheck", is_flag=True, help="Check whether the vendor has restated old files."
    ),
    click.option(
        "--salvage",
        is_flag=True,
        help="Import the good rows of a file that has a few bad ones; meta.salvaged lists those.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the plan and change nothing."),
    json_option,
)
@home_option
@published(lambda v: not v["options"].dry_run)
def sync(
    settings: Settings,
    asked: Subscription,
    preview: bool,
    connections: int,
    folder: Path | None,
    dataset: str | None,
    pattern: str | None,
    options: _Options,
) -> int:
    """Import vendor files into the lake, unchanged, after checking them against their contract.

    Downloads the DATASETs from --start to --end, or the subscriptions in the home's warehouse.toml.
    Requests new files, and requests again those that were fetched less than two days after the end
    of their period, because the vendor may still change them. The key comes from APERIODIC_API_KEY
    (environment or .env), the address from APERIODIC_API_URL.

    Files that fail the check go to quarantine with the reason; files that cannot be downloaded are
    listed. The others are imported, and the exit code is 1. Repeating a complete sync does nothing.
    """
    home = Home.of(settings)
    if folder is not None:
        if asked.datasets or preview or asked.start or asked.end:
            raise UsageError(
                "--from imports a whole folder; DATASET, dates and --preview are for downloads",
                next_step="use --dataset for files whose path does not contain the dataset",
            )
        return _sync_folder(home, folder, _naming(asked, dataset, pattern), options)
    if dataset is not None:
        raise UsageError(
            "--dataset can only be used with --from", next_step=f"write: sync {dataset} ..."
        )
    if pattern is not None:
        raise UsageError("--pattern can only be used with --from", next_step="add --from FOLDER")
    chosen = _chosen(home, asked, preview=preview)
    for one in chosen:
        expand_datasets(one.datasets)  # finds misspelt names before anything is requested
    with _vendor(settings, preview=preview, connections=connections) as vendor:
        return _sync_vendor(home, vendor, chosen, options)


def _sync_folder(home: Home, folder: Path, naming: Naming, options: _Options) -> int:
    if options.dry_run:
        plan = plan_folder(home, folder, naming)
        print_folder_plan(plan, options.as_json, folder)
        return plan.exit_code
    report = sync_folder(home, folder, naming, salvage=options.salvage)
    print_report(report, options.as_json, folder=folder)
    return report.exit_code


def _sync_vendor(
    home: Home, vendor: VendorClient, chosen: Sequence[Subscription], options: _Options
) -> int:
    from warehouse.progress import phase, show_progress
    from warehouse.sync import plan_vendor, resolve, sync_vendor

    now = datetime.now(UTC)
    unfit: list[VendorError] = []
    with phase("list the requested series"):
        wanted = resolve(chosen, today=now.date(), symbols_of=vendor.symbols, unfit=unfit)
    if options.dry_run:
        plan = plan_vendor(home, wanted, vendor, now=now, recheck=options.recheck)
        plan = replace(plan, failures=(*unfit, *plan.failures))
        print_vendor_plan(plan, options.as_json)
        return ExitCode.DATA_PROBLEMS if plan.failures else ExitCode.DONE
    with phase("request, download and check files") as fetching, show_progress("sync") as meter:
        report = sync_vendor(
            home,
            wanted,
            vendor,
            now=now,
            recheck=options.recheck,
            salvage=options.salvage,
            meter=meter,
        )
        fetching.detail = last_line(report, None)
    print_report(replace(report, failures=(*unfit, *report.failures)), options.as_json)
    return report.exit_code or (ExitCode.DATA_PROBLEMS if unfit else ExitCode.DONE)


def _vendor(settings: Settings, *, preview: bool, connections: int) -> VendorClient:
    from warehouse.vendor import VendorClient

    return VendorClient(
        settings.api_url, settings.api_key, preview=preview, connections=connections
    )


def _chosen(home: Home, asked: Subscription, *, preview: bool) -> list[Subscription]:
    """The subscriptions to sync: from the options, else from warehouse.toml or the preview."""
    from warehouse.sync import load_subscriptions

    if preview:
        return [_preview(asked)]
    if asked.datasets:
        _require(asked)
        return [asked]
    return [_narrowed(one, asked) for one in load_subscriptions(home.subscription)]


def _preview(asked: Subscription) -> Subscription:
    """A subscription to the vendor's free sample, changed by the options."""
    from warehouse.vendor import PREVIEW_DAYS, PREVIEW_RAW_DAYS, PREVIEW_SERIES

    is_raw = all(name.startswith("raw") for name in asked.datasets) and bool(asked.datasets)
    days = PREVIEW_RAW_DAYS if is_raw else PREVIEW_DAYS
    return replace(
        asked,
        datasets=asked.datasets or ("*",),
        exchanges=asked.exchanges or (PREVIEW_SERIES.exchange,),
        symbols=asked.symbols or (PREVIEW_SERIES.symbol,),
        intervals=asked.intervals or (PREVIEW_SERIES.interval or "",),
        clocks=asked.clocks or (PREVIEW_SERIES.clock or "",),
        start=asked.start or days[0],
        end=asked.end or days[1],
    )


def _narrowed(one: Subscription, asked: Subscription) -> Subscription:
    """The subscription with the dates of the options, if given."""
    narrow = [asked.exchanges, asked.symbols, asked.intervals, asked.clocks]
    if any(narrow):
        raise UsageError(
            "--exchange, --symbol, --interval and --clock need a DATASET",
            next_step="name datasets, or omit these options to sync what warehouse.toml lists",
        )
    return replace(one, start=asked.start or one.start, end=asked.end or one.end)


def _require(asked: Subscription) -> None:
    missing = [
        option
        for option, value in (
            ("--exchange", asked.exchanges),
            ("--symbol", asked.symbols),
            ("--start", asked.start),
        )
        if not value
    ]
    if missing:
        raise UsageError(
            f"{', '.join(asked.datasets)}: {', '.join(missing)} must be given",
            next_step="see the example at the end of: warehouse sync --help",
        )


def _naming(asked: Subscription, dataset: str | None, pattern: str | None) -> Naming:
    """The options that describe the files of a folder; each may have one value."""

    def one(name: str, values: Sequence[str]) -> str | None:
        if len(values) > 1:
            raise UsageError(f"--{name} is given twice", next_step="give it once with --from")
        return values[0] if values else None

    if dataset:
        expand_datasets([dataset])  # finds a misspelt name
    return Naming(
        dataset,
        one("exchange", asked.exchanges),
        one("symbol", asked.symbols),
        one("interval", asked.intervals),
        one("clock", asked.clocks),
        pattern,
    )
