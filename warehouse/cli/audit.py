"""``warehouse audit``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from warehouse.cli.common import Verbs, home_option, json_option, key_option, put, put_json, say
from warehouse.cli.completion import completed
from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import DiskError, ExitCode, LockedError, NotFoundError
from warehouse.generations import require_catalog
from warehouse.home import Home
from warehouse.query import Warehouse, session_of

if TYPE_CHECKING:
    from warehouse.project import Project


@click.group(cls=Verbs, epilog="Example: warehouse audit lookahead flow_features --cuts 5")
def audit() -> None:
    """Check models for look-ahead; compare the vendor's metrics with ticks."""


@audit.command(
    short_help="Check that no model uses data from after its rows were known.",
    epilog="Example: warehouse audit lookahead flow_features --cuts 5",
)
@click.argument("models", nargs=-1, shell_complete=completed("model"))
@click.option("--cuts", default=20, show_default=True, help="Number of random moments to try.")
@click.option(
    "--seed", default=0, show_default=True, help="Seed for the random choice of series and moments."
)
@json_option
@home_option
def lookahead(
    settings: Settings, models: tuple[str, ...], cuts: int, seed: int, as_json: bool
) -> int:
    """Build MODELS (default: all) on the data known at a moment and on all data, and compare.

    Values before the moment must be equal, except in declared labels, which must differ. The
    comparison is repeated with all later data replaced by noise. The exit code is 1 if a model
    looks ahead (leak), is declared wrongly (misdeclared) or could not be tested (unproven). Columns
    that were NULL in every compared row are listed, because they could not be tested.
    """
    from warehouse.audit import audit_lookahead
    from warehouse.progress import show_progress
    from warehouse.project import built_project

    home = Home.of(settings)
    require_catalog(home)
    project = built_project(home)
    for name in models:
        _require_model(settings, project, name)
    say(f"auditing with {counted(cuts, 'cut')} ...")
    with show_progress("audit", what="cut") as meter:
        meter.add(expected=cuts)
        report = audit_lookahead(
            home.catalog,
            project,
            models=models,
            cuts=cuts,
            seed=seed,
            session=settings.session,
            home=home.root,
            after_cut=partial(meter.add, files=1),
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


def _require_model(settings: Settings, project: Project, name: str) -> None:
    """Raise NotFoundError for an unknown model; one of the user's may have failed in the build."""
    try:
        project.model(name)
    except NotFoundError:
        with Warehouse(settings) as warehouse:
            reason, next_step = session_of(warehouse).names.absent_model(name)
        if reason:
            raise NotFoundError(reason, next_step=next_step, name=name) from None
        raise


_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"])


@audit.command(
    short_help="Compare the vendor's bars with raw ticks.",
    epilog="Example: warehouse audit metrics flow --interval 1m --start 2025-06-01",
)
@click.argument("datasets", nargs=-1, shell_complete=completed("dataset"))
@key_option("exchange", "Venue [all].")
@key_option("symbol", "Atlas symbol [all].")
@key_option("interval", "Length of the vendor's bars, such as 1m or 1h [all].")
@click.option("--start", type=_MOMENT, metavar="TIME", help="First bar, UTC [all with ticks].")
@click.option("--end", type=_MOMENT, metavar="TIME", help="End of the bars, UTC, excluded.")
@click.option(
    "--notional-usd-rate",
    type=click.FloatRange(0, min_open=True),
    metavar="RATE",
    default=1.0,
    help="Dollars per unit of the quote currency, for the size classes of trades [1].",
)
@json_option
@home_option
def metrics(
    settings: Settings,
    as_json: bool,
    **asked: Any,
) -> int:
    """Compare the vendor's bars of DATASETS (default: all) with the same bars from raw ticks.

    Each value is equal, equal in float32 (the vendor's rounding) or in rank (its sketch of
    medians), missing on one side, or differs.
    If a column has several readings, all are tried and the best is shown. The exit code is 1 if
    values differ or are missing by the best reading, or if the vendor lacks a bar. After the next
    build the verdicts are in meta.audit.
    """
    from warehouse.audit import audit_metrics, keep_audit
    from warehouse.cli.audit_metrics import print_metrics

    home = Home.of(settings)
    report = audit_metrics(home, **asked)
    print_metrics(report, as_json)
    try:
        keep_audit(home, report)
    except (LockedError, DiskError) as error:
        say(f"warning: meta.audit of the next build will not show this: {error.what}")
    return ExitCode.DONE if report.passed else ExitCode.DATA_PROBLEMS
