"""Contracts: the content of each dataset's files, from the dbt source YAML in ``models/vendor``.

The YAML is the only place for names, types, units, meanings and ranges. Sync checks files against
it, the catalog takes its comments from it, dbt documents it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from warehouse.errors import DamagedError
from warehouse.interrupts import delay_interrupts

TYPES = {
    "double": "DOUBLE",
    "bigint": "BIGINT",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "varchar": "VARCHAR",
}


# The var ``largest_value`` of the dbt project: larger numbers are NULL in staging and marts.
LARGEST_VALUE = 1e100

# The var ``smallest_value``: smaller numbers other than 0 are NULL there too.
SMALLEST_VALUE = 1e-100

# Prefix of the type of a column that not every DuckDB version names; the column is shown as text.
# In older homes it is the whole type; in others the same type always has the same text.
OTHER_TYPE = "OTHER"

# Prefix of a type whose values some DuckDB version misreads; such columns are not shown.
NO_TYPE = "NONE"


@dataclass(frozen=True, slots=True)
class DatasetColumn:
    """One column of a dataset.

    ``minimum`` and ``maximum`` are inclusive and only warn, as do values below those of the column
    ``at_least`` or above those of ``at_most``; a missing ``expected`` column is reported as drift.
    Every file must have the :func:`time_columns`.
    """

    name: str
    type: str
    description: str
    unit: str
    minimum: float | None = None
    maximum: float | None = None
    expected: bool = True
    at_least: str | None = None
    at_most: str | None = None

    @property
    def is_price(self) -> bool:
        """Whether it is a price, and so above 0; differences of prices may be 0."""
        others = ("spread", "basis", "range", "std", "slippage", "percentage")
        return self.unit == "quote/base" and not any(word in self.name for word in others)

    @property
    def comment(self) -> str:
        """Meaning and unit in one line, as the catalog shows it."""
        return f"{self.description} [{self.unit}]"


@dataclass(frozen=True, slots=True)
class Contract:
    """One dataset: ``name`` as in the catalog (``flow``, ``raw_trades``), columns in file order."""

    name: str
    title: str
    category: str
    description: str
    clocks: tuple[str, ...]
    columns: tuple[DatasetColumn, ...]

    @property
    def is_raw(self) -> bool:
        return self.category == "raw"

    def column(self, name: str) -> DatasetColumn | None:
        return next((column for column in self.columns if column.name == name), None)


# The columns that every view and mart begins with.
KEY_COLUMNS = (
    DatasetColumn(
        "series_id", "INTEGER", "Number of the series, the same in every generation.", "none"
    ),
    DatasetColumn("exchange", "VARCHAR", "Venue, as the vendor spells it.", "text"),
    DatasetColumn("symbol", "VARCHAR", "Instrument in the vendor's Atlas symbology.", "text"),
    DatasetColumn("interval", "VARCHAR", "Length of the bar; NULL for raw data.", "text"),
    DatasetColumn(
        "clock",
        "VARCHAR",
        "Clock that sorted events into bars: exchange or true; NULL for raw data.",
        "text",
    ),
    DatasetColumn("time", "TIMESTAMP", "Start of the bar; for raw data the venue's time.", "UTC"),
    DatasetColumn("known_at", "TIMESTAMP", "First moment at which the row could be known.", "UTC"),
)


def dbt_project_dir() -> Path:
    """Folder of the dbt project: inside the installed package, or the root of a checkout."""
    packaged = Path(__file__).parents[1] / "_dbt"
    return packaged if packaged.is_dir() else Path(__file__).parents[2]


def project_vars(project: Path) -> dict[str, Any]:
    """The vars of a dbt project, by name."""
    with delay_interrupts():
        import yaml

    settings = yaml.safe_load((project / "dbt_project.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = settings["vars"]
    return found


@cache
def load_contracts(folder: Path | None = None) -> dict[str, Contract]:
    """All contracts by dataset name, sorted by name.

    Examples
    --------
    >>> load_contracts()["flow"].column("taker_buy_volume").unit
    'base'
    """
    with delay_interrupts():
        import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = {}
    for path in sorted((folder or dbt_project_dir() / "models" / "vendor").glob("*.yml")):
        try:
            document = yaml.load(path.read_text("utf-8"), Loader=loader)
            tables = [table for source in document["sources"] for table in source["tables"]]
            found.update({table["name"]: _contract(table) for table in tables})
        except (KeyError, TypeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise DamagedError(
                f"{path}: not a dataset contract ({type(error).__name__}: {reason})",
                next_step="reinstall the package",
            ) from error
    return dict(sorted(found.items()))


def _contract(table: dict[str, Any]) -> Contract:
    meta = table["config"]["meta"]
    return Contract(
        name=table["name"],
        title=meta["title"],
        category=meta["category"],
        description=_one_line(table["description"]),
        clocks=tuple(meta.get("clocks", ())),
        columns=tuple(_column(column) for column in table["columns"]),
    )


def _column(column: dict[str, Any]) -> DatasetColumn:
    meta = column["config"]["meta"]
    return DatasetColumn(
        name=column["name"],
        type=TYPES[column["data_type"]],
        description=_one_line(column["description"]),
        unit=meta["unit"],
        minimum=meta.get("min"),
        maximum=meta.get("max"),
        expected=not (meta.get("retired", False) or meta.get("optional", False)),
        at_least=meta.get("at_least"),
        at_most=meta.get("at_most"),
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
