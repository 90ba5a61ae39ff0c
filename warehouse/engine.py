"""The one door to DuckDB: every connection is opened here, so the settings bind each of them."""

from __future__ import annotations

import itertools
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import duckdb

from warehouse.sqltext import literal

NO_EXTENSIONS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
"""For ``config``: nothing is fetched from the network because of what a query or a file names."""

_ABANDONED_S = 86_400
_numbers = itertools.count(1)


def connect(
    session: Mapping[str, str],
    catalog: Path | None = None,
    *,
    options: str = "read_only",
    config: Mapping[str, str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with a session's settings, its time zone and limits among them.

    Parameters
    ----------
    session
        Settings by name, as ``Settings.session`` or ``Home.session`` has them.
    catalog
        Attached as the database ``warehouse`` with ``options``.
    config
        What can be set only before DuckDB starts.
    """
    connection = duckdb.connect(config={**(config or {})})
    try:
        for name, value in session.items():
            chosen = _spill_folder(Path(value)) if name == "temp_directory" and value else value
            connection.execute(f"set global {name} = {literal(str(chosen))}")
        if catalog is not None:
            attach(connection, catalog, options=options)
    except BaseException:
        connection.close()
        raise
    return connection


def attach(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    name: str = "warehouse",
    *,
    options: str = "read_only",
) -> None:
    """Attach a database file; no options let it be written to."""
    given = f" ({options})" if options else ""
    connection.execute(f"attach {literal(str(path))} as {name}{given}")


def _spill_folder(wanted: Path) -> Path:
    """A folder of this connection's own beside ``wanted``; it appears when something is spilled.

    Two processes that spill into one folder overwrite each other's blocks under DuckDB 1.5. Where
    the home cannot be written to, as a colleague's, the user's temporary folder takes its place.
    """
    if os.access(wanted.parent, os.W_OK | os.X_OK):
        return wanted.with_name(f"{wanted.name}-{os.getpid()}-{next(_numbers)}")
    return Path(tempfile.gettempdir(), f"warehouse-{wanted.name}-{secrets.token_hex(8)}")


def abandoned_spills(build: Path) -> list[Path]:
    """Folders of spilled data that a killed process left a day ago or earlier."""
    oldest = time.time() - _ABANDONED_S
    return [path for path in build.glob("spill-*") if path.stat().st_mtime < oldest]
