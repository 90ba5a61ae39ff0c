"""Hostile parquet files: valid files of the simulated market with damage.

Every case depends only on a seed and its number, so a failing one can be reproduced.
"""

from __future__ import annotations

import contextlib
import io
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.market import Market, bars
from tests.support import BTC, bar_table, file_key, grid
from warehouse.vendor.keys import FileKey

MAGIC = b"PAR1"
_EVIL = (
    0,
    1,
    -1,
    2,
    127,
    255,
    4096,
    2**16,
    2**24,
    2**31 - 1,
    -(2**31),
    2**32,
    2**40,
    2**62,
    -(2**62),
)
_ROWS = 60


@dataclass(frozen=True, slots=True)
class Case:
    """One file: how it was made, the key it claims, its bytes."""

    number: int
    how: str
    key: FileKey
    content: bytes


def make_case(number: int, seed: int = 0) -> Case:
    """Case ``number`` of a run."""
    chance = random.Random(f"{seed}-{number}")
    if chance.random() < 0.15:
        how = chance.choice(list(_BUILT))
        key, content = _BUILT[how](chance)
        return Case(number, how, key, content)
    key, content = chance.choice(_bases())
    how = chance.choice(list(_SPOILT))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if content:  # a file may have been cut to nothing
            content = _SPOILT[how](content, chance)
    return Case(number, how, key, content)


# -- files to start from -------------------------------------------------------------------------

FLOW = file_key("flow", "2025-09")
TRADES = file_key("raw_trades", "2025-09")


@cache
def _bases() -> list[tuple[FileKey, bytes]]:
    """Small valid files in every way of writing parquet that vendors use."""
    market = Market(symbols=(BTC,), start=date(2025, 9, 1), end=date(2025, 9, 4))
    place: dict[str, Any] = {"symbol": BTC, "interval": "1h", "clock": "true"}
    days: dict[str, Any] = {"start": market.start, "end": market.end}
    flow = bars(market, "flow", **place, **days).slice(0, _ROWS)
    funding = bars(market, "funding", **place, **days).slice(0, _ROWS)
    starts = grid(date(2025, 9, 2), _ROWS, "1s")
    trades = bar_table("raw_trades", starts)
    books = bar_table("raw_quotes", starts)
    found = []
    for key, table in (
        (FLOW, flow),
        (file_key("funding", "2025-09"), funding),
        (TRADES, trades),
        (file_key("raw_quotes", "2025-09"), books),
    ):
        for options in _WRITERS:
            found.append((key, written(table, **options)))
    return found


_WRITERS: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "none", "use_dictionary": False},
    {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 25},
    {"compression": "gzip", "data_page_size": 64, "version": "1.0"},
    {"compression": "lz4", "use_dictionary": False, "use_byte_stream_split": False},
    {"compression": "none", "write_page_checksum": True, "write_page_index": True},
)


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


# -- bytes spoilt --------------------------------------------------------------------------------


