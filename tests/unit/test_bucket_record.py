"""The message for a writer whose bucket another machine has written to since."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from warehouse.bucket.record import Record, require_newest
from warehouse.bucket.state import Blob, KeptGeneration, State
from warehouse.bucket.store import Head, Store
from warehouse.errors import OvertakenError


def blob(text: str) -> Blob:
    return Blob(text, 1, (text,))


TWO = State(2, (KeptGeneration(2, blob("catalog")),), None, blob("manifest"), blob("names"))


@pytest.mark.parametrize(
    ("ours", "difference"),
    [
        (None, "holds generation 2, which this home has never pulled; another machine published"),
        (replace(TWO, current=1), "and what this home last pulled or pushed was generation 1;"),
        (replace(TWO, current=None), "and what this home last pulled or pushed was vendor files;"),
        (replace(TWO, generations=(KeptGeneration(2, blob("other")),)),
         "holds a different generation 2 from the one that this home last pulled or pushed;"),
        (replace(TWO, names=blob("fewer")),
         "holds the generation 2 that this home has, but other vendor files or earlier"),
    ],
)  # fmt: skip
def test_home_when_overtaken_then_names_the_difference_and_the_next_step(
    ours: State | None, difference: str
) -> None:
    store = object.__new__(Store)
    store.address = "s3://lake/home"
    head = Head(TWO, "tag", is_pruned=False, at=datetime(2026, 1, 2, 3, 4, 5))  # noqa: DTZ001
    require_newest(store, head, Record(store.address, TWO))
    with pytest.raises(OvertakenError, match=difference) as caught:
        require_newest(store, head, Record(store.address, ours))
    assert "2026-01-02 03:04:05 UTC" in str(caught.value)
    assert caught.value.next_step is not None and "warehouse pull" in caught.value.next_step
