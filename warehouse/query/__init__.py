"""Queries: an open warehouse, and the results of its queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.query.notebook import load_ipython_extension
    from warehouse.query.results.receipt import Receipt, ReceiptFile, frame_facts
    from warehouse.query.results.result import (
        Result,
        quick_warnings,
        render,
        texts_among_parameters,
    )
    from warehouse.query.results.tabular import as_pandas, as_polars
    from warehouse.query.results.writers import write_rows
    from warehouse.query.session import one_clock
    from warehouse.query.sql_text.frames import frame_table
    from warehouse.query.sql_text.guard import check, engine_message
    from warehouse.query.sql_text.named_queries import find_query
    from warehouse.query.sql_text.templates import decode_sql
    from warehouse.query.warehouse import Warehouse, open, parameters_in, session_of
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
