"""Tables and charts as text: aligned, inside the terminal, unambiguous."""

from __future__ import annotations

import datetime as dt
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import warehouse
from tests.support import BTC, utc
from warehouse.display import render_cells, render_chart, render_size, render_table

cells = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.text(max_size=40),
    st.floats(allow_nan=True), st.dates(), st.datetimes(),
)  # fmt: skip


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=5)
    ),
    st.integers(20, 120),
    st.booleans(),
)
def test_table_when_cells_are_any_then_fits_the_terminal(
    rows: list[list[object]], width: int, wrap: bool
) -> None:
    names = [f"c{i}" for i in range(len(rows[0]))]
    lines = render_table(names, rows, width=width, wrap=wrap).split("\n")
    assert max(map(len, lines)) <= max(width, 40)
    if not wrap:
        told = " ".join(lines[2 + len(rows) :])
        assert bool(told) == told.startswith("… ") == ("  …" in lines[1])


def test_table_when_numbers_then_they_are_aligned_on_their_points() -> None:
    text = render_table(["a", "b"], [[1.5, 10], [100.25, -7], [None, 1_000_000]])
    assert text.split("\n") == [
        "     a          b",
        "------  ---------",
        "  1.50         10",
        "100.25         -7",
        "     ·  1,000,000",
    ]


def test_table_when_values_are_small_or_odd_then_keeps_their_digits() -> None:
    rows = [[0.00001234], [math.nan], [math.inf], [-math.inf], [1e-9], [0.0]]
    shown = [line.strip() for line in render_table(["x"], rows).split("\n")[2:]]
    assert shown == ["0.000012", "nan", "inf", "-inf", "1.000e-09", "0.000000"]


def test_table_when_times_then_to_the_minute_or_as_fine_as_needed() -> None:
    def shown(*moments: dt.datetime) -> list[str]:
        return render_table(["t"], [[moment] for moment in moments]).split("\n")[2:]

    assert shown(utc("2025-09-01 05:00")) == ["2025-09-01 05:00"]
    assert shown(utc("2025-09-01 05:00"), utc("2025-09-01 05:00:15")) == [
        "2025-09-01 05:00:00",
        "2025-09-01 05:00:15",
    ]
    assert shown(utc("2025-09-01 05:00:00.000001")) == ["2025-09-01 05:00:00.000001"]


def test_table_when_too_wide_then_leaves_out_the_middle_and_reports_it() -> None:
    names = [f"column_{i}" for i in range(20)]
    lines = render_table(names, [list(range(20))], width=60).split("\n")
    assert all(len(line) <= 60 for line in lines)
    assert lines[0].startswith("column_0") and lines[0].endswith("column_19")
    assert "…" in lines[0]
    shown = lines[0].split()
    assert lines[-1] == f"… {20 - len(shown) + 1} more of 20 columns"


FLOW = [
    *("series_id", "exchange", "symbol", "interval", "clock", "time", "known_at"),
    *(f"measure_{i}" for i in range(16)),
]
BAR = [1, "binance-futures", BTC, "1h", "true", utc("2025-09-01 05:00"), utc("2025-09-01 06:00")]


@pytest.mark.parametrize("width", [54, 60, 80, 100, 140])
def test_table_when_too_wide_then_time_symbol_and_interval_stay_whole(width: int) -> None:
    lines = render_table(FLOW, [BAR + [1.5] * 16], width=width, hint="say csv").split("\n")
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:3] == ["symbol", "interval", "time"]
    assert lines[2].split()[:4] == [BTC, "1h", "2025-09-01", "05:00"]
    hidden = 23 - len(lines[0].replace("…", "").split())
    assert lines[3] == f"… {hidden} more of 23 columns: say csv"


def test_table_when_there_is_room_for_little_then_time_is_the_last_to_go() -> None:
    lines = render_table(FLOW, [BAR + [1.5] * 16], width=21).split("\n")
    assert lines[0].replace("…", "").split() == ["time"]
    assert lines[2].startswith("2025-09-01 05:00")


