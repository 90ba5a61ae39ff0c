"""Checks SQL text: only a single query that reads the catalog may run.

The first of three layers. The engine's own parser turns the text into a tree without running it
(``json_serialize_sql``) and every node of the tree must be on a list of nodes that only read; if
the parser has no tree (PIVOT over values that must first be looked up), sqlglot's is used (remove
when DuckDB has one: https://github.com/duckdb/duckdb/issues/25310). The second layer is the form in
which the text runs, ``select * from (<text>)``, in which the engine itself refuses everything but a
query; the third is the session's restrictions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import duckdb

from warehouse.analysis import Tree, function_name, nodes, table_name
from warehouse.errors import TICKS, QueryError
from warehouse.query.sql_text.measure_hints import measure_hint
from warehouse.query.sql_text.moments import lost_offsets
from warehouse.sql import literal

_QUERIES = (
    "SELECT, WITH, FROM, VALUES, TABLE, PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, SHOW"
    " and EXPLAIN of these"
)
# Kinds of tree nodes that only read; expressions need no list, because they have a class.
_KINDS = {
    # queries
    "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "STATEMENT_NODE",
    # sources of FROM
    "BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST",
    "COLUMN_DATA", "PIVOT", "SHOW_REF", "CTE",
    # order and limit
    "ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER",
    "ORDER_DEFAULT", "ASCENDING", "DESCENDING",
}  # fmt: skip

# Table functions of the engine that a query may call; the catalog's own macros come on top.
_TABLE_FUNCTIONS = {
    "generate_series", "histogram", "histogram_values", "json_each", "json_tree", "pragma_show",
    "pragma_table_info", "pragma_version", "range", "repeat", "repeat_row", "summary", "unnest",
    "duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_functions",
    "duckdb_indexes", "duckdb_keywords", "duckdb_schemas", "duckdb_tables", "duckdb_types",
    "duckdb_views", "icu_calendar_names", "pg_timezone_names",
}  # fmt: skip

# Functions that read the process's environment or have side effects.
_SCALAR_FUNCTIONS_REFUSED = {
    "add_parquet_key", "currval", "getenv", "json_execute_serialized_sql", "nextval", "query",
    "query_table", "read_blob", "read_text", "setseed", "setval", "write_log",
}  # fmt: skip

_FILE_NAME = re.compile(
    r"[/\\*?]|\.(parquet|[ct]sv|txt|dat|log|jsonl?|ndjson|gz|zst|db|duckdb|sqlite|xlsx|avro|arrow"
    r"|feather|ipc|sql|env|toml|ya?ml)$",
    re.IGNORECASE,
)
_OF_TICKS = re.compile(r"ticks(_\w+)?", re.IGNORECASE)
_COMMENT = re.compile(r"\s+|--[^\n]*(?:\n|$)|/\*.*?\*/", re.DOTALL)
_TAIL = re.compile(r";(?:\s+|;|--[^\n]*(?:\n|$)|/\*.*?\*/)+$", re.DOTALL)
_EXPLAIN = re.compile(
    r"explain(?:\s+(?P<analyze>analyze|analyse))?(?P<options>\s*\(\s*(?:analyze\s*,?\s*)?"
    r"(?:format\s+\w+\s*)?\))?(?=[\s(/-])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A query that passed.

    Attributes
    ----------
    text
        The query as it runs: the user's text, wrapped.
    parameters
        Names after ``$`` in the text.
    tree
        The engine's parse tree of the user's text; None if it has none.
    explains
        Whether it is an EXPLAIN, whose result is a plan.
    bare
        The user's text without a closing semicolon.
    """

    text: str
    parameters: frozenset[str]
    tree: Tree | None
    explains: bool
    bare: str

    @property
    def is_ordered(self) -> bool:
        """Whether the query itself orders its rows."""
        if self.tree is None:
            return bool(re.search(r"\border\s+by\b", self.bare, re.IGNORECASE))
        modifiers = self.tree.get("modifiers") or []
        return any(modifier["type"] == "ORDER_MODIFIER" for modifier in modifiers)