def flip_bits(content: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8, 32))):
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def flip_bits_of_footer(content: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(content)
    start = len(content) - 8 - footer_size(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        spoilt[chance.randrange(max(start, 0), len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def cut_the_end(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def cut_the_beginning(content: bytes, chance: random.Random) -> bytes:
    return content[chance.randrange(len(content)) :]


def cut_out(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start + chance.randrange(1, 64) :]


def put_in(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + chance.randbytes(chance.randrange(1, 64)) + content[start:]


def overwrite(content: bytes, chance: random.Random) -> bytes:
    start, size = chance.randrange(len(content)), chance.randrange(1, 64)
    patch = chance.choice((b"\0" * size, b"\xff" * size, chance.randbytes(size)))
    return content[:start] + patch + content[start + size :]


def swap(content: bytes, chance: random.Random) -> bytes:
    a, b, c = sorted(chance.randrange(len(content)) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def footer_length(content: bytes, chance: random.Random) -> bytes:
    wrong = chance.choice((0, 1, 7, 2**31 - 1, 2**32 - 1, len(content), footer_size(content) // 2))
    return content[:-8] + struct.pack("<I", wrong) + MAGIC


def claim_in_footer(content: bytes, chance: random.Random) -> bytes:
    """Another number in the footer: rows, sizes, offsets, types, counts of anything."""
    size = footer_size(content)
    footer = content[len(content) - 8 - size : -8]
    changed = claim(footer, chance)
    return content[: len(content) - 8 - size] + changed + struct.pack("<I", len(changed)) + MAGIC


def claim_in_page(content: bytes, chance: random.Random) -> bytes:
    """Another number in a page's header: its sizes, values, encoding."""
    try:
        groups = pq.ParquetFile(io.BytesIO(content)).metadata
        chunk = groups.row_group(groups.num_row_groups - 1).column(
            chance.randrange(groups.num_columns)
        )
    except (pa.ArrowException, OSError, ValueError, IndexError):
        return flip_bits(content, chance)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    header = content[start : start + 64]
    return content[:start] + claim(header, chance) + content[start + 64 :]


_SPOILT: dict[str, Callable[[bytes, random.Random], bytes]] = {
    f.__name__: f
    for f in (
        flip_bits, flip_bits_of_footer, cut_the_end, cut_the_beginning, cut_out, put_in, overwrite,
        swap, footer_length, claim_in_footer, claim_in_page,
    )
}  # fmt: skip


def footer_size(content: bytes) -> int:
    if len(content) < 12:
        return 0
    size: int = struct.unpack("<I", content[-8:-4])[0]
    return min(size, len(content) - 8)


# -- Thrift, as far as lies need it --------------------------------------------------------------


def claim(text: bytes, chance: random.Random) -> bytes:
    """Thrift's compact form with one of its numbers replaced by a hostile one."""
    places = list(_numbers(text))
    if not places:
        return flip_bits(text, chance) if text else text
    start, end = chance.choice(places)
    return text[:start] + varint(chance.choice(_EVIL)) + text[end:]


def varint(value: int) -> bytes:
    """A zigzag number of up to 64 bits."""
    left = ((value << 1) ^ (value >> 63)) & (2**64 - 1)
    out = bytearray()
    while left >= 0x80:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def _numbers(text: bytes) -> Iterator[tuple[int, int]]:
    """The places of a struct's numbers, as far as the bytes can be parsed."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(IndexError):
        _walk_struct(text, 0, found)
    return iter(found)


def _end_of_varint(text: bytes, at: int) -> int:
    while text[at] & 0x80:
        at += 1
    return at + 1


def _unsigned(text: bytes, at: int) -> tuple[int, int]:
    end, value = _end_of_varint(text, at), 0
    for place, byte in enumerate(text[at:end]):
        value |= (byte & 0x7F) << 7 * place
    return value, end


def _walk_struct(text: bytes, at: int, found: list[tuple[int, int]]) -> int:
    while text[at]:
        header = text[at]
        at += 1
        if not header >> 4:
            at = _end_of_varint(text, at)
        at = _walk(text, at, header & 0x0F, found, in_list=False)
    return at + 1


def _walk(text: bytes, at: int, kind: int, found: list[tuple[int, int]], *, in_list: bool) -> int:
    if kind in (1, 2):
        return at + in_list
    if kind == 3:
        return at + 1
    if kind in (4, 5, 6):
        end = _end_of_varint(text, at)
        found.append((at, end))
        return end
    if kind == 7:
        return at + 8
    if kind == 8:
        size, end = _unsigned(text, at)
        found.append((at, end))
        return end + size
    if kind in (9, 10):
        size, element = text[at] >> 4, text[at] & 0x0F
        at += 1
        if size == 15:
            found.append((at, _end_of_varint(text, at)))
            size, at = _unsigned(text, at)
        for _ in range(size):
            at = _walk(text, at, element, found, in_list=True)
        return at
    if kind == 12:
        return _walk_struct(text, at, found)
    raise IndexError


# -- files built to be wrong ---------------------------------------------------------------------

Built = tuple[FileKey, bytes]


def _replaced(column: str, values: pa.Array, **options: Any) -> Built:
    table = bar_table("flow", grid(date(2025, 9, 1), len(values)), **{column: values})
    try:
        return FLOW, written(table, **options)
    except pa.ArrowException:  # what cannot be written so is written in its own unit
        return FLOW, written(table, version="2.6")


def wrong_type(chance: random.Random) -> Built:
    rows, number = 5, chance.randrange(11)
    ones: list[Any] = [1] * rows
    values = [
        pa.array(["1"] * rows),
        pa.array([b"\xff"] * rows),
        pa.array([True] * rows),
        pa.array(ones, pa.decimal128(38, 10)),
        pa.array(ones, pa.uint64()),
        pa.array([2**63] * rows, pa.uint64()),
        pa.array([1.0] * rows, pa.float16()),
        pa.array([None] * rows, pa.null()),
        pa.array(["1"] * rows).dictionary_encode(),
        pa.array([1.5] * rows).dictionary_encode(),
        pa.array(ones, pa.time64("ns")),
    ][number]
    column = chance.choice(("time", "volume_delta", "taker_buy_volume", "taker_buy_count", "other"))
    return _replaced(column, values)


def odd_times(chance: random.Random) -> Built:
    starts = grid(date(2025, 9, 1), 5)
    changed = [
        [*starts[:4], starts[0]],
        [*starts[:4], starts[4] + 1],
        [*starts[:4], 2**62],
        [*starts[:4], -(2**62)],
        [*starts[:4], None],
        list(starts[::-1]),
        [None] * 5,
    ][chance.randrange(7)]
    unit = chance.choice(("ms", "us", "ns"))
    zone = chance.choice((None, "UTC", "America/New_York", "+05:30"))
    plain = pa.array([None if v is None else int(v) for v in changed], pa.int64())
    options: dict[str, Any] = {"coerce_timestamps": None, "version": "2.6"}
    if unit in ("us", "ns") or chance.random() < 0.5:
        values = plain.view(pa.timestamp(unit, tz=zone))
    else:
        values = pc.divide(plain, 10**3).view(pa.timestamp(unit, tz=zone))
    if chance.random() < 0.2:
        options["use_deprecated_int96_timestamps"] = True
    return _replaced("time", values, **options)


def time_of_another_kind(chance: random.Random) -> Built:
    rows = 5
    values = [
        pa.array([float("nan")] * rows),
        pa.array([date(2025, 9, 1)] * rows),
        pa.array(range(rows), pa.int64()),
        pa.array(["2025-09-01"] * rows),
        pa.array([[1]] * rows),
        pa.array(grid(date(2025, 9, 1), rows)).cast(pa.timestamp("us")).dictionary_encode(),
    ][chance.randrange(6)]
    return _replaced("time", values)


def deep_nesting(chance: random.Random) -> Built:
    kind = pa.int32()
    for level in range(chance.choice((2, 20, 60, 200, 800))):
        kind = pa.list_(kind) if chance.random() < 0.5 else pa.struct([(f"f{level}", kind)])
    return _replaced("deep", pa.array([None] * 3, kind))


def same_name_twice(chance: random.Random) -> Built:
    table = bar_table("flow", grid(date(2025, 9, 1), 5))
    name = chance.choice(("time", "TIME", "volume_delta", "VOLUME_DELTA"))
    return FLOW, written(table.append_column(name, pa.array([1.0] * 5)))


def odd_names(chance: random.Random) -> Built:
    name = chance.choice(
        ("", " ", '"', "'", '"; drop table meta.build; --', "\x00", "\x1b[2J", "ä\u202e",
         "x" * 5_000, "series_id", "exchange", "file_time", "known_at", "filename", "rowid",
         "path_of_the_object", "file_row_number", "interval", "select", "a.b", "$x", "{{ x }}")
    )  # fmt: skip
    table = bar_table("flow", grid(date(2025, 9, 1), 5))
    return FLOW, written(table.append_column(name, pa.array([1.0] * 5)))


def many_columns(chance: random.Random) -> Built:
    table = pa.table(
        {
            "time": pa.array(grid(date(2025, 9, 1), 2)).cast(pa.timestamp("us")),
            **{f"c{i}": [1.0, 2.0] for i in range(chance.choice((500, 3_000)))},
        }
    )
    return FLOW, written(table)


def odd_values(chance: random.Random) -> Built:
    extremes = [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324]
    values = pa.array(chance.choices(extremes, k=5))
    return _replaced(chance.choice(("taker_buy_volume", "volume_delta")), values)


def broken_text(chance: random.Random) -> Built:
    """A text column whose bytes are not UTF-8."""
    spoilt = pa.Array.from_buffers(
        pa.string(),
        3,
        [
            None,
            pa.py_buffer(np.array([0, 2, 4, 6], np.int32)),
            pa.py_buffer(b"\xff\xfe\xc3\x28\x80\x80"),
        ],
    )
    starts = grid(date(2025, 9, 2), 3, "1s")
    name = chance.choice(("id", "side", "note"))
    return TRADES, written(bar_table("raw_trades", starts, **{name: spoilt}))


def no_rows(chance: random.Random) -> Built:
    table = bar_table("flow", grid(date(2025, 9, 1), 0))
    return FLOW, written(table if chance.random() < 0.5 else table.select(["time"]))


def no_parquet(chance: random.Random) -> Built:
    texts = (
        b"",
        b"PAR1",
        b"PAR1PAR1",
        b"<html></html>",
        b"PARE" * 10,
        b"\0" * 1000,
        b"PK\3\4" * 50,
    )
    return FLOW, chance.choice(texts)


def bomb(chance: random.Random) -> Built:
    """A few bytes that decode to many values."""
    rows = chance.choice((1_000_000, 4_000_000))
    ones = pa.array(np.ones(rows))
    kind = chance.random()
    if kind < 0.4:
        return _replaced("taker_buy_volume", ones.slice(0, 1_000_000), compression="zstd")
    table = pa.table(
        {
            "exchange_timestamp": pa.array(np.full(rows, int(grid(date(2025, 9, 2), 1)[0]))).cast(
                pa.timestamp("us")
            ),
            "local_timestamp": pa.array(np.full(rows, int(grid(date(2025, 9, 2), 1)[0]))).cast(
                pa.timestamp("us")
            ),
            "price": ones,
        }
    )
    return TRADES, written(table, compression="zstd", use_dictionary=kind < 0.7)


_BUILT: dict[str, Callable[[random.Random], Built]] = {
    f.__name__: f
    for f in (
        wrong_type, odd_times, time_of_another_kind, deep_nesting, same_name_twice, odd_names,
        odd_values, broken_text, no_rows, no_parquet, wrong_type, odd_times,
    )
}  # fmt: skip
SLOW_BUILT = {f.__name__: f for f in (bomb, many_columns)}


def page_bomb(*, size_mb: int) -> Built:
    """One page of zeros, packed ten thousand times smaller than it claims to unpack to."""
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        for _ in range(size_mb):
            stream.write(b"\0" * (1 << 20))
    zeros = packed.getvalue().to_pybytes()
    rows = 5
    placeholder = random.Random(0).randbytes(len(zeros)).hex()[: len(zeros) * 2]
    note = pa.array([placeholder, *["x"] * (rows - 1)])
    table = bar_table("flow", grid(date(2025, 9, 1), rows)).append_column("note", note)
    content = written(table, compression="zstd", use_dictionary=False, write_statistics=False)
    metadata = pq.ParquetFile(io.BytesIO(content)).metadata
    chunk = metadata.row_group(0).column(metadata.num_columns - 1)
    start, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
    header = content[start : start + 64]
    _, (unpacked, unpacked_end), (size, size_end) = list(_numbers(header))[:3]
    packed_size = _unsigned(header, size)[0] >> 1
    header = content[start : end - packed_size]
    claimed = varint(size_mb << 20)
    left = packed_size - len(zeros) - 8 - (len(claimed) - (unpacked_end - unpacked))
    assert left >= 0, "the page must be as long as before"
    body = zeros + struct.pack("<II", 0x184D2A50, left) + b"\0" * left
    new_size = varint(len(body))
    assert len(new_size) == size_end - size
    header = header[:unpacked] + claimed + header[unpacked_end:size] + new_size + header[size_end:]
    spoilt = content[:start] + header + body + content[end:]
    assert len(spoilt) == len(content)
    return FLOW, spoilt
