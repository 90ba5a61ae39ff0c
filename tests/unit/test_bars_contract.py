"""The contract of the wide panel agrees with the vendor's contracts.

``models/marts/bars.yml`` is written by this file: ``python tests/unit/test_bars_contract.py``.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from warehouse.vendor.contracts import KEY_COLUMNS, DatasetColumn, load_contracts

PROJECT = Path(__file__).parents[2]
CONTRACT = PROJECT / "models" / "marts" / "bars.yml"
MODEL = PROJECT / "models" / "marts" / "bars.sql"

DESCRIPTION = (
    "One row per bar of any metric dataset of the series, with the columns of all: those of ohlcv"
    " under their own names, all others as <dataset>__<column>. Where a dataset lacks the bar its"
    " columns are NULL, as are NaN and infinity."
)


def test_contract_as_rendered_from_the_vendors_contracts_then_equal_to_the_file() -> None:
    assert CONTRACT.read_text() == render(), f"run: python {Path(__file__).name}"


def test_model_as_written_then_names_every_metric_dataset_once() -> None:
    assert sorted(datasets_of_model()) == sorted(metric_datasets())


def metric_datasets() -> list[str]:
    return [name for name in load_contracts() if not name.startswith("raw_")]


def datasets_of_model() -> list[str]:
    return re.findall(r"'(\w+)'", MODEL.read_text())


def render() -> str:
    contracts = load_contracts()
    lines = ["version: 2", "", "models:", "  - name: bars", *_folded(DESCRIPTION, "    ")]
    lines += ["    config:", "      meta:", "        lookback: 0 days", "        horizon: 0 days"]
    lines += ["    data_tests:", "      - unique_grain", "      - keys_of_series", "    columns:"]
    for key in KEY_COLUMNS:
        lines += [f"      - name: {key.name}", f"        data_type: {key.type.lower()}"]
        lines += [f"        description: \"{{{{ doc('{key.name}') }}}}\""]
    for dataset in datasets_of_model():
        for column in contracts[dataset].columns:
            if column.name != "time":
                lines += _column(dataset, column)
    return "\n".join(lines) + "\n"


def _column(dataset: str, column: DatasetColumn) -> list[str]:
    name = column.name if dataset == "ohlcv" else f"{dataset}__{column.name}"
    described = _folded(f"{column.description} [{column.unit}]", "        ")
    return [f"      - name: {name}", f"        data_type: {column.type.lower()}", *described]


def _folded(text: str, indent: str) -> list[str]:
    inner = indent + "  "
    wrapped = textwrap.wrap(
        text, width=100, initial_indent=inner, subsequent_indent=inner, break_on_hyphens=False
    )
    return [f"{indent}description: >-", *wrapped]


if __name__ == "__main__":
    CONTRACT.write_text(render())