def test_table_when_other_texts_can_be_cut_then_keys_are_not() -> None:
    names = ["symbol", "time", "note"]
    lines = render_table(names, [[BTC, BAR[5], "a long note of it"]], width=58).split("\n")
    assert lines[0].split() == names
    assert lines[2] == f"{BTC}  2025-09-01 05:00  a long note of…"


def test_table_when_text_is_long_then_cuts_it_or_wraps_the_last_column() -> None:
    words = "the quick brown fox jumps over the lazy dog " * 3
    cut = render_table(["id", "text"], [[1, words]], width=40).split("\n")
    assert len(cut) == 3 and cut[2].endswith("…")
    wrapped = render_table(["id", "text"], [[1, words]], width=40, wrap=True).split("\n")
    assert " ".join(" ".join(line.split()) for line in wrapped[2:]) == f"1 {words.strip()}"


def test_table_when_a_cell_is_a_struct_or_list_then_counts_what_is_cut() -> None:
    slow = {f"measure_{i}": i / 7 for i in range(30)}
    for cell in (slow, list(slow.values())):
        shown = render_table(["slow"], [[cell]], width=200).split("\n")[2]
        assert shown == f"{str(cell)[:48]}… {len(str(cell)) - 48} more characters"
        assert render_cells(["slow"], [[cell]]) == [(shown,)]
        assert render_table(["slow"], [[cell]], width=10_000).endswith(f"\n{cell}")
    narrow = render_table(["time", "slow"], [[BAR[5], slow]], width=67).split("\n")
    assert max(map(len, narrow)) <= 67 and re.search(r"[^…]…$", narrow[2])
    assert render_table(["x"], [[[1, 2]]]).endswith("[1, 2]")


def test_table_when_text_would_steer_the_terminal_then_stays_one_plain_line() -> None:
    text = "a\nb\r\nc\td\u2028e\x1b[2Jf"
    assert render_table(["t"], [[text]]).splitlines()[2] == "a b c d e [2Jf"


def test_table_when_there_are_no_rows_then_still_names_the_columns() -> None:
    assert render_table(["a", "bb"], []) == "a  bb\n-  --"


def test_chart_when_values_rise_then_columns_rise() -> None:
    lines = render_chart(list(range(40)), title="rise", height=4, width=52).split("\n")
    assert lines[0] == "rise"
    assert len(lines) == 5
    heights = [sum(line[12:].ljust(40)[i] != " " for line in lines[1:]) for i in range(40)]
    assert heights == sorted(heights)
    assert heights[0] == 1 and heights[-1] == 4
    assert lines[1].split("│")[0].strip() == "39" and lines[-1].split("│")[0].strip() == "0"


def test_chart_when_there_are_gaps_then_they_stay_empty() -> None:
    lines = render_chart([1.0, None, math.nan, 3.0] * 5, title="t", height=3, width=32).split("\n")
    assert all(set(line[13::4] + line[14::4]) <= {" "} for line in lines[1:])


@pytest.mark.parametrize("values", [[], [None, None], [math.nan]])
def test_chart_when_nothing_is_known_then_reports_it(values: list[float | None]) -> None:
    assert render_chart(values, title="t") == "t: no values"


def test_chart_when_all_are_equal_then_is_flat() -> None:
    assert len(render_chart([5.0] * 30, title="t", height=3).split("\n")) == 4


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_536_000, "1.5 MB"), (2e9, "2.0 GB"),
     (3.21e12, "3.2 TB")],
)  # fmt: skip
def test_size_when_given_then_reads_in_the_nearest_unit(size: float, text: str) -> None:
    assert render_size(size) == text


PLURAL = re.compile(
    r"\{[^{}]*(?::,|len\([^{}]*\))\} (?:[a-z]+ )?"
    r"(?:rows|files|bars|columns|gaps|models|bytes|values|months|series_ids|entries)\b"
)


def test_messages_when_they_count_then_leave_the_plural_to_counted() -> None:
    found = [
        f"{path.name}: {match[0]}"
        for path in Path(warehouse.__file__).parent.rglob("*.py")
        for match in PLURAL.finditer(path.read_text("utf-8"))
        if not match[0].startswith("{0.")  # the template of interrupts.py, whose number is large
        and "assert" not in path.read_text("utf-8")[: match.start()].rpartition("\n")[2]
    ]
    assert found == []
