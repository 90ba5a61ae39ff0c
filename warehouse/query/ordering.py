"""ORDER BY of rows that lie in that order already.

A mart lies sorted by series and time, which the engine does not know: of a question for minutes of
one series, sorting them again is a third. So the rows of one table that are wanted by one moment
are first asked for without the ORDER BY, and each batch is looked at. The first that is out of
order ends that, and the query runs as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warehouse.analysis import Tree

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 100_000
_ORDER_BY = re.compile(rb"\border\s+by\s+\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Unsorted:
    """A query without its ORDER BY, and the column that this names."""

    text: str
    column: str

    def fits(self, types: Mapping[str, str]) -> bool:
        """Whether the column is one of the answer's, without doubt, and holds moments."""
        kind = types.get(self.column, "")
        namesakes = re.compile(rf"{re.escape(self.column)}[_:]\d+", re.IGNORECASE)
        is_moment = kind.startswith(("TIMESTAMP", "DATE")) and not kind.endswith("]")
        return is_moment and not any(map(namesakes.fullmatch, types))


def without_order(bare: str, tree: Tree) -> Unsorted | None:
    """A query of one table's rows whose last words are ORDER BY and one column, without these.

    None for any other query: what groups, joins or limits is not run twice.
    """
    modifiers = tree.get("modifiers") or []
    if tree.get("type") != "SELECT_NODE" or [m["type"] for m in modifiers] != ["ORDER_MODIFIER"]:
        return None
    if tree["from_table"].get("type") != "BASE_TABLE" or tree.get("group_expressions"):
        return None
    first, *others = modifiers[0]["orders"]
    column = first["expression"]
    is_plain = first["type"] == first["null_order"] == "ORDER_DEFAULT"
    if others or not is_plain or len(column.get("column_names", ())) != 1:
        return None
    text, start = bare.encode(), column["query_location"]
    head, tail = text[:start], text[start + column.get("query_location_length", 0) :]
    cut = _ORDER_BY.search(head)
    if cut is None or tail.strip():
        return None
    return Unsorted(head[: cut.start()].decode(), column["column_names"][0])


def read_in_order(reader: pa.RecordBatchReader, column: str) -> pa.Table | None:
    """All rows of a reader, if no value of the column is NULL or less than the one before."""
    import numpy as np
    import pyarrow as pa

    batches, last = [], None
    with reader:
        for batch in reader:
            values = batch.column(column)
            if values.null_count:
                return None
            whole = pa.int64() if values.type.bit_width == 64 else pa.int32()
            moments = np.from_dlpack(values.view(whole))
            if len(moments):
                if last is not None and moments[0] < last:
                    return None
                if not (moments[1:] >= moments[:-1]).all():
                    return None
                last = moments[-1]
            batches.append(batch)
    return pa.Table.from_batches(batches, schema=reader.schema)
