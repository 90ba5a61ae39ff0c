"""An answer as an HTML table for notebooks: its head, its size, whether it is cut, its holes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from warehouse.display import counted, render_cells

if TYPE_CHECKING:
    from warehouse.analysis import Hole, LookAhead
    from warehouse.query.result import Result

_ROWS = 20


def render_html(result: Result, warnings: Sequence[Hole | LookAhead]) -> str:
    """The first rows with types and units in the head, then a line on size and warnings."""
    head = result.head(_ROWS + 1)
    columns = result.columns
    cells = render_cells(list(columns), head[:_ROWS])
    names = "".join(
        f'<th title="{escape(column.meaning or column.type)}">{escape(name)}'
        f"<br><small>{escape(column.unit or column.type)}</small></th>"
        for name, column in columns.items()
    )
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells
    )
    return (
        f'<table class="dataframe"><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>'
        f"<p>{escape(_size(result, len(head)))}{_remarks(result.hint, warnings)}</p>"
    )


def _size(result: Result, head: int) -> str:
    total = len(result) if head > _ROWS else head
    size = f"{counted(total, 'row')} x {counted(len(result.columns), 'column')}"
    return f"{size}, the first {_ROWS} shown" if head > _ROWS else size


def _remarks(hint: str | None, warnings: Sequence[Hole | LookAhead]) -> str:
    from warehouse.analysis import warning_lines

    told = "" if hint is None else f"<br>{escape(hint)}"
    return told + "".join(f"<br>&#9888; {escape(line)}" for line in warning_lines(warnings, hint))
