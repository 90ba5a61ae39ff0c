"""From the lake to a published catalog: prepare, let dbt fill it, publish.

dbt runs as a child process on the project that the package carries; its files go to ``.build/``.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from warehouse.catalog import prepare_catalog
from warehouse.config import Settings, child_environment
from warehouse.contracts import dbt_project_dir
from warehouse.errors import BuildError
from warehouse.home import Home, writing
from warehouse.publish import Published, next_generation, publish

_DBT = "import sys; from dbt.cli.main import cli; sys.exit(cli())"


@dataclass(frozen=True, slots=True)
class DbtRun:
    """How a dbt command ended and what it printed."""

    exit_code: int
    output: str


def build(settings: Settings) -> Published:
    """Catalog and models from the lake, published as the next generation.

    Raises
    ------
    BuildError
        A model or a structural test did not pass; the old catalog stays.
    LockedError
        Another process writes to this home.
    """
    home = Home(settings.home)
    home.require_lake()
    with writing(home, "build"):
        prepare_catalog(settings, generation=next_generation(home))
        run = run_dbt(settings, "build")
        try:
            return publish(home)
        except BuildError as error:
            if run.exit_code == 0:
                raise
            log = home.build / "dbt" / "dbt.log"
            raise BuildError(
                error.what if "did not pass" in error.what else _last_lines(run.output),
                next_step=f"read {log}, mend what it names, then run: warehouse build",
            ) from error


def prepare(settings: Settings) -> Path:
    """The private build file alone, for dbt to be run by hand (``warehouse build --no-dbt``)."""
    home = Home(settings.home)
    home.require_lake()
    with writing(home, "build"):
        return prepare_catalog(settings, generation=next_generation(home))


def run_dbt(settings: Settings, *arguments: str) -> DbtRun:
    """Run one dbt command on the home's build file."""
    project, home = dbt_project_dir(), Home(settings.home)
    folder = home.build / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _DBT, "--no-use-colors", *arguments]
    command += ["--project-dir", str(project), "--profiles-dir", str(project)]
    command += ["--target-path", str(folder / "target"), "--log-path", str(folder)]
    finished = subprocess.run(
        command,
        cwd=project,
        env=child_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return DbtRun(finished.returncode, finished.stdout)


def _last_lines(output: str, count: int = 12) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return "dbt stopped:\n" + "\n".join(f"    {line}" for line in lines[-count:])
