"""The lake: vendor files as checked objects, and the manifest that lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.lake.imported import GRAINS, IMPORTED, RECEIVE_CLOCKS, Imported, ImportedSource
    from warehouse.lake.manifest.manifest import Manifest
    from warehouse.lake.manifest.records import BadRow, FileFacts, Refusal, Restatement, StoredFile
    from warehouse.lake.notes import Note, notes_of
    from warehouse.lake.objects import Admission, Lake, Outcome, is_link, shows
    from warehouse.lake.ownership import (
        OwnedFile,
        SeriesMonth,
        assign_ownership,
        cover_months,
        find_gaps,
        series_months,
    )
    from warehouse.lake.validate.bad_rows import BadRowsError, write_salvaged
    from warehouse.lake.validate.vendor_file import check_file
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
