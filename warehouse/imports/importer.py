"""An importer: one SQL file that selects the columns of a raw dataset from ``$files``.

``<name>.<dataset>.sql`` is in the package or in the home's ``importers/``, which takes precedence.
Comments at its beginning describe the format and have the keys of ``_KEYS``; the rest is one
SELECT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from warehouse.errors import NotFoundError, UsageError, did_you_mean
from warehouse.home import Home
from warehouse.lake import GRAINS, RECEIVE_CLOCKS
from warehouse.vendor import RAW_PREFIX, Contract, DatasetColumn, Symbol, load_contracts

_SHIPPED = Path(__file__).parent / "importers"
_KEY_LINE = re.compile(r"--\s*([A-Za-z_]+)\s*:\s*(\S.*?)\s*")
_CONTRACT_SIZE = re.compile(r"([0-9]*\.?[0-9]+)\s+([A-Za-z0-9]+)")
# Values of each key; the first of ``unzip`` is its default, contract_size may be left out.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "grain": GRAINS,
    "receive_clock": RECEIVE_CLOCKS,
    "sequence": ("id", "file"),
    "unzip": ("yes", "no"),
    "contract_size": (),
}
# Increase it if the same SQL gives other files than before.
_VERSION = "1"


@dataclass(frozen=True, slots=True)
class ContractSize:
    """Size of one contract, in units of the base or the quote."""

    size: float
    asset: str

    @classmethod
    def parse(cls, text: str) -> ContractSize:
        """Read a text such as ``100 USD``."""
        found = _CONTRACT_SIZE.fullmatch(text.strip())
        if found is None or float(found[1]) <= 0:
            raise UsageError(
                f"contract size {text!r:.60} is not a number and an asset",
                next_step="write it like: 100 USD, or 0.01 BTC",
            )
        return cls(float(found[1]), found[2].upper())

    def in_base(self, amount: str, price: str, symbol: str) -> str:
        """SQL that converts a number of contracts to base units."""
        parts = Symbol.parse(symbol)
        if self.asset == parts.base.upper():
            return f"{amount} * {self.size!r}"
        if self.asset == (parts.quote or "").upper():
            return f"{amount} * {self.size!r} / {price}"
        raise UsageError(
            f"a contract of {self.size:g} {self.asset} does not fit {symbol}",
            next_step=f"give the size of a contract in {parts.base} or in {parts.quote}",
        )


@dataclass(frozen=True, slots=True)
class Importer:
    """An importer, read from its file.

    Attributes
    ----------
    name, dataset
        Parts of the file's name; the dataset with its prefix, such as ``raw_trades``.
    grain, receive_clock
        As in :class:`warehouse.lake.Imported`.
    by_id
        Whether ids order rows of equal time and identify them; else their place in the file does.
    unzips
        Whether ``$files`` are the members of a zip archive.
    contract_size
        Size of a contract, if amounts are numbers of contracts.
    sql
        The SELECT.
    """

    name: str
    dataset: str
    path: Path
    description: str
    grain: str
    receive_clock: str
    by_id: bool
    unzips: bool
    contract_size: ContractSize | None
    sql: str

    @property
    def contract(self) -> Contract:
        return load_contracts()[self.dataset]

    @property
    def columns(self) -> tuple[DatasetColumn, ...]:
        """Columns that it must select."""
        return tuple(column for column in self.contract.columns if column.expected)

    @property
    def optional(self) -> frozenset[str]:
        """Columns that it may leave out, which are then NULL."""
        left_out = set() if self.by_id else {"id"}
        return frozenset(
            left_out | ({"local_timestamp"} if self.receive_clock == "none" else set())
        )

    def checksum(self, contract_size: ContractSize | None) -> str:
        """Hash of everything that determines the rows of a file."""
        parts = (_VERSION, self.sql, self.receive_clock, self.by_id, self.unzips, contract_size)
        return sha256(repr(parts).encode()).hexdigest()


def list_importers(home: Home) -> list[Importer]:
    """All importers by name; those of the home replace those of the package."""
    return [_read(path) for _, path in sorted(_paths(home).items())]


def find_importer(home: Home, name: str) -> Importer:
    """The importer of a name, or of ``name.dataset`` if several datasets have one of that name."""
    paths = _paths(home)
    found = [stem for stem in paths if name in (stem, stem.partition(".")[0])]
    if len(found) > 1:
        raise UsageError(
            f"{name} imports several datasets", next_step=f"write {' or '.join(sorted(found))}"
        )
    if not found:
        names = [stem.partition(".")[0] for stem in paths]
        raise NotFoundError(
            f"no importer {name!r:.80}{did_you_mean(name, names)}",
            next_step="list them with: warehouse import; write one: docs/importing.md",
        )
    return _read(paths[found[0]])


def _paths(home: Home) -> dict[str, Path]:
    """Files by ``name.dataset``; those of the home replace those of the package."""
    found = {}
    for folder in (_SHIPPED, home.importers):
        for path in sorted(folder.glob("[!.]*.sql")) if folder.is_dir() else ():
            found[path.stem] = path
    return found


def _read(path: Path) -> Importer:
    name, _, short = path.stem.partition(".")
    dataset = RAW_PREFIX + short.removeprefix(RAW_PREFIX)
    raw = [n.removeprefix(RAW_PREFIX) for n, c in load_contracts().items() if c.is_raw]
    if dataset not in load_contracts():
        raise UsageError(
            f"{path}: its name has no raw dataset after the first dot{did_you_mean(short, raw)}",
            next_step=f"name it {name}.DATASET.sql, with one of {', '.join(raw)}",
        )
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error
    keys, description, sql = _split(text, path)
    is_trades = dataset == f"{RAW_PREFIX}trades"
    if not is_trades:
        keys.setdefault("grain", "update")
    keys.setdefault("unzip", "yes")
    for key in ("grain", "receive_clock", "sequence"):
        if key not in keys:
            raise UsageError(
                f"{path}: its header lacks {key}",
                next_step=f"add a line at its beginning: -- {key}: {' or '.join(_KEYS[key])}",
            )
    by_id = keys["sequence"] == "id"
    if by_id and load_contracts()[dataset].column("id") is None:
        raise UsageError(f"{path}: {short} have no id", next_step="write: -- sequence: file")
    if is_trades == (keys["grain"] == "update"):
        meant = "trade or order" if is_trades else "update"
        raise UsageError(f"{path}: grain {keys['grain']}", next_step=f"write: -- grain: {meant}")
    size = keys.get("contract_size")
    return Importer(
        name=name,
        dataset=dataset,
        path=path,
        description=description,
        grain=keys["grain"],
        receive_clock=keys["receive_clock"],
        by_id=by_id,
        unzips=keys["unzip"] == "yes",
        contract_size=ContractSize.parse(size) if size else None,
        sql=sql,
    )


def _split(text: str, path: Path) -> tuple[dict[str, str], str, str]:
    """The keys of a header, its other lines, and the SQL after it."""
    keys: dict[str, str] = {}
    about = []
    lines = text.splitlines()
    while lines and (not lines[0].strip() or lines[0].lstrip().startswith("--")):
        line = lines.pop(0).strip()
        found = _KEY_LINE.fullmatch(line)
        if found is None or " " in found[1]:
            about.append(line.lstrip("- "))
            continue
        key, value = found[1].lower(), found[2]
        if key not in _KEYS:
            raise UsageError(
                f"{path}: unknown key {key!r} in its header{did_you_mean(key, _KEYS)}",
                next_step=f"the keys are {', '.join(_KEYS)}; write other comments without a colon",
            )
        if _KEYS[key] and value not in _KEYS[key]:
            raise UsageError(
                f"{path}: {key} {value!r:.60}", next_step=f"write {' or '.join(_KEYS[key])}"
            )
        keys[key] = value
    return keys, " ".join(filter(None, about)), "\n".join(lines)
