"""Receipts: a record of what a result was computed from.

A receipt contains the query, its parameters, the generation, the vendor files behind the result
with their hashes, versions, and a hash of the content. ``upkeep.receipts`` verifies it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from warehouse.errors import QueryError
from warehouse.files import open_atomic

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse.analysis import QueryScope

# Fields that a receipt contains only if they are not empty, by the version that introduced them, so
# that earlier versions can read all other receipts.
_SINCE = {"frames": 2, "looks_ahead": 2, "template": 3}
RECEIPT_VERSION = 3

BATCH_ROWS = 50_000
_MANTISSA_BITS = 30


@dataclass(frozen=True, slots=True, order=True)
class ReceiptFile:
    """A vendor file behind a result; ``object`` is the sha256 of its bytes."""

    dataset: str
    exchange: str
    symbol: str
    interval: str | None
    clock: str | None
    period: str
    object: str

    @property
    def key(self) -> tuple[str | None, ...]:
        """Key of the file, independent of its bytes."""
        return self.dataset, self.exchange, self.symbol, self.interval, self.clock, self.period

    def __str__(self) -> str:
        return " ".join(part for part in self.key if part)


@dataclass(frozen=True, slots=True)
class ReceiptFrame:
    """A frame that the query read; ``content`` is the hash of its rows in any order."""

    rows: int
    columns: tuple[str, ...]
    content: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A record of what one result was computed from.

    Attributes
    ----------
    sql, params
        The query as it ran, and the values bound to its names.
    generation, product_version, duckdb_version
        Catalog, product and DuckDB that computed the result.
    files
        Every vendor file that the result may depend on: those of the selected series if the query
        certainly selects some, else of all series in the datasets behind its tables.
    rows, columns
        Size, and type of each column by its name.
    content
        sha256 over names, types and rows; it depends on the order of rows only if ``is_ordered``.
        Reals are rounded to nine digits, because sums of reals on several threads differ in their
        last ones between runs.
    frames
        The user's own frames by name, with their hashes; the receipt does not contain them.
    looks_ahead
        The user's models behind the result that did not pass the look-ahead audit, with the cause.
    template
        The query as the user wrote it, if it contains Jinja; else empty.
    """

    sql: str
    params: dict[str, Any]
    generation: int
    product_version: str
    duckdb_version: str
    files: tuple[ReceiptFile, ...]
    rows: int
    columns: dict[str, str]
    is_ordered: bool
    content: str
    frames: dict[str, ReceiptFrame] = field(default_factory=dict)
    looks_ahead: tuple[str, ...] = ()
    template: str = ""

    def to_json(self) -> str:
        """The receipt as JSON."""
        facts = asdict(self) | {
            "params": {n: _parameter_to_json(v) for n, v in self.params.items()}
        }
        facts = {name: value for name, value in facts.items() if value or name not in _SINCE}
        version = max((_SINCE[name] for name in facts if name in _SINCE), default=1)
        return json.dumps({"receipt": version, **facts}, indent=1)

    def save(self, path: str | Path) -> Path:
        """Write the receipt as JSON to a file."""
        target = Path(path)
        with open_atomic(target) as sink:
            sink.write((self.to_json() + "\n").encode())
        return target

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The receipt that :meth:`to_json` wrote.

        Raises
        ------
        QueryError
            The text is not a receipt, or a newer version wrote it.
        """
        try:
            facts = json.loads(text)
            version = facts.pop("receipt")
            if not isinstance(version, int) or version < 1:
                raise ValueError(f"receipt: {version!r}")
            if version > RECEIPT_VERSION:
                raise QueryError("this receipt was written by a newer version")
            facts["params"] = {n: _parameter_from_json(v) for n, v in facts["params"].items()}
            facts["files"] = tuple(ReceiptFile(**file) for file in facts["files"])
            facts["frames"] = {
                name: ReceiptFrame(**(frame | {"columns": tuple(frame["columns"])}))
                for name, frame in facts.get("frames", {}).items()
            }
            facts["looks_ahead"] = tuple(facts.get("looks_ahead", ()))
            return cls(**facts)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QueryError(
                f"this is not a receipt ({error})",
                next_step="write one with: r.receipt.save(path)",
                in_shell="write one with: warehouse sql SQL --receipt FILE",
            ) from error


def frame_facts(table: pa.Table) -> ReceiptFrame:
    """A frame's columns, number of rows and hash for a receipt."""
    batches = table.to_batches(max_chunksize=BATCH_ROWS)
    names = tuple(table.column_names)
    rows, content = content_hash(dict.fromkeys(names, ""), batches, ordered=False)
    return ReceiptFrame(rows, names, content)


