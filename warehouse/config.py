"""Settings: the only reader of the environment, ``.env`` and ``warehouse.toml``.

``Settings`` is built once, by ``cli.main`` or ``warehouse.open``, and passed on.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from warehouse.errors import UsageError, WarehouseError, nearest
from warehouse.files import absolute

DEFAULT_API_URL = "https://aperiodic.io/api/v1"
PREVIEW_KEY = "DEMO-KEY"
NATIVE_GB = 4
CACHE_GB = 20.0
# Prefix of the address of a home in a bucket.
BUCKET = "s3://"
# The user's settings, in the home.
SETTINGS_FILE = "warehouse.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the home, of DuckDB and of the vendor's API.

    Attributes
    ----------
    home
        Absolute path of the folder that holds everything a user owns.
    threads, memory_limit
        DuckDB's limits; ``None`` leaves DuckDB's own default.
    workers
        Number of processes that compute the months of a build; None lets the build choose.
    native_gb
        Marts are copied into tables for sessions if they are at most this many GB in all; 0 copies
        none.
    engine
        Engine that computes the marts: ``duckdb``, or ``spark`` on a server (``warehouse.spark``).
    store
        Address of the bucket that holds the home, ``s3://bucket/prefix``; None for a local home.
    cache_gb
        A home that only reads from the bucket keeps up to this many GB of files.
    links
        Whether ``lake/`` has a link with a readable name for each vendor file.
    api_url
        Base URL of the vendor's API, without a trailing slash.
    api_key
        The vendor's API key, which ``repr`` never shows.
    """

    home: Path
    threads: int | None = None
    memory_limit: str | None = None
    workers: int | None = None
    native_gb: int = NATIVE_GB
    engine: str = "duckdb"
    store: str | None = None
    cache_gb: float = CACHE_GB
    links: bool = True
    api_url: str = DEFAULT_API_URL
    api_key: str | None = field(default=None, repr=False)

    @property
    def session(self) -> dict[str, str]:
        """DuckDB settings of every connection the product opens: dbt, API, CLI and shell alike.

        ``warehouse.engine`` gives each connection a folder of its own beside ``temp_directory``.
        """
        chosen = {"TimeZone": "UTC", "temp_directory": str(self.home / ".build" / "spill")}
        if self.threads is not None:
            chosen["threads"] = str(self.threads)
        if self.memory_limit is not None:
            chosen["memory_limit"] = self.memory_limit
        return chosen


