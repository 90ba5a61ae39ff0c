"""``warehouse audit``."""

from __future__ import annotations

import click

from warehouse.cli.common import Verbs, home_option, json_option, put, put_json, say
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import ExitCode
from warehouse.generations import require_catalog
from warehouse.home import Home


@click.group(cls=Verbs, epilog="Example: warehouse audit lookahead flow_features --cuts 5")
def audit() -> None:
    """Check by experiment that no model uses data that was not known yet."""


@audit.command(epilog="Example: warehouse audit lookahead flow_features --cuts 5")
@click.argument("models", nargs=-1)
@click.option("--cuts", default=20, show_default=True, help="Number of random moments to try.")
@click.option(
    "--seed", default=0, show_default=True, help="Seed of the random choice of series and moments."
)
@json_option
@home_option
def lookahead(
    settings: Settings, models: tuple[str, ...], cuts: int, seed: int, as_json: bool
) -> int:
    """Build MODELS (default: all) on the data known at a moment and on all data, and compare.

    Values before the moment must be equal, except in columns declared as labels, which must
    differ. The comparison is repeated with all later data replaced by noise. Exit code 1 if a model
    looks ahead (leak), is declared wrongly (misdeclared) or could not be tested (unproven). Columns
    that were NULL in every compared row are listed, because they could not be tested.
    """
    from warehouse.audit import audit_lookahead
    from warehouse.project import built_project

    home = Home.of(settings)
    require_catalog(home)
    say(f"auditing with {counted(cuts, 'cut')} ...")
    report = audit_lookahead(
        home.catalog,
        built_project(home),
        models=models,
        cuts=cuts,
        seed=seed,
        session=settings.session,
    )
    if as_json:
        put_json(
            {
                "passed": report.passed,
                "models": {str(a.model): str(a.verdict) for a in report.models},
                "untested": {str(a.model): a.reason for a in report.models if a.reason},
                "not_tried": {str(a.model): a.untested for a in report.models if a.untested},
                "findings": [str(finding) for finding in report.findings],
                "cuts": report.cuts,
                "series": report.series,
            }
        )
    else:
        for line in report.lines():
            put(line)
    return ExitCode.DONE if report.passed else ExitCode.DATA_PROBLEMS