def check(
    text: str,
    connection: duckdb.DuckDBPyConnection,
    is_macro: Callable[[str], bool] = lambda name: False,
) -> Statement:
    """Check that ``text`` is one query that only reads; returns its statement.

    The connection only parses the text; ``is_macro`` knows the table macros of the catalog.

    Raises
    ------
    QueryError
        The text is anything else; the message names the part that is not allowed.
    """
    try:
        return _checked(text, connection, is_macro)
    except _NoTicksError as error:
        raise _no_ticks(str(error), connection) from error


def _checked(
    text: str, connection: duckdb.DuckDBPyConnection, is_macro: Callable[[str], bool]
) -> Statement:
    bare = _stripped(text)
    reply = _parse(bare, connection)
    if "error" not in reply or not reply["error"]:
        trees = [statement["node"] for statement in reply["statements"]]
        if len(trees) > 1:
            raise _several_statements(len(trees))
        _check_tree(trees[0], is_macro)
        _check_moments(trees[0])
        bare = _without_tail(bare, reply, connection)
        return Statement(_wrapped(bare), _parameters_in(trees[0], bare), trees[0], False, bare)
    if reply["error_type"] == "parser":
        raise _syntax_error(bare, reply["error_message"])
    inner = _split_explain(bare)
    if inner is not None:
        prefix, query = inner
        plan = _checked(query, connection, is_macro)
        if plan.explains:
            raise QueryError("EXPLAIN cannot be explained; write EXPLAIN once")
        return Statement(
            f"{prefix} {plan.text}", plan.parameters, plan.tree, True, f"{prefix} {plan.bare}"
        )
    _check_pivot(bare, is_macro)
    return Statement(_wrapped(bare), parameters_of(bare), None, False, bare)


# -- the engine's tree ---------------------------------------------------------------------------


def _stripped(text: str) -> str:
    if "\x00" in text:
        raise QueryError("the SQL contains a NUL byte", next_step="remove it")
    bare = text.strip().rstrip(";").rstrip()
    if not bare or not _COMMENT.sub("", bare):
        raise QueryError(
            "the SQL is empty",
            next_step="try: from help()",
            in_shell='try: warehouse sql "from help()"',
        )
    return bare


def _parse(text: str, connection: duckdb.DuckDBPyConnection) -> Tree:
    try:
        ((written,),) = connection.execute(f"select json_serialize_sql({literal(text)})").fetchall()
        reply: Tree = json.loads(written)
    except RecursionError as error:
        raise QueryError("the SQL is nested too deeply to be checked") from error
    except (duckdb.Error, ValueError) as error:
        raise _syntax_error(text, str(error)) from error
    return reply


def _without_tail(bare: str, reply: Tree, connection: duckdb.DuckDBPyConnection) -> str:
    """The text without a trailing semicolon, if this does not change its meaning."""
    tail = _TAIL.search(bare)
    if tail is None:
        return bare
    head = bare[: tail.start()]
    return head if _parse(head, connection) == reply else bare


def _wrapped(bare: str) -> str:
    return f"select * from (\n{bare}\n)"


def parameters_of(bare: str) -> frozenset[str]:
    """Names after ``$`` in a query."""
    try:
        statements = duckdb.extract_statements(bare)
    except (duckdb.Error, ValueError) as error:
        raise _syntax_error(bare, str(error)) from error
    return _require_names(
        str(name) for statement in statements for name in statement.named_parameters
    )


