"""Funding schedules of a home: spans of ``warehouse.toml``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from warehouse.errors import UsageError
from warehouse.funding import ALWAYS, FOREVER, declared_spans, spans_of


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
        ("hours = ", "not TOML"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_by_name(
    tmp_path: Path, text: str, named: str
) -> None:
    home = tmp_path / "warehouse.toml"
    home.write_text(f"[[funding]]\n{text}\n")
    with pytest.raises(UsageError) as refused:
        declared_spans(home)
    assert named in f"{refused.value.what} {refused.value.next_step}"
