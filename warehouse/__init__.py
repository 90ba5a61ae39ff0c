"""A researcher's own warehouse of crypto market-microstructure data.

``warehouse.open(home)`` opens the catalog read-only. ``get_metrics`` and its siblings return what
the vendor's client returns, from the lake. ``%load_ext warehouse`` adds ``%%sql`` cells to
notebooks. The README lists the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse._version import __version__
from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.analysis import Gap, IncompleteError, LookAhead, LooksAheadError
    from warehouse.compat import (
        get_derivative_metrics,
        get_metrics,
        get_ohlcv,
        get_raw,
        get_symbols,
        get_twap,
        get_vwap,
    )
    from warehouse.errors import WarehouseError
    from warehouse.query import (
        Receipt,
        Result,
        Warehouse,
        load_ipython_extension,
        open,
    )
    from warehouse.upkeep import verify_receipt

__all__ = [
    "Gap",
    "IncompleteError",
    "LookAhead",
    "LooksAheadError",
    "Receipt",
    "Result",
    "Warehouse",
    "WarehouseError",
    "__version__",
    "get_derivative_metrics",
    "get_metrics",
    "get_ohlcv",
    "get_raw",
    "get_symbols",
    "get_twap",
    "get_vwap",
    "load_ipython_extension",
    "open",
    "verify_receipt",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