def load_settings(
    home: str | os.PathLike[str] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Settings from an explicit home, the environment, and ``.env`` in the working folder.

    The home is ``home``, else ``$WAREHOUSE_HOME``, else ``./data``. A variable of the environment
    takes precedence over ``.env``. For the address of a bucket it is a folder in the user's cache,
    which reads from the bucket.

    Raises
    ------
    UsageError
        The value of a variable is invalid.

    Examples
    --------
    >>> load_settings("data", {"APERIODIC_API_KEY": "k"}).api_key
    'k'
    >>> "k'" in repr(load_settings("data", {"APERIODIC_API_KEY": "k"}))
    False
    """
    variables = _dotenv() | dict(os.environ if environment is None else environment)
    place = home or variables.get("WAREHOUSE_HOME") or "data"
    store = None
    if isinstance(place, str) and "://" in place:
        store = bucket_address(place)
        place = _cache_folder(store, variables)
    chosen = absolute(Path(place).expanduser())
    _require_plain(chosen)
    lasting = _lasting(chosen / SETTINGS_FILE)
    native_gb = _count(variables, "WAREHOUSE_NATIVE_GB", least=0)
    return Settings(
        home=chosen,
        threads=_count(variables, "WAREHOUSE_THREADS"),
        memory_limit=_memory(variables, "WAREHOUSE_MEMORY"),
        native_gb=NATIVE_GB if native_gb is None else native_gb,
        store=store or lasting.store,
        cache_gb=lasting.cache_gb,
        links=lasting.links,
        api_url=(variables.get("APERIODIC_API_URL") or DEFAULT_API_URL).rstrip("/"),
        api_key=variables.get("APERIODIC_API_KEY") or None,
    )


def bucket_address(text: str) -> str:
    """The address of a home in a bucket, without superfluous slashes.

    Examples
    --------
    >>> bucket_address("s3://team//our lake/")
    's3://team/our lake'
    """
    bucket, *prefix = text.removeprefix(BUCKET).split("/")
    parts = [part for part in prefix if part]
    is_named = text.startswith(BUCKET) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", bucket)
    if not is_named or any(part in (".", "..") or _CONTROL.search(part) for part in parts):
        shown = "the address of the bucket" if "@" in text else f"{text!r:.80}"
        raise UsageError(
            f"{shown}: not the address of a home in a bucket",
            next_step="write s3://BUCKET/PREFIX, and set the keys in the environment variables"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    return BUCKET + "/".join([bucket, *parts])


_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def _cache_folder(store: str, variables: Mapping[str, str]) -> Path:
    """The user's cache folder for the files of a bucket."""
    above = variables.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    bucket = store.removeprefix(BUCKET).partition("/")[0]
    return Path(above, "warehouse", f"{bucket}-{hashlib.sha256(store.encode()).hexdigest()[:12]}")


class _Lasting(NamedTuple):
    """Settings in ``warehouse.toml`` that apply to every command on the home."""

    store: str | None = None
    cache_gb: float = CACHE_GB
    links: bool = True


def _lasting(path: Path) -> _Lasting:
    """Read the settings in ``warehouse.toml``."""
    try:
        if not re.search(rb"^\s*[\"']?(store|cache_gb|links)\b", path.read_bytes(), re.MULTILINE):
            return _Lasting()
    except OSError:
        return _Lasting()
    document = _document(path)
    store, cache_gb = document.get("store"), document.get("cache_gb", CACHE_GB)
    links = document.get("links", True)
    if store is not None and not isinstance(store, str):
        raise UsageError(
            f"{path}: store is not a string", next_step='write: store = "s3://bucket/home"'
        )
    if isinstance(cache_gb, bool) or not isinstance(cache_gb, (int, float)) or not cache_gb >= 0:
        raise UsageError(
            f"{path}: cache_gb is not a number of gigabytes", next_step="write: cache_gb = 20"
        )
    if not isinstance(links, bool):
        raise UsageError(
            f"{path}: links is neither true nor false", next_step="write: links = false"
        )
    return _Lasting(None if store is None else bucket_address(store), float(cache_gb), links)


def _require_plain(home: Path) -> None:
    """Raise UsageError if DuckDB or dbt would misread the path.

    DuckDB reads ``*``, ``?`` and ``[`` in a file's path as a pattern, which may match files of
    another home; it cuts names of databases at ``?`` and ``\\``, and dbt at ``#``.
    """
    text = str(home)
    odd = sorted({c for c in text if c in "*?[\\#" or c < " " or "\ud800" <= c <= "\udfff"})
    if odd:
        named = " ".join(map(repr, odd))
        raise UsageError(
            f"{text!r}: {named} in a path has a special meaning for DuckDB or dbt",
            next_step="rename the home, or a folder above it, without such characters",
        )


_SECRETS = (
    "APERIODIC_API_KEY",
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)


def load_numpy_without_threads() -> None:
    """Keep numpy from starting threads for matrices, which takes 30 ms; no command uses them."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def child_environment(settings: Settings) -> dict[str, str]:
    """Environment for a child process (dbt) that works on the same home, without keys.

    dbt may keep the database open between nodes, because the child closes it at the end.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _SECRETS}
    environment["WAREHOUSE_HOME"] = str(settings.home)
    environment["WAREHOUSE_DBT_KEEPS_OPEN"] = "true"
    if settings.threads is not None:
        environment["WAREHOUSE_THREADS"] = str(settings.threads)
    if settings.memory_limit is not None:
        environment["WAREHOUSE_MEMORY"] = settings.memory_limit
    return environment


