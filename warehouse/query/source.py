"""The source of a warehouse's sessions: its home, and the bucket of a home that only reads."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING

from warehouse.config import Settings
from warehouse.home import Home, generation_path
from warehouse.interrupts import run
from warehouse.query.session import Session, open_session
from warehouse.query.sql_text.guard import Statement

if TYPE_CHECKING:
    from warehouse.analysis import CatalogFiles
    from warehouse.bucket import Hold, Reader
    from warehouse.generations import Moment


class SessionSource:
    """The selected generation of a home."""

    def __init__(
        self,
        settings: Settings,
        *,
        generation: int | None,
        as_of: Moment | None,
        snapshot: str | None,
    ) -> None:
        self._settings, self._home = settings, Home.of(settings)
        self._files: weakref.WeakKeyDictionary[Session, CatalogFiles] = weakref.WeakKeyDictionary()
        self._is_earlier = (generation, as_of, snapshot) != (None, None, None)
        self._bucket = self._reader()
        self._wanted: int | None = None
        if self._is_earlier:
            from warehouse.generations import find_generation

            self._refresh()
            self._wanted = find_generation(
                self._home, generation=generation, as_of=as_of, snapshot=snapshot
            )

    def _reader(self) -> Reader | None:
        if self._settings.store is None or self._home.manifest.is_file():
            return None
        from warehouse.bucket import Reader

        return Reader(self._settings)

    def _refresh(self) -> None:
        bucket = self._bucket
        if bucket is not None:
            run(None, lambda: bucket.refresh(every=self._is_earlier))

    def open(self) -> Session:
        """Open a session on the selected generation, by default the one that is published now.

        Raises
        ------
        NotFoundError
            The generation does not exist.
        """
        home, wanted = self._home, self._wanted
        if wanted is None:
            self._refresh()
        catalog = home.catalog if wanted is None else generation_path(home, wanted)
        if not catalog.is_file():
            from warehouse.generations import find_generation, require_catalog

            if wanted is None:
                require_catalog(home)
            else:
                find_generation(home, generation=wanted)
        return open_session(self._settings, catalog)

    def hold(
        self, session: Session, statement: Statement, params: Mapping[str, object]
    ) -> Hold | None:
        """Fetch the files that a query reads, if the home only reads from a bucket."""
        if self._bucket is None:
            return None
        from warehouse.analysis import CatalogFiles

        root = session.root
        if root not in self._files:
            self._files[root] = CatalogFiles(root.new_cursor(), root.names)
        found = self._files[root].read_by(statement.tree, statement.bare, params)
        return self._bucket.hold(found) if found else None
