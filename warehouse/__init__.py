"""A researcher's own warehouse of crypto market-microstructure data.

``warehouse.open(home)`` gives the catalog, read-only; ``get_metrics`` and its like answer as the
vendor's client does, from the lake; ``%load_ext warehouse`` gives notebooks a ``%%sql`` cell. See
the README for the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warehouse._version import __version__

if TYPE_CHECKING:
    from warehouse.analysis import Hole, IncompleteError, LookAhead, LooksAheadError
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
    "verify_receipt",
]

_HOMES = {
    "Hole": "warehouse.analysis.holes",
    "IncompleteError": "warehouse.analysis.holes",
    "LookAhead": "warehouse.analysis.lookahead_marks",
    "LooksAheadError": "warehouse.analysis.lookahead_marks",
    "Receipt": "warehouse.query.receipt",
    "Result": "warehouse.query.result",
    "Warehouse": "warehouse.query.warehouse",
    "WarehouseError": "warehouse.errors",
    "get_derivative_metrics": "warehouse.compat.client",
    "get_metrics": "warehouse.compat.client",
    "get_ohlcv": "warehouse.compat.client",
    "get_raw": "warehouse.compat.client",
    "get_symbols": "warehouse.compat.client",
    "get_twap": "warehouse.compat.client",
    "get_vwap": "warehouse.compat.client",
    "load_ipython_extension": "warehouse.query.notebook",
    "open": "warehouse.query.warehouse",
    "verify_receipt": "warehouse.upkeep.receipts",
}


def __getattr__(name: str) -> Any:
    """Load the part of the face that is asked for; ``import warehouse`` alone loads nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'warehouse' has no attribute {name!r}")
    from warehouse.loading import load

    return getattr(load(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
