"""Queries: an open warehouse, and the results of its queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.faces import lazy_face

if TYPE_CHECKING:
    from warehouse.query.frames import frame_table
    from warehouse.query.guard import check, engine_message
    from warehouse.query.named_queries import find_query
    from warehouse.query.notebook import load_ipython_extension
    from warehouse.query.receipt import Receipt, ReceiptFile, frame_facts
    from warehouse.query.result import Result, quick_warnings, render, texts_among_parameters
    from warehouse.query.session import one_clock
    from warehouse.query.warehouse import Warehouse, open, parameters_in, session_of
    from warehouse.query.writers import write_rows
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "frames": "frame_table",
            "guard": "check engine_message",
            "named_queries": "find_query",
            "notebook": "load_ipython_extension",
            "receipt": "frame_facts Receipt ReceiptFile",
            "result": "quick_warnings render Result texts_among_parameters",
            "session": "one_clock",
            "warehouse": "open parameters_in session_of Warehouse",
            "writers": "write_rows",
        },
    )
