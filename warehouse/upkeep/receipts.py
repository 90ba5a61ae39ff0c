"""Whether the answer of a receipt can still be had, and what has changed since, if anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from warehouse.config import Settings
from warehouse.display import counted
from warehouse.errors import NotFoundError, QueryError, WarehouseError
from warehouse.home import Home
from warehouse.query import Receipt, ReceiptFile, Warehouse, frame_facts, frame_table


class Verdict(StrEnum):
    """What became of a receipt's answer."""

    IDENTICAL = "identical"
    OTHER_CODE = "same inputs, other code"
    OTHER_INPUTS = "other inputs"


@dataclass(frozen=True, slots=True)
class ReceiptVerdict:
    """How a receipt stands against the catalog of today.

    ``restated`` files have other bytes now, ``gone`` ones are no longer shown, ``new`` ones were
    not there; ``problem`` says why the query no longer runs, if it does not.

    Where the answer is another, ``kept`` is the receipt's own generation if it is kept and still
    gives the answer, ``unlike`` that generation if it is kept and gives another too, and ``pruned``
    are the files whose bytes this home has no more.
    """

    verdict: Verdict
    same_answer: bool
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
        if self.verdict is Verdict.OTHER_INPUTS:
            lines[0] += ", the same answer" if self.same_answer else ", another answer"
        for what, files in (("restated", self.restated), ("gone", self.gone), ("new", self.new)):
            lines += [f"  {what}: {file}" for file in files]
        lines += [f"  {self.problem}"] if self.problem else []
        return "\n".join([*lines, *self._past()])

    def _past(self) -> Iterator[str]:
        """Whether the answer can still be had from what is kept."""
        if self.same_answer:
            return
        if self.kept is not None:
            yield f"  generation {self.kept} still gives it: warehouse sql --generation {self.kept}"
            return
        if self.unlike is not None:
            yield f"  its own generation, {self.unlike}, is kept and gives another answer too"
        else:
            yield "  its own generation is not kept in this home"
        for file in self.pruned:
            yield f"  not in this home any more: {file} ({file.object})"


def verify_receipt(
    settings: Settings, receipt: Receipt, frames: Mapping[str, object] | None = None
) -> ReceiptVerdict:
    """Run a receipt's query again and compare files and content.

    Parameters
    ----------
    frames
        The frames by name that the query was asked with, of which a receipt holds only hashes.

    Raises
    ------
    NotFoundError
        The home has no catalog.
    QueryError
        A frame is missing, or is another one than the receipt's.
    """
    given = dict(frames or {})
    _require_frames(receipt, given)
    values = receipt.params | given

    with Warehouse(settings) as warehouse:
        try:
            again = warehouse.sql(receipt.sql, values).receipt
        except (QueryError, NotFoundError) as error:
            found = ReceiptVerdict(
                Verdict.OTHER_CODE, False, warehouse.generation, problem=error.what
            )
        else:
            found = _compare(receipt, again)
    if found.same_answer:
        return found
    home = Home.of(settings)
    pruned = tuple(file for file in receipt.files if not home.object_path(file.object).is_file())
    kept, unlike = _own_generation(settings, receipt, values)
    return replace(found, kept=kept, unlike=unlike, pruned=pruned)


def _require_frames(receipt: Receipt, given: Mapping[str, object]) -> None:
    """Raise unless the frames are those that the receipt has the hashes of."""
    for name, frame in receipt.frames.items():
        if name not in given:
            raise QueryError(
                f"the answer was computed beside {name}, a frame of {counted(frame.rows, 'row')}"
                f" ({', '.join(frame.columns)}), which its receipt does not hold",
                next_step="give it in Python: from warehouse import verify_receipt;"
                f" verify_receipt(wh.settings, receipt, {{{name!r}: frame}})",
            )
        if frame_facts(frame_table(name, given[name])) != frame:
            raise QueryError(
                f"{name} is another frame than the receipt's, which had"
                f" {counted(frame.rows, 'row')} of"
                f" {', '.join(frame.columns)} and the hash {frame.content}",
                next_step="give it the frame that the query was asked with",
            )


def _own_generation(
    settings: Settings, receipt: Receipt, values: Mapping[str, object]
) -> tuple[int | None, int | None]:
    """The receipt's generation: first if it gives the answer, second if it is kept and does not."""
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
        verdict = Verdict.OTHER_INPUTS
    else:
        verdict = Verdict.IDENTICAL if same else Verdict.OTHER_CODE
    return ReceiptVerdict(
        verdict,
        same,
        again.generation,
        restated=tuple(sorted(restated, key=str)),
        gone=tuple(sorted(gone, key=str)),
        new=tuple(sorted(new, key=str)),
    )
