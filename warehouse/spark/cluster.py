"""The Spark Connect server that computes marts: its tables of vendor data, and the rows it returns.

The server reads the gathered months and writes its marts as parquet, both below the home, so its
workers need the home's folder: as the same path, or as the ``lake`` of ``warehouse.toml``::

    [engine.spark]
    remote = "sc://spark.example:15002"      # or the variable SPARK_REMOTE
    lake = "/mnt/research/home"              # path of the home on the workers; the same by default
"""

from __future__ import annotations

import re
import shutil
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.config import read_table, variable
from warehouse.errors import BuildError, UsageError, needing_extras
from warehouse.files import link_or_copy
from warehouse.home import Home

DEFAULT_PORT = 15002
# host and port, with an optional user, and parameters such as a token
_ADDRESS = re.compile(
    r"sc://([^@/]*@)?(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\])(:(?P<port>\d{1,5}))?(/.*)?"
)
_REACH_S = 5
# The waits between them grow fourfold from 0.05 s: 17 s in all; pyspark's 15 take ten minutes.
_RETRIES = 5
_MONTH = "_month_of_time"
_EXAMPLE = '[engine.spark] remote = "sc://127.0.0.1:15002"'
_NAMES = {
    "VARCHAR": "string",
    "DOUBLE": "double",
    "FLOAT": "float",
    "BIGINT": "bigint",
    "INTEGER": "int",
    "BOOLEAN": "boolean",
    "TIMESTAMP": "timestamp_ntz",
    "DATE": "date",
}
_SETTINGS = {
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
}


@dataclass(frozen=True, slots=True)
class SparkServer:
    """The server's address, and the home's path as its workers see it."""

    remote: str
    lake: str | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        found = _ADDRESS.fullmatch(self.remote)
        assert found is not None
        return found["host"].strip("[]"), int(found["port"] or DEFAULT_PORT)

    @property
    def shown(self) -> str:
        """The address for messages, without a token."""
        return "sc://{}:{}".format(*self.address)


def spark_server(home: Home) -> SparkServer:
    """The server of ``warehouse.toml``, else of the variable ``SPARK_REMOTE``."""
    table = read_table(home.subscription, ("engine", "spark"), ("remote", "lake"), _EXAMPLE)
    remote = table.get("remote") or variable("SPARK_REMOTE")
    if "token=" in str(table.get("remote")):
        raise UsageError(
            f"{home.subscription}: the address in [engine.spark] has a token, and the file is no"
            " place for secrets",
            next_step="set SPARK_REMOTE to the whole address in the environment or .env, and delete"
            " remote from the file",
        )
    if not isinstance(remote, str) or not _ADDRESS.fullmatch(remote):
        raise UsageError(
            "--engine spark: "
            + ("the server's address is not sc://host:port" if remote else "no server is named"),
            next_step=f"set SPARK_REMOTE=sc://host:{DEFAULT_PORT}, or write {_EXAMPLE} into"
            f" {home.subscription}",
        )
    return SparkServer(remote, table.get("lake"))