def read_tables(
    path: Path, name: str, keys: Collection[str], example: str
) -> list[tuple[str, dict[str, Any]]]:
    """The ``[[name]]`` tables of a ``warehouse.toml``, each with a label; none if it is missing."""
    document = _document(path)
    for other in nearest(name, document.keys() - {name, *_Lasting._fields}, cutoff=0.6):
        raise UsageError(f"{path}: unknown table {other!r:.80}", next_step=f"write: [[{name}]]")
    listed = document.get(name, [])
    if not isinstance(listed, list):
        raise UsageError(f"{path}: {name} is not a list of tables", next_step=f"write: {example}")
    tables = [(f"{path}: [[{name}]] {number}", table) for number, table in enumerate(listed, 1)]
    for where, table in tables:
        if not isinstance(table, dict):
            raise UsageError(f"{where}: not a table", next_step=f"write: {example}")
        for key in table:
            if key not in keys:
                raise UsageError(f"{where}: unknown key {key!r:.80}", next_step=f"write: {example}")
    return tables


def read_table(
    path: Path, name: tuple[str, str], keys: Collection[str], example: str
) -> dict[str, Any]:
    """The ``[first.second]`` table of text values in a ``warehouse.toml``; empty if missing."""
    found: Any = _document(path)
    for part in name:
        found = found.get(part, {}) if isinstance(found, dict) else None
    where = f"{path}: [{'.'.join(name)}]"
    if not isinstance(found, dict):
        raise UsageError(f"{where}: not a table", next_step=f"write: {example}")
    for key, value in found.items():
        if key not in keys or not isinstance(value, str):
            raise UsageError(
                f"{where}: unknown key or value {key!r:.80}", next_step=f"write: {example}"
            )
    return found


def _document(path: Path) -> dict[str, Any]:
    """The content of a ``warehouse.toml``; empty if there is no such file."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror})", next_step="check its permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: not TOML ({str(error)[:200]})", next_step="correct that line"
        ) from error


def _count(variables: Mapping[str, str], name: str, *, least: int = 1) -> int | None:
    """The value of a variable as a whole number; None if it is not set."""
    text = variables.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"0*[0-9]{1,6}", text) or int(text) < least:
        raise UsageError(
            f"{name}={text[:80]}: not a whole number of at least {least}", next_step=f"unset {name}"
        )
    return int(text)


def _memory(variables: Mapping[str, str], name: str) -> str | None:
    """The value of a variable as a memory size of DuckDB; None if it is not set."""
    text = variables.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})? ?([KMGT]i?B|%)", text, re.IGNORECASE):
        raise UsageError(
            f"{name}={text[:80]}: invalid memory size", next_step="write it as 500MB or 2GB"
        )
    if not text.endswith("%"):
        return text
    # DuckDB before 2.0 does not accept a percentage of the machine's memory. Remove the code below
    # when 2.0 is the oldest supported version: https://github.com/duckdb/duckdb/pull/25171
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{int(size * float(text[:-1]) / 100) >> 20}MiB"


def variable(name: str) -> str | None:
    """One variable of the environment or ``.env``, for a secret whose name the user chooses."""
    return os.environ.get(name) or _dotenv().get(name)


def program(home: Path) -> list[str]:
    """The words with which a command on a home begins in this environment."""
    with suppress(WarehouseError):
        if load_settings().home == home:
            return ["warehouse"]
    return ["warehouse", "--home", str(home)]


def _dotenv() -> dict[str, str]:
    """The ``NAME=value`` lines of ``./.env``; nothing when there is no such file."""
    path = Path(".env")
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        found = dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f".env: cannot be read ({reason})", next_step="correct or remove the file"
        ) from error
    return {name: value for name, value in found.items() if value is not None}
