"""Spark as another engine for the marts: a Spark Connect server that reads the gathered months."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.faces import lazy_face

if TYPE_CHECKING:
    from warehouse.spark.cluster import Cluster, connected, new_session
else:
    __getattr__, __dir__ = lazy_face(__name__, __file__)
