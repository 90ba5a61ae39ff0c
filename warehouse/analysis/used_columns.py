"""The vendor's columns and datasets that a query uses through the columns of a table."""

from __future__ import annotations

from warehouse.analysis.catalog_names import Names
from warehouse.analysis.lineage import Ancestry, ColumnOf
from warehouse.analysis.parse_tree import Tree, nodes, sources_of
from warehouse.sql import Relation


def used_columns(tree: Tree | None, relation: Relation, catalog: Names) -> frozenset[ColumnOf]:
    """The vendor's columns behind the columns of a table that a query names anywhere.

    Those behind all columns of the table if the query uses ``*`` or has no tree. Kept bars have
    none, because they are computed from ticks, and so have the macros that compute them.
    """
    if relation.schema == "ticks":
        return frozenset()
    found = catalog.columns.get(relation, {})
    if tree is not None and not _has_star(tree):
        named = {
            str(node["column_names"][-1]).lower()
            for node in nodes(tree)
            if node.get("class") == "COLUMN_REF"
        }
        found = {name: facts for name, facts in found.items() if name.lower() in named}
    ancestry = Ancestry(catalog)
    return frozenset(
        leaf
        for column in found
        for leaf in ancestry.behind(ColumnOf(relation, column))
        if leaf.relation.schema == "vendor"
    )


def used_datasets(tree: Tree | None, relation: Relation, catalog: Names) -> frozenset[str]:
    """Datasets behind the columns of a table that a query names anywhere; all if this is uncertain.

    Kept bars have none, because the vendor's files may lack their series, and so may some kinds of
    ticks.
    """
    if relation.schema == "ticks":
        return frozenset()
    if tree is None or _has_star(tree):
        return frozenset(catalog.datasets(relation))
    found = frozenset(column.relation.name for column in used_columns(tree, relation, catalog))
    return found or frozenset(catalog.datasets(relation))


def _has_star(tree: Tree) -> bool:
    """Whether a query has a ``*`` that may be of a table, not only of subqueries in its FROM."""
    of_subqueries = {
        id(item)
        for node in nodes(tree)
        if node.get("type") == "SELECT_NODE"
        and all(one.node["type"] == "SUBQUERY" for one in sources_of(node["from_table"])[0])
        for item in node["select_list"]
    }
    return any(
        node.get("class") == "STAR" and id(node) not in of_subqueries for node in nodes(tree)
    )
