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
    """Proof by trial that no model uses what was not known yet."""


@audit.command(epilog="Example: warehouse audit lookahead flow_features --cuts 5")
@click.argument("models", nargs=-1)
@click.option("--cuts", default=20, show_default=True, help="Random moments to try.")
@click.option("--seed", default=0, show_default=True, help="Chooses series and moments.")
@json_option
@home_option
def lookahead(
    settings: Settings, models: tuple[str, ...], cuts: int, seed: int, as_json: bool
) -> int:
    """Build MODELS (all by default) on what was known at a moment, and on all data; compare.

    Every value before the moment must be the same; labels, which are declared, must differ. Also
    with all later data replaced by noise. Exit code 1 if a model looks ahead (leak), declares
    what is not so (misdeclared), or cannot be tried (unproven). A column that is NULL wherever it
    is compared could not be tried, and is named as such.
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
