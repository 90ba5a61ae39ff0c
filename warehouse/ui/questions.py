"""Functions of the SQL view: named queries, completion, remarks on a result, exports."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from warehouse.analysis import warning_lines
from warehouse.errors import UsageError
from warehouse.files import open_atomic
from warehouse.home import Home
from warehouse.query import find_query, parameters_in, write_rows
from warehouse.ui.asking import Asking
from warehouse.ui.values import plain

FORMATS = ("csv", "jsonl", "parquet", "arrow")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def queries(asking: Asking, home: Home) -> dict[str, Any]:
    """The named queries, with their parameters and defaults."""
    found = []
    for name, purpose, _, source in asking.keep(asking.warehouse.queries()).fetchall():
        if purpose.startswith("Cannot be read"):
            continue
        query = find_query(name, home.queries)
        sql, values = query.text, {p.name: p.default for p in query.parameters}
        if any(p.choices for p in query.parameters):
            sql, values = query.prepare({p.name: p.default for p in query.parameters})
        found.append(
            {
                "name": name,
                "purpose": purpose,
                "source": source,
                "sql": sql,
                "parameters": [
                    {
                        "name": p.name,
                        "default": plain(values.get(p.name)),
                        "required": p.is_required,
                        "meaning": p.meaning,
                    }
                    for p in query.parameters
                    if not p.choices
                ],
            }
        )
    return {"queries": found}


def functions(asking: Asking) -> dict[str, Any]:
    """Macros of the catalog, and functions of DuckDB, for completion."""
    ours = asking.rows("select name, meaning from help() where name like '%()'")
    theirs = asking.rows(
        "select function_name as name, any_value(description) as meaning from duckdb_functions()"
        " where database_name = 'system' and function_type in ('scalar', 'aggregate')"
        " and regexp_matches(function_name, '^[a-z][a-z0-9_]{2,}$')"
        " and function_name not like '\\_\\_%' escape '\\' group by 1 order by 1"
    )
    listed = [{"name": row["name"].removesuffix("()"), "meaning": row["meaning"]} for row in ours]
    listed += [{"name": row["name"], "meaning": row["meaning"] or "function"} for row in theirs]
    return {"functions": listed}


def remarks(asking: Asking, text: str, params: dict[str, Any]) -> dict[str, Any]:
    """Remarks on a result: missing bars, models that look ahead, the reason why it is empty."""
    result = asking.sql(text, params)
    hint = result.hint
    lines = warning_lines(result.warnings, hint)
    return {"lines": [*([hint] if hint else []), *lines]}


def export(asking: Asking, text: str, params: dict[str, Any], form: str) -> BinaryIO:
    """Export every row of a query to a temporary file, which is deleted when it is closed."""
    if form not in FORMATS:
        raise UsageError(f"{form[:40]}: no such format", next_step=f"one of {', '.join(FORMATS)}")
    with ExitStack() as opened:
        sink = opened.enter_context(tempfile.TemporaryFile())
        write_rows(asking.sql(text, params), form, sink)
        sink.seek(0)
        opened.pop_all()
        return sink


def save(asking: Asking, home: Home, name: str, purpose: str, text: str) -> Path:
    """Save a query as one of the home's named queries.

    Raises
    ------
    UsageError
        The name is invalid or taken.
    QueryError
        The query is wrong.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r}: a name has letters, digits and _ only")
    path = home.queries / f"{name}.sql"
    if path.exists():
        raise UsageError(f"{path} exists", next_step="choose another name, or edit that file")
    parameters = sorted(parameters_in(asking.warehouse, text))
    asking.keep(asking.warehouse.sql(text, dict.fromkeys(parameters)))
    # the purpose is text within a comment and a YAML value
    shown = " ".join(purpose.replace("*/", "* /").replace("\\", "").replace('"', "'").split())
    lines = [f'purpose: "{shown or name}"']
    if parameters:
        lines.append("parameters:")
        lines += [f'  {one}: {{type: any, meaning: "{one}"}}' for one in parameters]
    home.queries.mkdir(exist_ok=True)
    with open_atomic(path) as sink:
        sink.write(("/*\n" + "\n".join(lines) + f"\n*/\n{text.strip()}\n").encode())
    return path
