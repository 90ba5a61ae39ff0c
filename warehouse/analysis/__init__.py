"""Analysis of a query: its tables, series and span, the origin of its columns, missing bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.analysis.absent_columns import AbsentColumn, find_absent_columns
    from warehouse.analysis.catalog_names import Names, parameter_types, text_parameters
    from warehouse.analysis.empty_results import explain_empty
    from warehouse.analysis.empty_windows import EmptyWindow, find_empty_windows
    from warehouse.analysis.files_read import CatalogFiles
    from warehouse.analysis.gaps import Gap, IncompleteError, find_gaps
    from warehouse.analysis.lineage import Trace, column_facts, trace
    from warehouse.analysis.parse_tree import (
        Tree,
        arguments_of,
        cte_names,
        function_name,
        nodes,
        parse_query,
        table_name,
        table_names,
        texts_in,
    )
    from warehouse.analysis.result_warnings import (
        LookAhead,
        LooksAheadError,
        Remark,
        find_marks,
        require_clean,
        warning_lines,
    )
    from warehouse.analysis.scope import QueryScope, query_scope
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
