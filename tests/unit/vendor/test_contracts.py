"""The contracts as values, and what they must say of every column."""

from __future__ import annotations

from pathlib import Path

import pytest

from warehouse.errors import DamagedError
from warehouse.vendor.contracts import KEY_COLUMNS, Contract, dbt_project_dir, load_contracts

CONTRACTS = load_contracts()
METRIC = [name for name in CONTRACTS if not name.startswith("raw_")]
RAW = [name for name in CONTRACTS if name.startswith("raw_")]


def test_contracts_when_loaded_then_are_the_vendors_nineteen_and_six() -> None:
    assert (len(METRIC), len(RAW)) == (19, 6)
    assert list(CONTRACTS) == sorted(CONTRACTS)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_contract_when_read_then_says_meaning_and_unit_of_everything(contract: Contract) -> None:
    assert contract.title and contract.description
    assert contract.is_raw == contract.name.startswith("raw_")
    assert contract.clocks or contract.is_raw
    assert set(contract.clocks) <= {"exchange", "true"}
    names = [column.name for column in contract.columns]
    assert len({name.lower() for name in names}) == len(names)
    assert not {key.name for key in KEY_COLUMNS} & set(names) - {"time"}
    for column in contract.columns:
        assert column.unit and column.description
        assert "\n" not in column.comment
        assert column.comment.endswith(f"[{column.unit}]")
        if column.minimum is not None and column.maximum is not None:
            assert column.minimum < column.maximum


@pytest.mark.parametrize("name", METRIC)
def test_contract_when_metric_then_time_comes_first_and_is_required(name: str) -> None:
    first = CONTRACTS[name].columns[0]
    assert (first.name, first.type, first.required) == ("time", "TIMESTAMP", True)
    assert not any(column.required for column in CONTRACTS[name].columns[1:])


@pytest.mark.parametrize("name", RAW)
def test_contract_when_raw_then_both_clocks_are_required(name: str) -> None:
    required = {c.name: c.type for c in CONTRACTS[name].columns if c.required}
    assert required == {"exchange_timestamp": "TIMESTAMPTZ", "local_timestamp": "TIMESTAMPTZ"}


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
