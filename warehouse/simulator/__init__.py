"""A simulated market: files in the vendor's shape, for the demo, the notebooks and the tests.

A deterministic process (prices, trades, books, funding) is simulated minute by minute and folded
into the vendor's datasets. It makes files only, and uses no lake or catalog. The datasets that only
tests need are in ``tests/market.py``.
"""

from __future__ import annotations

from warehouse.simulator.files import Market, write_market

__all__ = ["Market", "write_market"]
