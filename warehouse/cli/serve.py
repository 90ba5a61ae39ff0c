"""``warehouse serve``."""

from __future__ import annotations

import click

from warehouse.cli.common import home_option, put, say
from warehouse.config import Settings
from warehouse.errors import ExitCode, UsageError, needing_extras
from warehouse.home import Home


@click.command(
    epilog="""\b
Examples:
  warehouse serve --port 8700
  APERIODIC_API_URL=http://127.0.0.1:8700/api/v1 python notebook.py   in another terminal"""
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port to listen on; 0 picks a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--key",
    "needs_key",
    is_flag=True,
    help="Require the header X-API-KEY to match $APERIODIC_API_KEY. A key cannot be given as an"
    " argument, because other users of the machine can read arguments.",
)
@home_option
def serve(settings: Settings, port: int, host: str, needs_key: bool) -> int:
    """Serve the vendor's API from the lake, for the vendor's own client or any other.

    The first line on stdout is the base URL; point APERIODIC_API_URL at it. The server listens on
    this machine only; any other --host requires --key, because it exposes the lake to the network.
    Ctrl-C stops it.
    """
    with needing_extras():
        from warehouse.compat import run_server

    run_server(
        Home.of(settings),
        host=host,
        port=port,
        key=_key(settings) if needs_key else None,
        ready=_announce,
    )
    return ExitCode.DONE


def _announce(url: str) -> None:
    put(url)
    say("serving the lake; Ctrl-C stops it")


def _key(settings: Settings) -> str:
    if not settings.api_key:
        raise UsageError(
            "--key needs a key, and APERIODIC_API_KEY is not set",
            next_step="set it in the environment or in .env",
        )
    return settings.api_key
