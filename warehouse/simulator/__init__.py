"""A simulated market: files in the vendor's shape, for the demo, the test vendor and benchmarks.

A deterministic process (prices, trades, books, funding) is simulated minute by minute and folded
into the vendor's datasets. It makes files and tables only, and uses no lake or catalog.
"""

from __future__ import annotations

from warehouse.simulator.files import Market, bars, write_market

__all__ = ["Market", "bars", "write_market"]
