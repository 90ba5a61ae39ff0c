"""A researcher's own warehouse of crypto market-microstructure data.

``warehouse.open(home)`` gives the catalog, read-only; ``get_metrics`` and its like answer as the
vendor's client does, from the lake; ``%load_ext warehouse`` gives notebooks a ``%%sql`` cell. See
the README for the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warehouse.errors import WarehouseError
    from warehouse.face import (
        get_derivative_metrics,
        get_metrics,
        get_ohlcv,
        get_raw,
        get_symbols,
        get_twap,
        get_vwap,
    )
    from warehouse.holes import Hole, IncompleteError
    from warehouse.magic import load_ipython_extension
    from warehouse.marks import LookAhead, LooksAheadError
    from warehouse.query import Result, Warehouse, open
    from warehouse.receipt import Receipt

__version__ = "0.1.0"
__all__ = [
    "Hole",
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
]

_HOMES = {
    "Hole": "warehouse.holes",
    "IncompleteError": "warehouse.holes",
    "LookAhead": "warehouse.marks",
    "LooksAheadError": "warehouse.marks",
    "Receipt": "warehouse.receipt",
    "Result": "warehouse.query",
    "Warehouse": "warehouse.query",
    "WarehouseError": "warehouse.errors",
    "get_derivative_metrics": "warehouse.face",
    "get_metrics": "warehouse.face",
    "get_ohlcv": "warehouse.face",
    "get_raw": "warehouse.face",
    "get_symbols": "warehouse.face",
    "get_twap": "warehouse.face",
    "get_vwap": "warehouse.face",
    "load_ipython_extension": "warehouse.magic",
    "open": "warehouse.query",
}


def __getattr__(name: str) -> Any:
    """Load the part of the face that is asked for; ``import warehouse`` alone loads nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'warehouse' has no attribute {name!r}")
    from warehouse.loading import load

    return getattr(load(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
