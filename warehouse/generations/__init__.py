"""Generations of the catalog: publishing one, and finding an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.generations.history import (
        SNAPSHOT_MARK,
        Moment,
        find_generation,
        list_generations,
        snapshots_of,
    )
    from warehouse.generations.publish import (
        WARNED,
        Published,
        Reads,
        catalog_reads,
        current_generation,
        generations,
        is_open,
        journal_copy,
        lost_catalog,
        next_generation,
        point_to,
        publish_build,
        read_catalog,
        read_publications,
        require_as_published,
        require_catalog,
        require_unpublished,
        rollback,
        write_publications,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