def _parameters_in(tree: Tree, bare: str) -> frozenset[str]:
    """Names of parameters, ignoring case, in their first spelling."""
    parameters = [node for node in nodes(tree) if node.get("class") == "PARAMETER"]
    places = [node["query_location"] for node in parameters]
    # DuckDB before 2.0 gives all the position 2**64 - 1: select json_serialize_sql('select $a, $b')
    # (https://github.com/duckdb/duckdb/issues/15503). Remove, with parameters_of, when 2.0 is the
    # oldest supported version and PIVOT has a tree.
    if len(set(places)) < len(places):
        return parameters_of(bare)
    found: dict[str, str] = {}
    for _, name in sorted(zip(places, (node["identifier"] for node in parameters), strict=True)):
        found.setdefault(name.lower(), name)
    return _require_names(found.values())


def _require_names(parameters: Iterable[str]) -> frozenset[str]:
    found = frozenset(parameters)
    if any(name.isdigit() for name in found):
        raise QueryError("parameters are bound by name", next_step="write $name instead of ? or $1")
    return found


def _check_tree(tree: Tree, is_macro: Callable[[str], bool]) -> None:
    for node in nodes(tree):
        kind = node.get("type")
        if isinstance(node.get("info"), dict) or "info_type" in node:
            raise _not_allowed("a statement that writes")
        if isinstance(kind, str) and "class" not in node and not _is_known(kind):
            raise _not_allowed(
                kind.removesuffix("_QUERY_NODE").removesuffix("_NODE").replace("_", " ")
            )
        if kind == "BASE_TABLE" or kind == "SHOW_REF":
            for part in table_name(node):
                _check_table(part)
        elif kind == "TABLE_FUNCTION":
            function = node["function"]
            _check_table_function(function_name(function), is_macro)
        elif node.get("class") == "FUNCTION":
            _check_scalar(function_name(node))


def _check_moments(tree: Tree) -> None:
    lost = next(lost_offsets(tree), None)
    if lost is not None:
        raise QueryError(
            f"'{lost}' has an offset from UTC, which a TIMESTAMP does not keep",
            next_step=f"write timestamptz '{lost}', or the moment in UTC without an offset",
        )


def _is_known(kind: str) -> bool:
    return kind in _KINDS or kind.endswith("_TYPE_INFO")


def _check_table(name: str) -> None:
    if _FILE_NAME.search(name):
        raise QueryError(
            f"{name}: looks like a file; only tables of the catalog may be queried",
            next_step="list them with: warehouse describe",
        )


def _check_table_function(name: str, is_macro: Callable[[str], bool]) -> None:
    if name.lower() not in _TABLE_FUNCTIONS and not is_macro(name):
        if _OF_TICKS.fullmatch(name) and not is_macro("ticks"):
            raise _NoTicksError(name)
        raise QueryError(
            f"{name}(): this table function is not allowed, because it reads more than the catalog",
            next_step="query the catalog's tables; wh.connection() returns the raw connection",
            in_shell="query the catalog's tables; warehouse shell opens DuckDB without this check",
        )


def _check_scalar(name: str) -> None:
    if name.lower() in _SCALAR_FUNCTIONS_REFUSED:
        raise QueryError(
            f"{name}(): this function is not allowed, because it reads more than the catalog",
            next_step="leave it out",
        )


# -- texts without a tree ------------------------------------------------------------------------


def _split_explain(bare: str) -> tuple[str, str] | None:
    """The head of an EXPLAIN, rewritten, and the explained text; None for other statements."""
    at = 0
    while (comment := _COMMENT.match(bare, at)) and comment.end() > at:
        at = comment.end()
    head = _EXPLAIN.match(bare, at)
    if head is None:
        return None
    options = " ".join((head["options"] or "").lower().split())
    analyze = "analyze" if head["analyze"] or "analyze" in options else ""
    form = re.search(r"format (\w+)", options)
    written = ", ".join(part for part in (analyze, form and form[0]) if part)
    return (f"explain ({written})" if form else f"explain {analyze}".strip()), bare[head.end() :]


