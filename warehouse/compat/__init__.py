"""The vendor's interfaces on the lake: its Python client, and its HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.compat.client import (
        get_derivative_metrics,
        get_metrics,
        get_ohlcv,
        get_raw,
        get_symbols,
        get_twap,
        get_vwap,
    )
    from warehouse.compat.server import run_server
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
