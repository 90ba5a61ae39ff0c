"""``warehouse verify``."""

from __future__ import annotations

from dataclasses import asdict

import click

from warehouse.cli.common import home_option, json_option, put_json, say
from warehouse.config import Settings
from warehouse.errors import ExitCode
from warehouse.home import Home
from warehouse.verify import Finding, Kind, repair
from warehouse.verify import verify as verify_home


@click.command(epilog="Example: warehouse verify")
@click.option("--quick", is_flag=True, help="Compare names and sizes; do not read every file.")
@click.option("--repair", "mend", is_flag=True, help="Mend what can be mended, then rebuild.")
@json_option
@home_option
def verify(settings: Settings, quick: bool, mend: bool, as_json: bool) -> int:
    """Is everything in the home as it was left? Manifest, lake, catalogs and marts.

    Exit code 4 if anything is damaged; each finding says what to run.
    """
    home = Home(settings.home)
    if mend:
        for line in repair(home):
            say(line)
        if any(finding.next_step == "run: warehouse build" for finding in verify_home(home)):
            from warehouse.build import build

            say("building ...")
            build(settings)
    findings = verify_home(home, quick=quick)
    if as_json:
        put_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    damaged = any(finding.kind is Kind.DAMAGED for finding in findings)
    return ExitCode.DAMAGED if damaged else ExitCode.DONE


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        say(f"{finding.kind}: {finding.subject} {finding.what}\n  next: {finding.next_step}")
    say("all is as it was left" if not findings else f"{len(findings):,} findings")
