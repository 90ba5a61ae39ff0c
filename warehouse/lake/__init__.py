"""The lake: vendor files as checked objects, and the manifest that lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.faces import lazy_face

if TYPE_CHECKING:
    from warehouse.lake.bad_rows import BadRowsError, write_salvaged
    from warehouse.lake.imported import GRAINS, IMPORTED, RECEIVE_CLOCKS, Imported, Source
    from warehouse.lake.manifest import Manifest, utc_now
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
    from warehouse.lake.records import BadRow, FileFacts, Refusal, Restatement, StoredFile
    from warehouse.lake.validate import check_file, prepare
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "bad_rows": "BadRowsError write_salvaged",
            "imported": "GRAINS Imported IMPORTED RECEIVE_CLOCKS Source",
            "manifest": "Manifest utc_now",
            "notes": "Note notes_of",
            "objects": "Admission is_link Lake Outcome shows",
            "ownership": "assign_ownership cover_months find_gaps OwnedFile series_months"
            " SeriesMonth",
            "records": "BadRow FileFacts Refusal Restatement StoredFile",
            "validate": "check_file prepare",
        },
    )
