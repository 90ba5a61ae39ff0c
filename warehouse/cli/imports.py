"""``warehouse import``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from warehouse.cli.bucket import published
from warehouse.cli.common import (
    LINES_SHOWN,
    home_option,
    json_option,
    put_json,
    put_table,
    say,
    say_some,
)
from warehouse.cli.sync_output import print_report, report_facts
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import ExitCode, UsageError
from warehouse.home import Home
from warehouse.imports import (
    ContractSize,
    Importer,
    ImportReport,
    Staged,
    Trial,
    after_refusal,
    find_importer,
    import_files,
    list_importers,
    try_import,
)


@click.command(
    "import",
    epilog="\b\nExamples:\n"
    "  warehouse import                             list the importers\n"
    "  warehouse import binance_trades BTCUSDT-trades-2025-06-*.zip --try \\\n"
    "      --exchange binance --symbol spot-BTC-USDT\n\n"
    "Write your own in ten lines: docs/importing.md",
)
@click.argument("name", required=False)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--exchange", help="Exchange of all files, as the vendor would write it.")
@click.option("--symbol", help="Atlas symbol of all files, such as perpetual-BTC-USDT:USDT.")
@click.option(
    "--contract-size",
    metavar="TEXT",
    help="Size of one contract, if amounts are contracts: '100 USD' or '0.01 BTC'.",
)
@click.option(
    "--try", "tries", is_flag=True, help="Show the first 5 rows of the first file; write nothing."
)
@json_option
@home_option
@published(lambda v: bool(v["name"]) and not v["tries"])
def import_(
    settings: Settings,
    name: str | None,
    files: tuple[Path, ...],
    exchange: str | None,
    symbol: str | None,
    contract_size: str | None,
    tries: bool,
    as_json: bool,
) -> int:
    """Import FILES of raw ticks in the format NAME as one series of the lake.

    NAME is an importer: a SQL file in the package or in the home's importers/ folder. Rows are
    checked, sorted and split by UTC day, regardless of file names. Rows of an earlier import
    of the same files are replaced. The exit code is 1 if a file or a day was refused.
    """
    home = Home.of(settings)
    if name is None:
        _print_importers(list_importers(home), as_json)
        return ExitCode.DONE
    importer = find_importer(home, name)
    if not files:
        raise UsageError("no files", next_step=f"write: warehouse import {name} FILES ...")
    if not symbol or not (exchange or tries):
        missing = "--symbol" if exchange or tries else "--exchange and --symbol"
        raise UsageError(
            f"{name}: give {missing}",
            next_step="the names of such files do not identify their series reliably",
        )
    size = None if contract_size is None else ContractSize.parse(contract_size)
    if tries:
        trial = try_import(settings, importer, files, symbol=symbol, contract_size=size)
        _print_trial(trial, as_json)
        return ExitCode.DATA_PROBLEMS if trial.staged.faults else ExitCode.DONE
    from warehouse.progress import phase, show_progress

    assert exchange is not None
    with phase("import files"), show_progress("import") as meter:
        report = import_files(
            settings,
            importer,
            files,
            exchange=exchange,
            symbol=symbol,
            contract_size=size,
            meter=meter,
        )
    _print_report(report, importer, as_json, settings.home)
    return report.exit_code


def _print_importers(importers: list[Importer], as_json: bool) -> None:
    if as_json:
        put_json(
            [
                {
                    "name": one.name,
                    "dataset": one.dataset,
                    "grain": one.grain,
                    "receive_clock": one.receive_clock,
                    "path": str(one.path),
                    "description": one.description,
                }
                for one in importers
            ]
        )
        return
    rows = [(i.name, i.dataset, i.grain, i.receive_clock, i.description) for i in importers]
    put_table(["name", "dataset", "grain", "receive clock", "format"], rows, wrap=True)
    say("next: warehouse import NAME FILES --exchange EXCHANGE --symbol SYMBOL --try")


def _print_trial(trial: Trial, as_json: bool) -> None:
    staged = trial.staged
    if as_json:
        rows = [dict(zip(trial.columns, row, strict=True)) for row in trial.rows]
        put_json({"rows": rows, **_facts(staged)})
        return
    put_table(trial.columns, trial.rows)
    part = "" if trial.is_whole else "the first "
    say(f"{staged.source.name}: {part}{_counts(staged)}")
    for fault in staged.faults:
        say(f"would be refused: {fault}")
    say("nothing was written; without --try all files are imported")


def _print_report(report: ImportReport, importer: Importer, as_json: bool, home: Path) -> None:
    if as_json:
        put_json(
            {
                "files": [_facts(staged) for staged in report.files],
                "unchanged_files": list(report.unchanged),
                "refused_files": [{"what": what, "reason": why} for what, why in report.refused],
                "duplicates": report.duplicates,
                "import_warnings": list(report.warnings),
                **report_facts(report.sync),
            }
        )
        return
    for warning in report.warnings:
        say(f"warning: {warning}")
    for staged in report.files[:LINES_SHOWN]:
        say(f"{staged.source.name}: {_counts(staged)}")
    if len(report.files) > LINES_SHOWN:
        say(f"and {counted(len(report.files) - LINES_SHOWN, 'file')} more, see --json")
    say_some("refused", [f"{what}: {why}" for what, why in report.refused])
    if report.refused:
        say(f"  next: {after_refusal(importer, home)}")
    if report.duplicates:
        say(f"{counted(report.duplicates, 'row')} left out as duplicates: the same id and values")
    if report.unchanged:
        say(f"{counted(len(report.unchanged), 'file')} known and unchanged")
    print_report(report.sync, refused=len(report.refused))


def _counts(staged: Staged) -> str:
    parts = [counted(staged.rows, "row")]
    for number, what in (
        (staged.without_side, "without a side"),
        (staged.out_of_order, "out of order"),
        (staged.known_before, "received before their time"),
    ):
        if number:
            parts.append(f"{number:,} {what}")
    return ", ".join(parts)


def _facts(staged: Staged) -> dict[str, Any]:
    return {
        "file": staged.source.name,
        "read": staged.rows,
        "days": list(staged.days),
        "without_side": staged.without_side,
        "out_of_order": staged.out_of_order,
        "received_before_time": staged.known_before,
        "faults": list(staged.faults),
    }
