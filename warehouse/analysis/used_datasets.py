"""The vendor's datasets that a query uses of a mart: those behind the columns that it names."""

from __future__ import annotations

from warehouse.analysis.catalog_names import Names, Place
from warehouse.analysis.lineage import Ancestry, ColumnOf
from warehouse.analysis.parse_tree import Tree, nodes


def used_datasets(tree: Tree | None, place: Place, catalog: Names) -> frozenset[str]:
    """Datasets behind the columns of a table that a query names anywhere; all where unsure.

    None of kept bars, because a series of theirs need not be one of the vendor's files, nor of all
    kinds of ticks.
    """
    if place.schema == "ticks":
        return frozenset()
    if tree is None or any(node.get("class") == "STAR" for node in nodes(tree)):
        return frozenset(catalog.datasets(place))
    named = {
        str(node["column_names"][-1]).lower()
        for node in nodes(tree)
        if node.get("class") == "COLUMN_REF"
    }
    ancestry = Ancestry(catalog)
    found = frozenset(
        leaf.place.table
        for column in catalog.columns[place]
        if column.lower() in named
        for leaf in ancestry.behind(ColumnOf(place, column))
        if leaf.place.schema == "vendor"
    )
    return found or frozenset(catalog.datasets(place))
