"""Building: from the lake to a catalog with vendor views, marts and meta tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.build.build_log import failed_build, last_builds
    from warehouse.build.marts.native_copy import copy_damage, remove_copy
    from warehouse.build.meta.inputs import newer_own_files
    from warehouse.build.meta.tables import META
    from warehouse.build.months.stored import month_damage
    from warehouse.build.pipeline import (
        build,
        prepare,
        publish_by_hand,
        write_docs,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
