"""A researcher's own warehouse of crypto market-microstructure data.

``warehouse.open(home)`` gives the catalog, read-only; see the README for the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warehouse.errors import WarehouseError
    from warehouse.query import Result, Warehouse, open

__version__ = "0.1.0"
__all__ = ["Result", "Warehouse", "WarehouseError", "__version__", "open"]

_HOMES = {
    "Result": "warehouse.query",
    "Warehouse": "warehouse.query",
    "WarehouseError": "warehouse.errors",
    "open": "warehouse.query",
}


def __getattr__(name: str) -> Any:
    """Load the part of the face that is asked for; ``import warehouse`` alone loads nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'warehouse' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
