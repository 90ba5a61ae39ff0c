"""Verify receipts: whether their result can still be reproduced, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import NotFoundError, QueryError, WarehouseError
from warehouse.home import Home
from warehouse.query import Receipt, ReceiptFile, Warehouse, frame_facts, frame_table


class ReceiptStatus(StrEnum):
    """The outcome of verifying a receipt."""

    IDENTICAL = "identical"
    OTHER_CODE = "same inputs, other code"
    OTHER_INPUTS = "other inputs"


@dataclass(frozen=True, slots=True)
class ReceiptVerdict:
    """A receipt compared with the current catalog.

    ``restated`` files have other bytes now, ``gone`` ones are no longer shown, ``new`` ones were
    added; ``problem`` is the error if the query no longer runs.

    If the result differs, ``kept`` is the receipt's own generation if it still returns the result,
    ``unlike`` is that generation if it returns another result too, and ``pruned`` are the files
    whose bytes are no longer in this home.
    """

    verdict: ReceiptStatus
    same_result: bool
    generation: int
    restated: tuple[ReceiptFile, ...] = ()
    gone: tuple[ReceiptFile, ...] = ()
    new: tuple[ReceiptFile, ...] = ()
    problem: str | None = None
    kept: int | None = None
    unlike: int | None = None
    pruned: tuple[ReceiptFile, ...] = ()

    def __str__(self) -> str:
        lines = [str(self.verdict)]
        if self.verdict is ReceiptStatus.OTHER_INPUTS:
            lines[0] += ", the same result" if self.same_result else ", another result"
        lost = [file for file in self.gone if file in self.pruned]
        listed = {
            "restated": self.restated,
            "gone": [file for file in self.gone if file not in self.pruned],
            "no longer in this home": [f"{file} ({file.object})" for file in lost],
            "new": self.new,
        }
        for what, files in listed.items():
            lines += [f"  {what}: {file}" for file in files]
        lines += [f"  {self.problem}"] if self.problem else []
        return "\n".join([*lines, *self._past()])

    def _past(self) -> Iterator[str]:
        """Lines on whether a kept generation still returns the result."""
        if self.same_result:
            return
        if self.kept is not None:
            yield f"  generation {self.kept} still has it: warehouse sql --generation {self.kept}"
            return
        if self.unlike is not None:
            yield f"  its own generation, {self.unlike}, is kept, but also returns another result"
        else:
            yield "  its own generation is not kept in this home"
        for file in sorted({*self.pruned} - {*self.gone}, key=str):
            yield f"  no longer in this home: {file} ({file.object})"


def verify_receipt(
    settings: Settings, receipt: Receipt, frames: Mapping[str, object] | None = None
) -> ReceiptVerdict:
    """Run a receipt's query again and compare files and content.

    Parameters
    ----------
    frames
        The frames of the query by name; a receipt contains only their hashes.

    Raises
    ------
    NotFoundError
        The home has no catalog.
    QueryError
        A frame is missing, or differs from the receipt's.
    """
    given = dict(frames or {})
    _require_frames(receipt, given)
    values = receipt.params | given

    with Warehouse(settings) as warehouse:
        try:
            again = warehouse.sql(receipt.sql, values).receipt
        except (QueryError, NotFoundError) as error:
            found = ReceiptVerdict(
                ReceiptStatus.OTHER_CODE, False, warehouse.generation, problem=error.what
            )
        else:
            found = _compare(receipt, again)
    if found.same_result:
        return found
    home = Home.of(settings)
    only_reads = not home.manifest.is_file()  # so it has few of the objects
    pruned = tuple(
        file
        for file in receipt.files
        if not (only_reads or home.object_path(file.object).is_file())
    )
    kept, unlike = _own_generation(settings, receipt, values)
    return replace(found, kept=kept, unlike=unlike, pruned=pruned)


def _require_frames(receipt: Receipt, given: Mapping[str, object]) -> None:
    """Raise QueryError unless the frames have the hashes of the receipt."""
    for name, frame in receipt.frames.items():
        if name not in given:
            raise QueryError(
                f"the result was computed with {name}, a frame of {counted(frame.rows, 'row')}"
                f" ({', '.join(frame.columns)}), which its receipt does not contain",
                next_step="pass it in Python: from warehouse import verify_receipt;"
                f" verify_receipt(wh.settings, receipt, {{{name!r}: frame}})",
            )
        if frame_facts(frame_table(name, given[name])) != frame:
            raise QueryError(
                f"{name} is not the receipt's frame, which had"
                f" {counted(frame.rows, 'row')} of"
                f" {', '.join(frame.columns)} and the hash {frame.content}",
                next_step="pass the frame that the query was run with",
            )


def _own_generation(
    settings: Settings, receipt: Receipt, values: Mapping[str, object]
) -> tuple[int | None, int | None]:
    """The receipt's generation: first if it returns the result, second if it does not."""
    number = receipt.generation
    try:
        with Warehouse(settings, generation=number) as past:
            try:
                again = past.sql(receipt.sql, values).receipt
            except WarehouseError:
                return None, number
    except WarehouseError:
        return None, None
    same = (receipt.content, receipt.files) == (again.content, again.files)
    return (number, None) if same else (None, number)


def _compare(receipt: Receipt, again: Receipt) -> ReceiptVerdict:
    before, now = ({file.key: file for file in r.files} for r in (receipt, again))
    restated = [now[key] for key in before.keys() & now.keys() if before[key] != now[key]]
    gone = [before[key] for key in before.keys() - now.keys()]
    new = [now[key] for key in now.keys() - before.keys()]
    same = (receipt.content, receipt.columns) == (again.content, again.columns)
    if restated or gone or new:
        verdict = ReceiptStatus.OTHER_INPUTS
    else:
        verdict = ReceiptStatus.IDENTICAL if same else ReceiptStatus.OTHER_CODE
    return ReceiptVerdict(
        verdict,
        same,
        again.generation,
        restated=tuple(sorted(restated, key=str)),
        gone=tuple(sorted(gone, key=str)),
        new=tuple(sorted(new, key=str)),
    )
