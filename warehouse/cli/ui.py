"""``warehouse ui``."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import click

from warehouse.cli.common import home_option, past_options, put, say
from warehouse.config import Settings
from warehouse.errors import ExitCode, UsageError, needing_extras


@click.command(epilog="Example: warehouse ui")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port to listen on; 0 picks a free one.",
)
@click.option("--open", "link", metavar="LINK", help="Open this link, copied from the page.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@past_options
@home_option
def ui(
    settings: Settings, past: dict[str, Any], port: int, link: str | None, no_browser: bool
) -> int:
    """Show the catalog in the browser: charts, coverage, quality, lineage, SQL.

    The page is served by this machine only and needs no network. The first line on stdout is its
    address, which contains a secret. With --open, a link copied from the page shows the same view
    of the same generation again. Ctrl-C stops it.
    """
    view = _view_of(link)
    with needing_extras():
        from warehouse.ui import run_page

    def ready(url: str) -> None:
        address = f"{url}&{view}" if view else url
        put(address)
        say("showing the page; Ctrl-C stops it")
        if not no_browser:
            click.launch(address)

    run_page(settings, past, port=port, ready=ready)
    return ExitCode.DONE


def _view_of(link: str | None) -> str:
    """The view in a link, without the address and the token of the page that it was copied from.

    Examples
    --------
    >>> _view_of("http://127.0.0.1:40133/#/series/1?g=3")
    'view=/series/1?g=3'
    """
    if link is None:
        return ""
    fragment = urlsplit(link).fragment if "#" in link else link
    if not fragment.startswith("/"):
        raise UsageError(
            f"--open {link!r}: not a link to a view",
            next_step="copy one with the page's button Link",
        )
    return f"view={fragment}"
