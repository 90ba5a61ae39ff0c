"""One tree of errors, each with the exit code that a caller can rely on."""

from __future__ import annotations

import inspect

import pytest

from warehouse import errors
from warehouse.errors import ExitCode, WarehouseError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == "warehouse.errors"
]


def test_error_when_of_any_kind_then_descends_from_the_one_root() -> None:
    assert KINDS
    assert [kind for kind in KINDS if not issubclass(kind, WarehouseError)] == []
    assert [kind for kind in KINDS if not kind.__doc__] == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UsageError", 2),
        ("QueryError", 2),
        ("NotFoundError", 2),
        ("FileRefusedError", 1),
        ("VendorError", 3),
        ("DamagedError", 4),
        ("BuildError", 4),
        ("LockedError", 5),
        ("DiskError", 6),
    ],
)
def test_exit_code_when_kind_is_known_then_is_the_published_one(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code


def test_exit_code_when_interrupted_then_is_the_shells_own() -> None:
    assert ExitCode.INTERRUPTED == 130
    assert ExitCode.DONE == 0


def test_str_when_there_is_a_next_step_then_names_it_on_its_own_line() -> None:
    error = WarehouseError("no catalog", next_step="run: warehouse build", path="/x")
    assert str(error) == "no catalog\n  next: run: warehouse build"
    assert error.fields == {"path": "/x"}
    assert str(WarehouseError("no catalog")) == "no catalog"
