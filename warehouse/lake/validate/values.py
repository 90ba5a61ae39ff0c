"""The values of a vendor file, batch by batch: times, NULLs, unusual and invalid values.

Most files need none of Arrow's functions, also not those behind ``cast``, ``is_null`` and
``drop_null``: loading them takes a fifth of the time of a sync of some files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from warehouse.display import counted
from warehouse.errors import FileRefusedError
from warehouse.lake.validate.tick_order import TickOrder
from warehouse.vendor import (
    LARGEST_VALUE,
    SMALLEST_VALUE,
    Contract,
    DatasetColumn,
    FileKey,
    time_columns,
)

_EXACT_IN_DOUBLE = 1 << 53


class Values:
    """Facts about the values of a file, collected while its pages are decoded.

    ``is_clockless``: the time of receipt was not measured, so ``local_timestamp`` may be NULL.
    """

    def __init__(
        self, key: FileKey, contract: Contract | None, *, is_clockless: bool = False
    ) -> None:
        self._key = key
        self._is_clockless = is_clockless
        self._contract = contract
        self._has_ids = contract is not None and contract.column("id") is not None
        self.nulls = 0
        self.finer_than_us: set[str] = set()
        self.known_before = 0
        self.prices_not_positive: Counter[str] = Counter()
        self.outside: Counter[str] = Counter()
        self.too_large: Counter[str] = Counter()
        self.too_small: Counter[str] = Counter()
        self.order = TickOrder()
        self._times: list[np.ndarray] = []
        self._null_times: list[np.ndarray] = []
        self._finer_bars: list[np.ndarray] = []

    def add(self, batch: pa.RecordBatch) -> list[np.ndarray]:
        """Check some rows; returns the clocks in microseconds, without NULL."""
        self.nulls += sum(column.null_count for column in batch.columns)
        names = [name.lower() for name in batch.schema.names]
        clocks = time_columns(self._key.dataset)
        found = [batch.column(names.index(name)) for name in clocks]
        times = [
            self._microseconds(values, name) for values, name in zip(found, clocks, strict=True)
        ]
        self._times.append(times[0])
        self._finer_bars.append(np.zeros(len(times[0]), bool) if self._key.is_raw
                                else _is_finer(found[0]))  # fmt: skip
        nulls = [nulls_of(values) for values in found]
        is_null = nulls[0] if self._is_clockless else np.logical_or.reduce(nulls)
        self._null_times.append(is_null)
        if self._key.is_raw:
            self.known_before += int((~nulls[0] & ~nulls[1] & (times[1] < times[0])).sum())
        for name, values in zip(names, batch.columns, strict=True):
            column = None if self._contract is None else self._contract.column(name)
            if column is not None:
                _check_exact(values, column)
                self._look_at_numbers(values, column)
                self._compare_columns(batch, names, column)
        if self._key.is_raw:
            self.order.add(times, nulls, _ids(batch, names) if self._has_ids else None)
        return [each[~null] for each, null in zip(times, nulls, strict=True)]

    @property
    def times(self) -> np.ndarray:
        """Times in the order of the file; arbitrary where ``null_times``."""
        return np.concatenate(self._times) if self._times else np.empty(0, np.int64)

    @property
    def null_times(self) -> np.ndarray:
        return np.concatenate(self._null_times) if self._null_times else np.empty(0, bool)

    @property
    def finer_bars(self) -> np.ndarray:
        """Which bars start at a fraction of a microsecond."""
        return np.concatenate(self._finer_bars) if self._finer_bars else np.empty(0, bool)

    @property
    def has_bad_times(self) -> bool:
        """Whether some time is bad: NULL, or the start of a bar with nanoseconds."""
        return any(part.any() for part in (*self._null_times, *self._finer_bars))

    def notes(self) -> Iterator[tuple[str, str]]:
        """Unusual values, which are not a reason for refusal: kind and description."""
        if self.known_before:
            time, known_at = time_columns(self._key.dataset)
            yield (
                "known before its time",
                f"{counted(self.known_before, 'row')} with {known_at} before {time}",
            )
        for name in sorted(self.finer_than_us):
            yield "nanoseconds", f"{name}: times are truncated to microseconds"
        for name, count in sorted((+self.prices_not_positive).items()):
            yield (
                "price not positive",
                f"{name}: {counted(count, 'row')} with a price of 0 or below",
            )
        for what, count in sorted((+self.outside).items()):
            yield "value out of range", f"{counted(count, 'row')} with {what}"
        for name, count in sorted((+self.too_large).items()):
            yield (
                "number too large",
                f"{name}: {counted(count, 'row')} beyond {LARGEST_VALUE:g}, NULL in staging"
                " and marts",
            )
        for name, count in sorted((+self.too_small).items()):
            yield (
                "number too small",
                f"{name}: {counted(count, 'row')} within {SMALLEST_VALUE:g} of 0, NULL"
                " in staging and marts",
            )

    def _microseconds(self, values: pa.Array, name: str) -> np.ndarray:
        times, is_cut = _microseconds(values)
        if is_cut and self._key.is_raw:
            self.finer_than_us.add(name)
        return times

    def _look_at_numbers(self, values: pa.Array, column: DatasetColumn) -> None:
        """Count numbers beyond the contract's bounds, and finite ones that marts read as NULL."""
        is_floating = pa.types.is_floating(values.type)
        low, high = column.minimum, column.maximum
        has_bounds = low is not None or high is not None
        if pa.types.is_null(values.type) or not (is_floating or column.is_price or has_bounds):
            return
        numbers = _floats(values)
        if column.is_price:
            self.prices_not_positive[column.name] += int(np.count_nonzero(numbers <= 0))
        elif low is not None:
            is_below = (numbers < low) & (numbers > -np.inf)
            self.outside[f"{column.name} below {low:g}"] += int(np.count_nonzero(is_below))
        if high is not None:
            is_above = (numbers > high) & (numbers < np.inf)
            self.outside[f"{column.name} above {high:g}"] += int(np.count_nonzero(is_above))
        if is_floating:
            size = np.abs(numbers)
            is_small = (size < SMALLEST_VALUE) & (size > 0)
            self.too_small[column.name] += int(np.count_nonzero(is_small))
            is_large = (size > LARGEST_VALUE) & np.isfinite(size)
            self.too_large[column.name] += int(np.count_nonzero(is_large))

    def _compare_columns(
        self, batch: pa.RecordBatch, names: list[str], column: DatasetColumn
    ) -> None:
        """Count values beyond those of another column; NULL and NaN are not compared."""
        for other, way in ((column.at_least, "below"), (column.at_most, "above")):
            if other is None or other not in names:
                continue
            value, bound = (aligned(batch.column(names.index(n))) for n in (column.name, other))
            is_beyond = value < bound if way == "below" else value > bound
            self.outside[f"{column.name} {way} {other}"] += int(np.count_nonzero(is_beyond))


