"""The contracts as values, and what they must contain for every column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from warehouse.errors import DamagedError
from warehouse.vendor.contracts import KEY_COLUMNS, Contract, dbt_project_dir, load_contracts
from warehouse.vendor.keys import time_columns

CONTRACTS = load_contracts()
METRIC = [name for name in CONTRACTS if not name.startswith("raw_")]
RAW = [name for name in CONTRACTS if name.startswith("raw_")]


def test_contracts_when_loaded_then_are_the_vendors_nineteen_and_six() -> None:
    assert (len(METRIC), len(RAW)) == (19, 6)
    assert list(CONTRACTS) == sorted(CONTRACTS)


def test_contracts_when_read_then_have_meaning_and_unit_of_everything() -> None:
    assert {name: wrong for name, c in CONTRACTS.items() if (wrong := list(_unsaid(c)))} == {}


def _unsaid(contract: Contract) -> Iterator[str]:
    """What is missing in a contract, or contradicts itself."""
    names = [column.name for column in contract.columns]
    rules = {
        "title and description": bool(contract.title and contract.description),
        "is_raw": contract.is_raw == contract.name.startswith("raw_"),
        "clocks": bool(contract.clocks) is not contract.is_raw,
        "names of clocks": set(contract.clocks) <= {"exchange", "true"},
        "names that differ in case only": len({name.lower() for name in names}) == len(names),
        "a key as column": not {key.name for key in KEY_COLUMNS} & set(names) - {"time"},
    }
    for column in contract.columns:
        low, high = column.minimum, column.maximum
        rules |= {
            f"{column.name}: unit and description": bool(column.unit and column.description),
            f"{column.name}: one line": "\n" not in column.comment,
            f"{column.name}: unit at the end": column.comment.endswith(f"[{column.unit}]"),
            f"{column.name}: range": low is None or high is None or low < high,
        }
    return (rule for rule, holds in rules.items() if not holds)


def test_contracts_have_the_columns_of_time_without_which_a_file_is_refused() -> None:
    kinds = dict.fromkeys(METRIC, "TIMESTAMP") | dict.fromkeys(RAW, "TIMESTAMPTZ")
    for name, kind in kinds.items():
        found = [CONTRACTS[name].column(column) for column in time_columns(name)]
        assert [column and column.type for column in found] == [kind] * len(found)
    assert {CONTRACTS[name].columns[0].name for name in METRIC} == {"time"}


def test_column_when_unknown_then_is_none() -> None:
    assert CONTRACTS["flow"].column("Volume_Delta") is None
    assert CONTRACTS["flow"].column("volume_delta") is not None


def test_load_when_a_file_is_no_contract_then_names_it(tmp_path: Path) -> None:
    path = tmp_path / "odd.yml"
    path.write_text("sources: [{name: vendor, tables: [{name: odd}]}]\n")
    with pytest.raises(DamagedError, match=r"odd\.yml: not a dataset contract"):
        load_contracts(tmp_path)


def test_load_when_yaml_is_broken_then_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "torn.yml").write_text("sources: [")
    with pytest.raises(DamagedError, match=r"torn\.yml"):
        load_contracts(tmp_path)


def test_load_when_a_type_is_unknown_then_names_the_file(tmp_path: Path) -> None:
    text = (dbt_project_dir() / "models" / "vendor" / "ohlcv.yml").read_text("utf-8")
    (tmp_path / "ohlcv.yml").write_text(text.replace("data_type: double", "data_type: money", 1))
    with pytest.raises(DamagedError, match=r"ohlcv\.yml"):
        load_contracts(tmp_path)


def test_project_dir_when_in_a_checkout_then_is_its_root() -> None:
    assert (dbt_project_dir() / "dbt_project.yml").is_file()
