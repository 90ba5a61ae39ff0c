"""Syncing: plans which files to download or to import from a folder, and adds them to the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.sync.from_folder import FolderPlan, other_data, plan_folder, sync_folder
    from warehouse.sync.from_vendor import plan_vendor, sync_vendor
    from warehouse.sync.layout import LAYOUTS, FolderFault, Naming, printable, scan_folder
    from warehouse.sync.plan import VendorPlan
    from warehouse.sync.report import SyncReport, sync_run
    from warehouse.sync.subscription import (
        Subscription,
        expand_datasets,
        load_subscriptions,
        resolve,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
