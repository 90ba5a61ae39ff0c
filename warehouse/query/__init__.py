"""Asking: a warehouse that is open, and the results of its queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.faces import lazy_face

if TYPE_CHECKING:
    from warehouse.query.notebook import load_ipython_extension
    from warehouse.query.receipt import Receipt, Verdict, verify_receipt
    from warehouse.query.result import Result
    from warehouse.query.session import one_clock
    from warehouse.query.warehouse import Warehouse, open
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "notebook": "load_ipython_extension",
            "receipt": "Receipt Verdict verify_receipt",
            "result": "Result",
            "session": "one_clock",
            "warehouse": "open Warehouse",
        },
    )