class Cluster:
    """A session of the server."""

    def __init__(self, session: Any, server: SparkServer, home: Home) -> None:
        self._session, self._home = session, home
        self.server = server
        self.engine = f"spark {session.version}"
        self._folder = home.build / "spark"

    def show_datasets(
        self, datasets: Mapping[str, tuple[Mapping[str, str], Sequence[Path]]]
    ) -> None:
        """Make ``vendor.<dataset>`` show these files, by columns with their DuckDB types.

        A table is a folder of links to the files, because Spark plans a folder at once but a union
        file by file. Columns of types that no contract has are left out.
        """
        for schema in ("vendor", "meta", "staging", "main"):
            self._run(f"create schema if not exists {schema}")
        shutil.rmtree(self._folder, ignore_errors=True)
        for dataset, (columns, files) in datasets.items():
            folder = self._folder / "vendor" / dataset
            folder.mkdir(parents=True)
            for file in files:
                link_or_copy(file, folder / file.name)
            listed = ", ".join(
                f"`{name}` {_NAMES[kind]}" for name, kind in columns.items() if kind in _NAMES
            )
            self._run(f"drop table if exists vendor.`{dataset}`")
            self._run(
                f"create table vendor.`{dataset}` ({listed}) using parquet"
                f" location '{self._seen(folder)}'"
            )

    def show_rows(
        self, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Replace a small table; columns with their DuckDB types."""
        schema = ", ".join(f"`{name}` {_NAMES[kind]}" for name, kind in columns.items())
        frame = self._session.createDataFrame([tuple(row) for row in rows], schema)
        frame.write.mode("overwrite").format("parquet").saveAsTable(table)

    def export(
        self, mart: str, months: Sequence[str], running: Sequence[str]
    ) -> dict[str, list[Path]]:
        """Write months of a mart that dbt has built to parquet; their files by month.

        Columns in ``running`` are sums from the first bar of a series; the sum before each month is
        subtracted.
        """
        from pyspark.sql import functions as f

        folder = self._folder / "marts" / mart
        rows = self._session.table(f"main.`{mart}`")
        rows = rows.withColumn(_MONTH, f.date_format("time", "yyyy-MM"))
        if running:
            rows = self._within_months(rows, running)
        (
            rows.where(f.col(_MONTH).isin(list(months)))
            .repartition(_MONTH)
            .write.mode("overwrite")
            .partitionBy(_MONTH)
            .parquet(self._seen(folder))
        )
        return {month: sorted((folder / f"{_MONTH}={month}").glob("*.parquet")) for month in months}

    def _within_months(self, rows: Any, running: Sequence[str]) -> Any:
        from pyspark.sql import Window
        from pyspark.sql import functions as f

        last = [
            f.max_by(
                f.when(f.col(c).isNotNull(), f.struct(c)),
                f.when(f.col(c).isNotNull(), f.col("time")),
            )
            for c in running
        ]
        by_month = rows.groupBy("series_id", _MONTH).agg(
            *(value.getField(c).alias(f"_last_{c}") for value, c in zip(last, running, strict=True))
        )
        earlier = (
            Window.partitionBy("series_id")
            .orderBy(_MONTH)
            .rowsBetween(Window.unboundedPreceding, -1)
        )
        before = by_month.select(
            "series_id",
            _MONTH,
            *(
                f.last(f"_last_{c}", ignorenulls=True).over(earlier).alias(f"_before_{c}")
                for c in running
            ),
        )
        joined = rows.join(before, ["series_id", _MONTH])
        within = {c: f.col(c) - f.coalesce(f.col(f"_before_{c}"), f.lit(0.0)) for c in running}
        return joined.withColumns(within).drop(*(f"_before_{c}" for c in running))

    def forget(self) -> None:
        """Remove the exported files; the links stay for dbt by hand."""
        shutil.rmtree(self._folder / "marts", ignore_errors=True)

    def _seen(self, path: Path) -> str:
        """A path below the home as the workers see it."""
        root = self.server.lake or str(self._home.root)
        return f"{root.rstrip('/')}/{path.relative_to(self._home.root)}"

    def _run(self, sql: str) -> None:
        self._session.sql(sql).collect()


@contextmanager
def connected(home: Home) -> Iterator[Cluster]:
    """A session of the home's server; queries that still run are stopped at the end.

    Raises
    ------
    UsageError
        No server is named, or pyspark is not installed.
    BuildError
        The server cannot be reached, or a statement failed there.
    """
    server = spark_server(home)
    with needing_extras(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyspark warns about pandas 3 at each import
        from pyspark.errors import PySparkException
    _require_reachable(server)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            session = new_session(server.remote)
        try:
            for name, value in _SETTINGS.items():
                session.conf.set(name, value)
            yield Cluster(session, server, home)
        finally:
            with suppress(PySparkException):  # the server may have gone
                session.interruptAll()  # a query outlives the client that left it
                session.stop()
    except PySparkException as error:
        raise BuildError(
            f"{server.shown}: Spark could not compute the marts; the old catalog stays\n"
            f"{str(error).partition('JVM stacktrace')[0].strip()[:2000]}",
            next_step="correct the error above, or run: warehouse build",
        ) from error


def new_session(remote: str) -> Any:
    """A new session, also for dbt in this process; it soon gives up on a server that has gone."""
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    session = SparkSession.builder.remote(remote).create()
    session.client.set_retry_policies([DefaultPolicy(max_retries=_RETRIES)])
    return session


def _require_reachable(server: SparkServer) -> None:
    """Raise BuildError if nothing listens there, because the client would try for minutes."""
    try:
        socket.create_connection(server.address, timeout=_REACH_S).close()
    except OSError as error:
        raise BuildError(
            f"{server.shown}: no Spark Connect server responds ({error}); the old catalog stays",
            next_step="start it or correct its address, or run: warehouse build",
        ) from error
