"""Upkeep of a home: verify, repair, prune and forget; and the verification of receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.upkeep.bucket import repair_with_bucket, verify_bucket
    from warehouse.upkeep.forget import Selection, find_files, forget_files
    from warehouse.upkeep.numerics import TOLERANCE, compare_numerics
    from warehouse.upkeep.prune import (
        KEEP_GENERATIONS,
        PrunePlan,
        drop_snapshot,
        plan_prune,
        prune_home,
        take_snapshot,
    )
    from warehouse.upkeep.receipts import ReceiptStatus, verify_receipt
    from warehouse.upkeep.repair import repair_home
    from warehouse.upkeep.verify import Finding, Severity, verify_home
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
