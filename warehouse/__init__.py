"""A researcher's own warehouse of crypto market-microstructure data."""

from __future__ import annotations

__version__ = "0.1.0"