def _ids(batch: pa.RecordBatch, names: list[str]) -> pa.Array:
    """The ids of ticks as text; all NULL if the file has none."""
    if "id" not in names:
        return pa.nulls(batch.num_rows, pa.string())
    return batch.column(names.index("id")).cast(pa.string())


def is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _check_exact(values: pa.Array, column: DatasetColumn) -> None:
    """Refuse values that the contract's type would change; NaN in a count becomes NULL."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary
    if (fault := _inexact(values, column.type)) is not None:
        raise FileRefusedError(f"column {column.name!r} {fault}")


def _inexact(values: pa.Array, wanted: str) -> str | None:
    """Why values would change as a type of DuckDB; None if they would not."""
    kind, fault = values.type, None
    if wanted == "DOUBLE" and pa.types.is_integer(kind):
        numbers = plain_numbers(values, kind.to_pandas_dtype())[~nulls_of(values)]
        if len(numbers) and max(numbers.max(), -int(numbers.min())) > _EXACT_IN_DOUBLE:
            fault = "holds integers that DOUBLE would round"
    elif wanted == "DOUBLE" and pa.types.is_decimal(kind):
        if not _survive(values, pa.float64()):
            fault = "holds decimals that DOUBLE would round"
    elif wanted == "BIGINT" and pa.types.is_floating(kind):
        fault = _no_count(_floats(values))
    elif wanted == "BIGINT" and not _can_be(values, pa.int64()):
        fault = "holds numbers too large for BIGINT"
        if pa.types.is_decimal(kind):
            fault = "has decimals out of the range of BIGINT"
    elif wanted == "VARCHAR" and is_bytes(kind) and not _can_be(values, pa.string()):
        fault = "has bytes that are not UTF-8 text"
    return fault


def _no_count(numbers: np.ndarray) -> str | None:
    if np.isinf(numbers).any():
        return "is a count, but has infinity"
    if (np.abs(numbers) >= 2.0**63).any():
        return "holds numbers too large for BIGINT"
    if (numbers[np.isfinite(numbers)] % 1 != 0).any():
        return "has values that are not whole numbers"
    return None


def _can_be(values: pa.Array, kind: pa.DataType) -> bool:
    try:
        converted(values, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _survive(values: pa.Array, kind: pa.DataType) -> bool:
    """Whether values are the same after a cast there and back."""
    import pyarrow.compute as pc

    try:
        is_same = pc.all(pc.equal(values.cast(kind).cast(values.type), values)).as_py()
    except pa.ArrowInvalid:
        return False
    return is_same is not False


def _is_finer(values: pa.Array) -> np.ndarray:
    """Which times, except NULL, have a fraction of a microsecond."""
    if not pa.types.is_timestamp(values.type) or values.type.unit != "ns" or not len(values):
        return np.zeros(len(values), bool)
    is_finer: np.ndarray = (plain_numbers(values, np.int64) % 1_000 != 0) & ~nulls_of(values)
    return is_finer


def _microseconds(values: pa.Array) -> tuple[np.ndarray, bool]:
    """Times as microseconds, and which were finer; arbitrary where NULL."""
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("ms" if values.type == pa.date64() else "s"))
    target = pa.timestamp("us", tz=values.type.tz)
    try:
        cast, is_cut = converted(values, target), False
    except pa.ArrowInvalid:
        import pyarrow.compute as pc

        cast, is_cut = pc.floor_temporal(values, unit="microsecond").cast(target), True
    return plain_numbers(cast, np.int64), is_cut


def _floats(values: pa.Array) -> np.ndarray:
    """The numbers that are not NULL, as float64."""
    numbers = _as_floats(values)
    return numbers[~nulls_of(values)] if values.null_count else numbers


def aligned(values: pa.Array) -> np.ndarray:
    """The numbers as float64 in the order of the rows, NaN where NULL."""
    return np.where(nulls_of(values), np.nan, _as_floats(values))


def _as_floats(values: pa.Array) -> np.ndarray:
    """The numbers as float64, arbitrary where NULL."""
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        values = values.cast(pa.float64(), safe=False)
    numbers = plain_numbers(values, values.type.to_pandas_dtype())
    return numbers.astype(np.float64, copy=False)


def converted(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values as another type; raises ArrowInvalid if it cannot hold them."""
    return values if values.type == kind else values.cast(kind)


def plain_numbers(values: pa.Array, dtype: type[np.generic]) -> np.ndarray:
    """The numbers of an array of numbers or times, arbitrary where NULL.

    ``Array.to_numpy`` would load pandas.
    """
    if not len(values):
        return np.empty(0, dtype)
    start = values.offset * np.dtype(dtype).itemsize
    numbers: np.ndarray = np.frombuffer(values.buffers()[1], dtype, len(values), start)
    return numbers


def nulls_of(values: pa.Array) -> np.ndarray:
    """Which values are NULL."""
    if not values.null_count:
        return np.zeros(len(values), bool)
    if (held := values.buffers()[0]) is None:  # a type without a bit for each row
        return np.ones(len(values), bool)
    end = values.offset + len(values)
    bits = np.unpackbits(np.frombuffer(held, np.uint8), count=end, bitorder="little")
    is_null: np.ndarray = bits[values.offset :] == 0
    return is_null
