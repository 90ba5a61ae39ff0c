"""A home in a bucket: publishing to it, reading from it, and its upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.bucket.pull import pull_home
    from warehouse.bucket.push import push_home, require_pulled
    from warehouse.bucket.reader import Hold, Reader
    from warehouse.bucket.store import Store, UnreachableError
    from warehouse.bucket.upkeep import check_bucket, prune_bucket, repair_bucket
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