def files_behind(
    cursor: duckdb.DuckDBPyConnection, scope: Sequence[QueryScope]
) -> tuple[ReceiptFile, ...]:
    """The vendor files that a result may depend on, in order.

    Series restrict the files of built-in tables. Spans of time restrict only the files of views
    that keep the rows, because a mart's windows reach beyond the selected bars.
    """
    found: set[ReceiptFile] = set()
    columns = cursor.execute("describe meta.coverage").fetchall()
    has_sources = "source" in {row[0] for row in columns}  # not in an earlier version's catalog
    for one in scope:
        keys = {} if one.relation.schema == "user" else one.keys
        where = "".join(f' and "{name}" in ${name}' for name in keys)
        params: dict[str, Any] = {name: list(values) for name, values in keys.items()}
        if one.relation.schema in ("vendor", "staging"):
            where += (
                " and last_time >= coalesce($start, last_time)"
                " and first_time < coalesce($end, first_time + interval 1 second)"
            )
            params |= {"start": one.start, "end": one.end}
        rows = cursor.execute(
            "select dataset, exchange, symbol, interval, clock, period, object from meta.files"
            f" where dataset in $datasets and len(owns_from) > 0{where}",
            {"datasets": list(one.datasets), **params},
        ).fetchall()
        found |= {ReceiptFile(*row) for row in rows}
        if has_sources:  # bars from ticks may depend on all ticks of their symbol
            rows = cursor.execute(
                "select dataset, exchange, symbol, interval, clock, period, object"
                " from meta.files semi join (select exchange, symbol from meta.coverage"
                " where dataset in $datasets and source = 'ticks') using (exchange, symbol)"
                " where starts_with(dataset, 'raw_') and len(owns_from) > 0",
                {"datasets": list(one.datasets)},
            ).fetchall()
            found |= {ReceiptFile(*row) for row in rows}
    return tuple(sorted(found, key=lambda file: tuple(map(str, (*file.key, file.object)))))


# -- content -------------------------------------------------------------------------------------


def content_hash(
    columns: Mapping[str, str], batches: Iterable[pa.RecordBatch], *, ordered: bool
) -> tuple[int, str]:
    """Number of rows, and sha256 over names, types and rows."""
    head = json.dumps(list(columns.items()))
    digests: list[bytes] = []
    for batch in batches:
        digests += _row_digests(batch)
    if not ordered:
        digests.sort()
    return len(digests), hashlib.sha256(head.encode() + b"".join(digests)).hexdigest()


def _row_digests(batch: pa.RecordBatch) -> list[bytes]:
    """One digest per row, over its cells in fixed widths."""
    import numpy as np

    if batch.num_rows == 0:
        return []
    cells = np.hstack([_cell_bytes(column) for column in batch.columns])
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in cells]


def _cell_bytes(column: pa.Array) -> Any:
    """A column as rows of nine bytes: one for whether there is a value, and eight for the value."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_floating(kind):
        values = _rounded(column.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False))
        bits = values.view(np.int64)
    elif pa.types.is_integer(kind) and kind != pa.uint64():
        bits = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    elif pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        moments = column.cast(pa.timestamp("us", getattr(kind, "tz", None)))
        bits = moments.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    else:
        texts = [repr(value).encode() for value in column.to_pylist()]
        digests = b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in texts)
        bits = np.frombuffer(digests, dtype=np.int64)
    present = column.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)
    bits = np.where(present == 1, bits, 0).astype("<i8")
    rows = len(column)
    return np.hstack([present.reshape(rows, 1), bits.view(np.uint8).reshape(rows, 8)])


def _rounded(values: Any) -> Any:
    """Reals rounded to a mantissa of 30 bits, with a single zero and a single NaN."""
    import numpy as np

    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(values)
        rounded = np.ldexp(np.round(mantissa * 2.0**_MANTISSA_BITS) / 2.0**_MANTISSA_BITS, exponent)
    rounded = np.where(np.isnan(values), np.nan, rounded + 0.0)
    return np.ascontiguousarray(rounded, dtype=np.float64)


# -- parameters as JSON --------------------------------------------------------------------------


def _parameter_to_json(value: object) -> Any:
    if isinstance(value, dt.datetime):
        return {"timestamp": value.isoformat()}
    if isinstance(value, dt.date):
        return {"date": value.isoformat()}
    if isinstance(value, list):
        return [_parameter_to_json(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise QueryError(f"a receipt cannot contain a parameter of type {type(value).__name__}")


def _parameter_from_json(value: Any) -> object:
    if isinstance(value, dict):
        (kind, text), *_ = value.items()
        return (dt.date if kind == "date" else dt.datetime).fromisoformat(text)
    return [_parameter_from_json(item) for item in value] if isinstance(value, list) else value
