"""The page: a local web page that shows one generation of the warehouse, for ``warehouse ui``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.ui.app import run_page
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