def _check_pivot(bare: str, is_macro: Callable[[str], bool]) -> None:
    """Check a PIVOT, for which DuckDB's parser has no tree, by sqlglot's tree."""
    kinds = _statement_types(bare)
    if kinds not in (["MULTI"], ["CREATE", "SELECT"]) or "pivot" not in bare.lower():
        if len(kinds) > 1:
            raise _several_statements(len(kinds))
        raise _not_allowed(kinds[0] if kinds else "no statement")
    from sqlglot import exp

    writes = (exp.Create, exp.Drop, exp.Alter, exp.Insert, exp.Update, exp.Delete, exp.Merge)
    others = (exp.Copy, exp.Command, exp.Attach, exp.Detach, exp.Set, exp.Pragma, exp.Use)
    for node in _pivot_tree(bare).walk():
        if isinstance(node, (*writes, *others)):
            raise _not_allowed(node.key)
        if isinstance(node, exp.Table):
            if isinstance(node.this, exp.Func):
                _check_table_function(_function_name(node.this), is_macro)
            for part in node.parts:
                _check_table(part.name)
        elif isinstance(node, exp.Func):
            _check_scalar(_function_name(node))


def _pivot_tree(bare: str) -> Any:
    """sqlglot's tree of a text that is one query."""
    import sqlglot
    from sqlglot import exp

    try:
        trees = sqlglot.parse(bare, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise QueryError(f"the SQL cannot be checked: {str(error).splitlines()[0]}") from error
    if len(trees) != 1 or trees[0] is None:
        raise _several_statements(len(trees))
    if not isinstance(trees[0], (exp.Query, exp.Pivot)):
        raise _not_allowed(trees[0].key)
    return trees[0]


def _statement_types(bare: str) -> list[str]:
    """Kinds of the statements in a text, as DuckDB names them."""
    try:
        statements = duckdb.extract_statements(bare)
    except (duckdb.Error, ValueError) as error:
        raise _syntax_error(bare, str(error)) from error
    try:
        return [statement.type.name for statement in statements]
    except ValueError:  # a kind for which the engine has no name
        return ["this statement"] * len(statements)


def _function_name(node: Any) -> str:
    from sqlglot import exp

    return str(node.name if isinstance(node, exp.Anonymous) else node.sql_name())


# -- refusals ------------------------------------------------------------------------------------


class _NoTicksError(Exception):
    """A function of ticks that the catalog does not have."""


def _no_ticks(name: str, connection: duckdb.DuckDBPyConnection) -> QueryError:
    """The refusal of a function of ticks; it names a raw file if the home has only empty ones."""
    empty = ""
    with suppress(duckdb.Error):  # an importer's SQL is checked without a catalog
        rows = connection.execute(
            "select concat_ws(' ', dataset, exchange, symbol, period) from meta.files"
            " where starts_with(dataset, 'raw_') and rows = 0 order by all limit 1"
        ).fetchall()
        empty = "".join(f"; {file} is a file without rows" for (file,) in rows)
    return QueryError(
        f"{name}(): this home has no ticks, so its catalog has no functions for them{empty}",
        next_step=TICKS,
    )


def _several_statements(count: int) -> QueryError:
    return QueryError(
        f"only one statement at a time: this text has {count}", next_step="run them one by one"
    )


def _not_allowed(kind: str) -> QueryError:
    return QueryError(
        f"{kind.upper()} is not allowed: a query can only read the catalog",
        next_step=f"write one of {_QUERIES}",
    )


def _syntax_error(text: str, message: str) -> QueryError:
    """DuckDB's message on a text that it cannot parse, with the position if there is one."""
    try:
        duckdb.extract_statements(text)
    except (duckdb.Error, ValueError) as error:
        message = str(error)
    return QueryError(engine_message(message), next_step=measure_hint(message, text), sql=text)


def engine_message(message: str) -> str:
    """The engine's error message, cut to its first lines."""
    kept = [line.rstrip() for line in message.strip().splitlines() if line.strip()]
    return "\n  ".join(kept[:8]) or "the SQL is wrong"
