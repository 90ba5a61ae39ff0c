"""``warehouse demo``."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

from warehouse.cli.common import debug_option, put, put_table, say
from warehouse.config import load_settings
from warehouse.display import render_chart
from warehouse.errors import ExitCode


@click.command(epilog="Example: warehouse demo")
@click.option("--home", metavar="DIR", help="Folder of the demo [default: ./demo].")
@click.option(
    "--ticks", is_flag=True, help="Add a day of raw trades and quotes, and 1m bars made from them."
)
@debug_option
@click.pass_context
def demo(ctx: click.Context, home: str | None, ticks: bool) -> int:
    """Build a warehouse of a simulated market in half a minute, without a key or a network.

    The demo has its own home, ./demo by default, so it never mixes with your data.
    """
    from warehouse.demo import SYMBOL, run_demo

    settings = load_settings(home or (ctx.find_root().obj or {}).get("home") or "demo")
    made = run_demo(settings, say, ticks=ticks)
    last = made.panel.slice(max(0, len(made.panel) - 8))
    put(f"\n{SYMBOL}, 1h, simulated: the last hours of flow_features and l1_features\n")
    put_table(last.column_names, [list(row.values()) for row in last.to_pylist()])
    put("")
    put(render_chart(made.panel["close"].to_pylist(), title="close, USDT, six months"))
    where = _as_typed(made.home.root)
    put(f"\npicture   {made.picture or made.no_picture}\ncatalog   {made.home.catalog}\n")
    put("try next:")
    verbs = ["status", "sql -q large_trade_share", "describe flow_features"]
    for verb in [*verbs, *["audit metrics --interval 1m"] * ticks, "ui"]:
        put(f"  {_program()} --home {where} {verb}")
    return ExitCode.DONE


def _program() -> str:
    """The command as the user can type it: with its path if it is not on ``PATH``."""
    if shutil.which("warehouse") is not None:
        return "warehouse"
    return _as_typed(Path(sys.executable).absolute().with_name("warehouse"))


def _as_typed(root: Path) -> str:
    """A path as the user would type it here."""
    here = Path.cwd()
    return shlex.quote(str(root.relative_to(here) if root.is_relative_to(here) else root))
