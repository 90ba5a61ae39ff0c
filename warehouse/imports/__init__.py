"""Importing: ticks in other formats than the vendor's, by one SQL file per format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.imports.importer import ContractSize, Importer, find_importer, list_importers
    from warehouse.imports.run import (
        ImportReport,
        Trial,
        after_refusal,
        import_files,
        try_import,
    )
    from warehouse.imports.stage import Staged
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
