"""The queries of one request, which stop when its client disconnects, and open generations."""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from warehouse.analysis import Names
from warehouse.config import Settings
from warehouse.errors import NotFoundError, UsageError, did_you_mean
from warehouse.generations import current_generation
from warehouse.home import Home
from warehouse.query import Result, Warehouse, session_of, texts_among_parameters
from warehouse.sql import Relation

_MOST_OPEN = 4
_NUMBERS = re.compile(
    r"(DOUBLE|FLOAT|REAL|DECIMAL.*|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|BOOLEAN)", re.IGNORECASE
)


class Asking:
    """The queries of one request on one generation."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self._lock = threading.Lock()
        self._results: list[Result] = []
        self._is_stopped = False

    @property
    def names(self) -> Names:
        """Names of the catalog."""
        return session_of(self.warehouse).names

    def sql(self, text: str, params: Mapping[str, object] | None = None) -> Result:
        """A query; it runs when its result is read.

        Values that the query compares with text columns, such as true with clock, stay text.
        """
        result = self.warehouse.sql(text, params)
        others = {n for n, value in (params or {}).items() if isinstance(value, (bool, int, float))}
        met = texts_among_parameters(result) if others else frozenset()
        texts = {
            name: json.dumps(params[name]) for name in others if name.lower() in met and params
        }
        if texts:
            result = self.warehouse.sql(text, {**(params or {}), **texts})
        return self.keep(result)

    def keep(self, result: Result) -> Result:
        """Stop this result when the request is stopped."""
        with self._lock:
            self._results.append(result)
            if self._is_stopped:
                result.cancel()
        return result

    def rows(self, text: str, params: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """The rows of a query by column."""
        found: list[dict[str, Any]] = self.sql(text, params).arrow().to_pylist()
        return found

    def stop(self) -> None:
        """Stop the queries of this request, including those that have not begun."""
        with self._lock:
            self._is_stopped = True
            for result in self._results:
                result.cancel()

    def relation(self, table: str) -> Relation:
        """A table of the catalog by its name in queries."""
        parts = tuple(table.split(".", 1))
        found = self.names.find(parts)
        if found is None:
            known = [str(relation) for relation in self.names.columns]
            raise NotFoundError(
                f"{table}: no such table{did_you_mean(table, known)}",
                next_step="choose one from the list of measures",
            )
        return found

    def require_columns(self, relation: Relation, *columns: str) -> None:
        """Raise NotFoundError if the table lacks one of the columns."""
        known = self.names.columns[relation]
        for column in columns:
            if column not in known:
                raise NotFoundError(
                    f"{relation} has no column {column!r}{did_you_mean(column, known)}",
                    next_step="choose one from the list of measures",
                )

    def require_measures(self, relation: Relation, *columns: str) -> None:
        """Raise NotFoundError if the table lacks a column, UsageError if one is not a number."""
        self.require_columns(relation, *columns)
        for column in columns:
            kind = self.names.columns[relation][column].type
            if not is_number(kind):
                raise UsageError(
                    f"{relation}.{column} is {kind}: a chart needs numbers",
                    next_step="choose another measure",
                )


def is_number(kind: str) -> bool:
    """Whether a type can be drawn.

    Examples
    --------
    >>> is_number("DECIMAL(18,3)"), is_number("VARCHAR")
    (True, False)
    """
    return bool(_NUMBERS.fullmatch(kind))


class Catalogs:
    """The open generations: the server's first one, and others that links name."""

    def __init__(self, settings: Settings, past: Mapping[str, Any]) -> None:
        self._settings = settings
        self._home = Home.of(settings)
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Warehouse] = OrderedDict()
        self._is_pinned = any(value is not None for value in past.values())
        first = Warehouse(settings, **past)
        self._first = first.generation
        self._open[self._first] = first

    def first(self) -> int:
        """The generation of a page that is opened without a link."""
        return self._first if self._is_pinned else self.current()

    def current(self) -> int:
        """The generation that is published now."""
        return current_generation(self._home)

    def get(self, generation: int | None) -> Warehouse:
        """The warehouse of a generation; the most recently used stay open."""
        number = self.first() if generation is None else generation
        with self._lock:
            found = self._open.get(number)
            if found is None:
                found = self._open[number] = Warehouse(self._settings, generation=number)
            self._open.move_to_end(number)
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            return found
