"""Spark as another engine for the marts: a Spark Connect server that reads the gathered months."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.spark.cluster import Cluster, connected, new_session
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
