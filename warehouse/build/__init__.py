"""Building: from the lake to a catalog with vendor views, marts and meta tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.faces import lazy_face

if TYPE_CHECKING:
    from warehouse.build.builds import last_builds
    from warehouse.build.failed import failed_build, noting_failure
    from warehouse.build.inputs import newer_own_files
    from warehouse.build.lookahead_gate import audit_build, project_by_hand
    from warehouse.build.materialize import store_marts
    from warehouse.build.meta_tables import META
    from warehouse.build.partitions import month_damage
    from warehouse.build.pipeline import (
        build,
        build_user_models,
        copy_published,
        prepare,
        write_docs,
    )
    from warehouse.build.session_copy import copy_damage, remove_copy
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "builds": "last_builds",
            "failed": "failed_build noting_failure",
            "inputs": "newer_own_files",
            "lookahead_gate": "audit_build project_by_hand",
            "materialize": "store_marts",
            "meta_tables": "META",
            "partitions": "month_damage",
            "pipeline": "build build_user_models copy_published prepare write_docs",
            "session_copy": "copy_damage remove_copy",
        },
    )
