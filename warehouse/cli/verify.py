"""``warehouse verify``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from warehouse.cli.bucket import published
from warehouse.cli.common import home_option, json_option, put, put_json, put_table, say
from warehouse.config import Settings
from warehouse.errors import ExitCode, UsageError
from warehouse.home import Home
from warehouse.upkeep import Finding, Severity, verify_home


@click.command(
    epilog="""\b
Examples:
  warehouse verify
  warehouse verify --numerics            check the arithmetic of the installed DuckDB
  warehouse verify receipt.json          run the query of a receipt again and compare"""
)
@click.argument("receipt", required=False, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Compare names and sizes only, without reading files.")
@click.option("--repair", is_flag=True, help="Repair damage where possible, then rebuild.")
@click.option("--numerics", is_flag=True, help="Check core measures against exact arithmetic.")
@json_option
@home_option
@published(lambda v: v["repair"] and Home.of(v["settings"]).manifest.is_file())
def verify(
    settings: Settings,
    receipt: Path | None,
    quick: bool,
    repair: bool,
    numerics: bool,
    as_json: bool,
) -> int:
    """Check that the manifest, the lake, the catalogs and the marts are undamaged.

    If the home is in a bucket, every object there is read too, unless --quick is given.

    The exit code is 4 if anything is damaged. Each finding names the command to run next. Missing
    bars and unusual values are not damage: `warehouse status` lists them.

    RECEIPT is a file written by `warehouse sql --receipt` or r.receipt.save; its query is run
    again. The exit code is 0 if the result is identical; else it is 1, and the output shows whether
    the code changed or which files were restated.
    """
    if receipt is not None:
        return _verify_receipt(settings, receipt, as_json=as_json)
    if numerics:
        return _verify_numerics(settings, as_json=as_json)
    home = Home.of(settings)
    is_local = settings.store is None or home.manifest.is_file()  # it has all of its files
    if repair:
        for line in _repair(settings, is_local=is_local):
            say(line)
    findings = verify_home(home, quick=quick) if is_local else []
    if settings.store is not None:
        from warehouse.upkeep import verify_bucket

        findings += verify_bucket(settings, quick=quick)
    if as_json:
        put_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    damaged = any(finding.kind is Severity.DAMAGED for finding in findings)
    return ExitCode.DAMAGED if damaged else ExitCode.DONE


def _repair(settings: Settings, *, is_local: bool) -> Iterator[str]:
    """Repair the home, then its bucket."""
    if is_local:
        from warehouse.build import build
        from warehouse.upkeep import repair_home

        yield from repair_home(Home.of(settings), lambda: build(settings, force=True))
    if settings.store is not None:
        from warehouse.upkeep import repair_with_bucket

        yield from repair_with_bucket(settings)


def _verify_numerics(settings: Settings, *, as_json: bool) -> int:
    import duckdb

    from warehouse.upkeep import TOLERANCE, compare_numerics

    found = compare_numerics(settings)
    disagree = [one for one in found if not one.agrees]
    if as_json:
        put_json([asdict(one) | {"agrees": one.agrees} for one in found])
    else:
        columns = ["mart", "column", "values", "NULLs", "largest error", "NULLs differ"]
        rows = [
            (one.mart, one.column, one.values, one.nulls, f"{one.error:.1e}", one.nulls_differ)
            for one in found
        ]
        put_table(columns, rows)
        say(
            f"DuckDB {duckdb.__version__}: {len(disagree)} of {len(found)} measures differ"
            " from their definitions\n"
            "  next: pip install another duckdb, then: warehouse build --force"
            if disagree
            else f"DuckDB {duckdb.__version__}: all {len(found)} measures agree with their"
            f" definitions, to {TOLERANCE:.0e} of the magnitude of the sums"
        )
    return ExitCode.DAMAGED if disagree else ExitCode.DONE


def _verify_receipt(settings: Settings, path: Path, *, as_json: bool) -> int:
    from warehouse.query import Receipt
    from warehouse.upkeep import ReceiptStatus, verify_receipt

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f"{path}: this receipt cannot be read ({reason})",
            next_step="name a file that was written by: warehouse sql SQL --receipt FILE",
        ) from error
    outcome = verify_receipt(settings, Receipt.from_json(text))
    if as_json:
        put_json(asdict(outcome))
    else:
        put(str(outcome))
    return ExitCode.DONE if outcome.verdict is ReceiptStatus.IDENTICAL else ExitCode.DATA_PROBLEMS


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        say(f"{finding.kind}: {finding.subject} {finding.what}\n  next: {finding.next_step}")
    faults = sum(finding.kind is not Severity.NOTE for finding in findings)
    if any(finding.kind is Severity.DAMAGED for finding in findings):
        say(f"findings: {faults:,}")
    else:
        say(f"findings: {faults:,}; nothing is damaged" if faults else "nothing is damaged")
