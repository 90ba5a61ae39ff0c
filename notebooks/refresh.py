"""Run the notebooks from a clean kernel, keep their outputs: ``python notebooks/refresh.py HOME``.

HOME is a demo home (``warehouse demo``). What differs from run to run, or names this machine, is
left out, so that a rerun on the same code changes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
MAX_BYTES = 1_500_000


def run_notebook(path: Path, home: Path, *, timeout_s: int = 120) -> nbformat.NotebookNode:
    """The notebook with fresh outputs, run in its own folder on the catalog of ``home``."""
    notebook = nbformat.read(path, as_version=4)
    environment = {**os.environ, "WAREHOUSE_HOME": str(home.absolute()), "TZ": "UTC"}
    client = NotebookClient(notebook, timeout=timeout_s, resources={"metadata": {"path": FOLDER}})
    client.execute(env=environment)
    return clean(notebook)


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without times of execution, versions of the kernel and other marks of one run."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
        for output in cell.get("outputs", []):
            output.pop("metadata", None)
            if output.output_type in ("display_data", "execute_result"):
                output.metadata = {}
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    home = parser.parse_args().home
    for path in sorted(FOLDER.glob("*.ipynb")):
        text = nbformat.writes(run_notebook(path, home)) + "\n"
        if len(text) > MAX_BYTES or str(home.absolute()) in text:
            sys.exit(f"{path}: {len(text):,} bytes, or it names {home}")
        path.write_text(text, "utf-8")
        sys.stderr.write(f"{path.name}: {len(text):,} bytes\n")


if __name__ == "__main__":
    main()
