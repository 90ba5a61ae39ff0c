"""The marts on a real Spark Connect server with two workers, compared with DuckDB's.

Run by ``make spark``, which has Java and the extra ``spark``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.market import Market, write_market
from tests.support import Run, copy_home
from warehouse.vendor import load_contracts

pytestmark = pytest.mark.spark

DATASETS = tuple(name for name in load_contracts() if not name.startswith("raw_"))
TOLERANCE = 1e-9
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with two workers, which ends with the tests."""
    pyspark = pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    folder = tmp_path_factory.mktemp("server")
    home = Path(pyspark.__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(folder / "tables"),
        "spark.ui.enabled": "false",
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={folder}",
    }
    (jar,) = (home / "jars").glob("spark-connect_*.jar")
    command = [
        *(str(home / "bin" / "spark-submit"), "--master", "local-cluster[2,1,1024]"),
        *("--driver-memory", "1g"),
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        *(part for name, value in settings.items() for part in ("--conf", f"{name}={value}")),
        str(jar),
    ]
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(port, running, folder / "log")
            yield f"sc://127.0.0.1:{port}"
        finally:
            running.terminate()
            try:
                running.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, 9)


def _wait_for(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until and running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"the Spark server did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home built by DuckDB: all datasets, both clocks, gaps, NaN, infinities, two months."""
    folder = tmp_path_factory.mktemp("spark")
    market = Market(
        datasets=DATASETS,
        intervals=("1h",),
        clocks=("exchange", "true"),
        start=date(2025, 9, 1),
        end=date(2025, 11, 1),
        missing_bars=0.01,
        gaps=3,
    )
    write_market(folder / "files", market)
    _plant(folder / "files")
    done = run("update", "--from", folder / "files", home=folder / "home")
    assert done.exit_code in (0, 1), done.stderr
    return folder / "home"


def _plant(files: Path) -> None:
    """Put NaN, infinities and NULLs into one real number in a hundred of every file."""
    random = np.random.default_rng(3)
    for path in sorted(files.rglob("*.parquet")):
        table = pq.read_table(path)
        for place, field in enumerate(table.schema):
            if pa.types.is_floating(field.type):
                values = table.column(place).to_pandas().to_numpy(copy=True)
                hit = random.random(len(values)) < 0.01
                values[hit] = random.choice([np.nan, np.inf, -np.inf], hit.sum())
                nulls = random.random(len(values)) < 0.005
                column = pa.array(values, field.type, mask=nulls)
                table = table.set_column(place, field, column)
        pq.write_table(table, path)


def run(*arguments: object, home: Path, checkout: Path = ROOT, **environment: str) -> Run:
    """``warehouse …`` of a checkout, as long as Spark takes."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "warehouse", "--home", home, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(checkout), **environment},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def build(home: Path, server: str, *arguments: str, checkout: Path = ROOT) -> Run:
    return run(
        *("build", "--engine", "spark", *arguments),
        home=home,
        checkout=checkout,
        SPARK_REMOTE=server,
    )


@pytest.fixture(scope="module")
def by_spark(home: Path, server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same home, built again by Spark."""
    copy = copy_home(home, tmp_path_factory.mktemp("by") / "home")
    done = build(copy, server)
    assert done.exit_code in (0, 1), done.stderr
    return copy


def marts_of(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[str]:
    return [
        name
        for (name,) in connection.execute(
            "select view_name from duckdb_views() where database_name = ? and schema_name = 'main'"
            " and not internal order by all",
            [catalog],
        ).fetchall()
    ]


def test_marts_when_computed_by_spark_then_equal_those_of_duckdb(
    home: Path, by_spark: Path, capsys: Any
) -> None:
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute(f"attach '{home / 'warehouse.duckdb'}' as ours (read_only)")
    connection.execute(f"attach '{by_spark / 'warehouse.duckdb'}' as theirs (read_only)")
    marts = marts_of(connection, "ours")
    assert marts == marts_of(connection, "theirs") and len(marts) >= 10
    lines = [f"{'mart':24}{'rows':>8}{'columns':>9}{'worst':>10}"]
    for mart in marts:
        rows, columns, worst = compare(connection, mart)
        lines.append(f"{mart:24}{rows:8,}{columns:9}{worst:10.1e}")
        assert rows and worst <= TOLERANCE, lines[-1]
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    engines = connection.execute(
        "select distinct split_part(engine, ' ', 1) from theirs.meta.stored"
        " where not starts_with(model, 'vendor.')"
    ).fetchall()
    assert engines == [("spark",)]
    assert connection.execute("select engine from theirs.meta.build").fetchall() == [("spark",)]


def compare(connection: duckdb.DuckDBPyConnection, mart: str) -> tuple[int, int, float]:
    """Rows, columns and the largest |a - b| / max(1, |a|); rows, types and NULLs must be equal."""
    described = connection.execute(f"describe from ours.main.{mart}").fetchall()
    assert described == connection.execute(f"describe from theirs.main.{mart}").fetchall()
    names = [row[0] for row in described]
    keys = ["series_id", "time"] if "time" in names else ["series_id", "measure", "weekday", "hour"]
    differences = []
    for name, kind, *_ in described:
        a, b = f'a."{name}"', f'b."{name}"'
        if kind == "DOUBLE":
            distance = f"abs({a} - {b}) / greatest(1, abs({a}))"
            differences.append(
                f"case when {a} is not distinct from {b} then 0"
                f" else coalesce({distance}, 'inf'::double) end"
            )
        else:
            differences.append(f"case when {a} is distinct from {b} then 'inf'::double else 0 end")
    joined = " and ".join(f'a."{key}" = b."{key}"' for key in keys)
    rows, worst = connection.execute(
        f"select count(*), max(greatest({', '.join(differences)})) from ours.main.{mart} as a"
        f" full join theirs.main.{mart} as b on {joined}"
    ).fetchall()[0]
    return rows, len(names), worst


def test_months_when_nothing_changed_then_spark_is_not_asked_again(
    by_spark: Path, server: str
) -> None:
    again = build(by_spark, server, "--force")
    assert again.exit_code in (0, 1), again.stderr
    with duckdb.connect(str(by_spark / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("select bool_and(reused) from meta.stored").fetchall() == [
            (True,)
        ]


def test_build_when_spark_gives_another_number_then_nothing_is_published(
    home: Path, server: str, tmp_path: Path
) -> None:
    copy, checkout = copy_home(home, tmp_path / "home"), tmp_path / "checkout"
    for name in ("warehouse", "models", "macros", "seeds", "analyses", "tests/dbt"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(ROOT / name, checkout / name)
    with (checkout / "macros" / "spark.sql").open("a") as macros:
        macros.write(
            "{% macro spark__ratio(x, y) -%} {{ warehouse.default__ratio(x, y) }} * 1.00001D"
            " {%- endmacro %}"
        )
    before = (copy / "warehouse.duckdb").stat().st_ino
    done = build(copy, server, checkout=checkout)
    assert done.exit_code == 4 and "different marts" in done.stderr, done.stderr
    assert (copy / "warehouse.duckdb").stat().st_ino == before


def test_dbt_by_hand_when_tables_are_prepared_then_builds_and_tests_on_spark(
    home: Path, server: str, tmp_path: Path
) -> None:
    copy = copy_home(home, tmp_path / "home")
    prepared = build(copy, server, "--no-dbt")
    assert prepared.exit_code == 0 and "dbt build --target spark" in prepared.stderr
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("dbt")), "build", "--target", "spark"),
            *(
                "--select",
                "+l1_features",
                "+funding_settlements",
                "--target-path",
                tmp_path / "dbt",
            ),
            *("--exclude", "resource_type:unit_test", "funding_doubts", "--log-path", tmp_path),
        ],
        cwd=ROOT,
        env={**os.environ, "SPARK_REMOTE": server, "WAREHOUSE_HOME": str(copy)},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0 and " ERROR=0 " in done.stdout, done.stdout[-3000:]


def test_build_when_no_server_responds_then_names_what_to_do(home: Path, tmp_path: Path) -> None:
    copy = copy_home(home, tmp_path / "home")
    done = build(copy, "sc://me@127.0.0.1:1/;token=hidden")
    assert done.exit_code == 4 and "sc://127.0.0.1:1: no Spark Connect server" in done.stderr
    remote = 'remote = "sc://127.0.0.1:1/;token=hidden"'
    (copy / "warehouse.toml").write_text(f"[engine.spark]\n{remote}\n")
    kept = build(copy, "sc://127.0.0.1:1")
    assert kept.exit_code == 2 and "no place for secrets" in kept.stderr
    odd = build(copy, "sc://127.0.0.1:1;token=hidden")
    assert odd.exit_code == 2
    assert "hidden" not in done.stderr + kept.stderr + odd.stderr


def test_build_when_the_server_ends_meanwhile_then_fails_soon(
    home: Path, server: str, tmp_path: Path
) -> None:
    copy = copy_home(home, tmp_path / "home")
    port = server.rpartition(":")[2]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "warehouse", "--home", copy, "build", "--engine", "spark"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SPARK_REMOTE": server},
        stderr=subprocess.PIPE,
        text=True,
    ) as building:
        assert building.stderr is not None
        while "storing the marts" not in building.stderr.readline():
            assert building.poll() is None
        time.sleep(10)
        subprocess.run(["pkill", "-9", "-f", f"grpc.binding.port={port}"], check=True)
        _, stderr = building.communicate(timeout=300)
    assert building.returncode == 4 and "the old catalog stays" in stderr, stderr


def test_every_duckdb_only_construct_is_in_a_macro_that_spark_replaces() -> None:
    texts = {path: path.read_text() for path in sorted((ROOT / "models").rglob("*.sql"))}
    odd = [
        f"{path.name}: {word}"
        for path, text in texts.items()
        for word in ("asof ", "arg_max(", "isfinite(", "//", "list_", "unnest(")
        if word in text
    ]
    assert not odd, odd
