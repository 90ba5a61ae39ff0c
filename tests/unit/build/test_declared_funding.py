"""Funding schedules of a home: spans of ``warehouse.toml``."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from warehouse.build.declared_funding import ALWAYS, FOREVER, declared_spans, spans_of
from warehouse.errors import UsageError


def test_a_span_lasts_until_the_next_of_its_symbol(tmp_path: Path) -> None:
    home = tmp_path / "warehouse.toml"
    assert declared_spans(home) == []
    home.write_text(
        '[[funding]]\nexchange = "v"\nhours = 8\n'
        '[[funding]]\nexchange = "v"\nsymbol = "a"\nhours = 4\nfrom = 2025-03-01T10:00:00+02:00\n'
        '[[funding]]\nexchange = "v"\nsymbol = "a"\nhours = 8\n'
    )
    turn = datetime(2025, 3, 1, 8)  # noqa: DTZ001
    assert spans_of(declared_spans(home), [("v", "a"), ("v", "b"), ("w", "a")]) == [
        ("v", "a", 8, ALWAYS, turn),
        ("v", "a", 4, turn, FOREVER),
        ("v", "b", 8, ALWAYS, FOREVER),
    ]


_ODD_HOURS = ("0", "-8", "7", "25", "48", "8.0", "nan", '"8"', "[8]", "2025-01-01", "9" * 4000)
_ODD_NAMES = ('""', "8", "true", '["a"]', "{}", '"a\\u0000"', '"a\\nb"', '"\\u202e"', "2025-01-01")
_ODD_DAYS = ("8", '"now"', "07:32:00", "0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59-12:00")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hours = 8", "exchange"),
        ('exchange = "v"', "hours"),
        ('exchange = "v"\nhours = 5', "hours = 5"),
        ('exchange = "v"\nhours = true', "hours = True"),
        ('exchange = "v"\nhours = 8\nfrom = "2025-01-01"', "without quotes"),
        ('exchange = "v"\nhours = 8\nsymbols = ["a"]', "symbols"),
        ('exchange = "v"\nhours = 8\n[[funding]]\nexchange = "v"\nhours = 4', "two"),
        ('exchange = "v"\nhours = 8\nfrom = 2025-01-01\nto = 2024-01-01', "unknown key 'to'"),
        *((f'exchange = "v"\nhours = {hours}', "one of 1, 2") for hours in _ODD_HOURS),
        *((f"exchange = {name}\nhours = 8", "exchange =") for name in _ODD_NAMES),
        *((f'exchange = "v"\nsymbol = {name}\nhours = 8', "symbol =") for name in _ODD_NAMES),
        *((f'exchange = "v"\nhours = 8\nfrom = {day}', "from") for day in _ODD_DAYS),
        ("hours = ", "not TOML"),
        ('exchange = "v"\nexchange = "w"', "not TOML"),
    ],
)
def test_an_impossible_table_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    home = tmp_path / "warehouse.toml"
    home.write_text(f"[[funding]]\n{text}\n")
    with pytest.raises(UsageError) as refused:
        declared_spans(home)
    assert named in f"{refused.value.what} {refused.value.next_step}"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[funding]\nexchange = "v"\nhours = 8', "not a list of tables"),
        ("funding = 8", "not a list of tables"),
        ("funding = [8]", "[[funding]] 1: not a table"),
        ('[[fundings]]\nexchange = "v"', "unknown table 'fundings'"),
        ('[[Funding]]\nexchange = "v"', "unknown table 'Funding'"),
        ("\udcff", "not TOML"),
        (None, "cannot be read"),
    ],
)
def test_an_impossible_file_is_refused_by_name(
    tmp_path: Path, text: str | None, named: str
) -> None:
    home = tmp_path / "warehouse.toml"
    if text is None:
        home.mkdir()
    else:
        home.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=re.escape(named)) as refused:
        declared_spans(home)
    assert refused.value.what.startswith(str(home)) and refused.value.next_step


def test_spans_that_fit_no_series_are_kept_for_a_warning(tmp_path: Path) -> None:
    home = tmp_path / "warehouse.toml"
    home.write_text(
        '[[funding]]\nexchange = "v"\nhours = 8\n'
        '[[funding]]\nexchange = "v"\nsymbol = "typo"\nhours = 4\n'
        '[[funding]]\nexchange = "typo"\nhours = 4\n'
    )
    places = [place[:2] for place in spans_of(declared_spans(home), [("v", "a")])]
    assert places == [("typo", ""), ("v", "a"), ("v", "typo")]
