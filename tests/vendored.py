"""Fetches the vendored files of the page from npm, by ``make vendor``.

``static/vendor/VENDORED.toml`` names the package, its version, the hash of its tarball, and the
files that are taken from it. A test compares the files with their hashes there.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from warehouse.errors import FileRefusedError
from warehouse.files import write

FOLDER = Path(__file__).parents[1] / "warehouse" / "ui" / "static" / "vendor"


def vendored() -> list[dict[str, Any]]:
    """The packages of ``VENDORED.toml``."""
    found: list[dict[str, Any]] = tomllib.loads((FOLDER / "VENDORED.toml").read_text("utf-8"))[
        "package"
    ]
    return found


def fetch() -> None:
    """Write the vendored files again.

    Raises
    ------
    FileRefusedError
        The tarball of the registry is not the one that was vendored.
    """
    for package in vendored():
        with tempfile.TemporaryDirectory() as folder:
            named = f"{package['name']}@{package['version']}"
            subprocess.run(["npm", "pack", "--silent", named], cwd=folder, check=True)
            (tarball,) = Path(folder).glob("*.tgz")
            content = tarball.read_bytes()
        digest = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        if digest != package["integrity"]:
            raise FileRefusedError(f"{named}: the tarball has another hash, {digest}")
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for file in package["files"]:
                member = archive.extractfile(f"package/{file['from']}")
                assert member is not None
                write(FOLDER / file["to"], member.read())


if __name__ == "__main__":
    fetch()
