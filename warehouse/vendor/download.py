"""Download one vendor file to disk by its presigned link, resumable and atomic.

The bytes are written under a name that never ends in ``.parquet``, with the version in a ``.json``
file beside them, so that a later run can resume the download.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from warehouse.errors import ROOM_OR_RIGHTS, DiskError, VendorError
from warehouse.vendor.api import NoAnswerError, RequestRefusedError
from warehouse.vendor.http import (
    TRANSIENT_STATUS,
    Transport,
    describe_failure,
    is_certificate_failure,
    retry_after_s,
    whole_number,
)
from warehouse.vendor.redaction import plain_url

_PROGRESS_BYTES = 1 << 20
_MOST_LINKS = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Body:
    """A complete download: its path, the stamp of its version, its origin without secrets."""

    path: Path
    size_bytes: int
    stamp: str
    origin: str


def download_file(
    transport: Transport,
    link: Callable[..., str],
    part: Path,
    *,
    about: str,
    known_stamp: str | None = None,
    received: Callable[[int], None] = lambda size_bytes: None,
) -> Body | None:
    """Download one file to ``part``, resuming an existing part.

    Parameters
    ----------
    link
        Returns a valid link; its argument ``dead`` is one that storage has refused.
    known_stamp
        Stamp of the lake's version; only another version is requested.
    received
        Called with the number of bytes of each block, from the calling thread.

    Returns
    -------
    Body or None
        None if the server has only the known version.

    Raises
    ------
    RequestRefusedError
        Storage refuses the file for good.
    NoAnswerError
        The body is incomplete after all tries; the received part stays in ``part``.
    DiskError
        The disk is full or not writable.
    """
    return _Download(transport, link, part, about, known_stamp, received).run()


def discard_part(part: Path) -> None:
    """Remove the received part of a file."""
    part.unlink(missing_ok=True)
    _note_path(part).unlink(missing_ok=True)


@dataclass(slots=True)
class _Download:
    """One download over all its tries."""

    transport: Transport
    link: Callable[..., str]
    part: Path
    about: str
    known_stamp: str | None
    received: Callable[[int], None]
    failures: int = 0
    links_refused: int = 0
    most_bytes: int = 0

    def run(self) -> Body | None:
        url = self.link()
        while isinstance(found := self._try(url), _Failure):
            if found.status == 403:
                self.links_refused += 1
                if self.links_refused >= _MOST_LINKS:
                    raise self._refused(found.status)
                url = self.link(dead=url)
                continue
            if found.status == 416:
                discard_part(self.part)
            self._count_failure(found)
            log.info("%s: %s, trying again", self.about, found.problem)
            self.transport.pause(max(self.failures, 1), url, hint_s=found.hint_s)
            url = self.link()
        return found

    def _try(self, url: str) -> Body | _Failure | None:
        conditions = self._conditions()
        try:
            with self.transport.get(url, headers=conditions) as response:
                status = response.status_code
                if status in (200, 206):
                    return self._finish(response, url, self._write(response))
                if status == 304 and conditions:
                    return self._not_modified(url)
                if status not in (403, 416, *TRANSIENT_STATUS):
                    raise self._refused(status)
                return _Failure(f"status {status}", status, retry_after_s(response))
        except httpx.RequestError as error:
            if is_certificate_failure(error):
                raise self._no_answer(describe_failure(error)) from None
            return _Failure(describe_failure(error))
        except _ShortBodyError:
            return _Failure("the body is shorter than announced")
        except OSError as error:
            discard_part(self.part)
            raise DiskError(
                f"{self.about}: cannot be stored ({error.strerror or error})",
                next_step=ROOM_OR_RIGHTS,
            ) from error

    # -- one try ---------------------------------------------------------------------------------

    def _conditions(self) -> dict[str, str]:
        """Headers that request the rest of a part, or a version that the lake does not have."""
        begun = self._begun()
        if begun is not None:
            kind, _, value = begun.stamp.partition(":")
            if begun.size_bytes == begun.whole_bytes:
                return {_CONDITIONS[kind]: value}
            return {"range": f"bytes={begun.size_bytes}-", "if-range": value}
        discard_part(self.part)
        kind, _, value = (self.known_stamp or "").partition(":")
        return {_CONDITIONS[kind]: value} if kind in _CONDITIONS else {}

    def _begun(self) -> _Begun | None:
        """The part already received of a version, if it can be resumed."""
        try:
            note = json.loads(_note_path(self.part).read_text("utf-8"))
            size = self.part.stat().st_size
            begun = _Begun(size, int(note["size_bytes"]), str(note["stamp"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        usable = begun.stamp.startswith(("etag:", "modified:")) and 0 < size <= begun.whole_bytes
        return begun if usable else None

    def _write(self, response: httpx.Response) -> int:
        """Write the body at its offset; return the size of the complete file."""
        start, whole = 0, _length(response)
        if response.status_code == 206:
            begun = self._begun()
            start, whole = _content_range(response)
            if begun is None or start != begun.size_bytes:
                discard_part(self.part)
                raise _ShortBodyError
        else:
            discard_part(self.part)
            note = {"stamp": stamp_of(response), "size_bytes": whole}
            _note_path(self.part).write_text(json.dumps(note), "utf-8")
        with self.part.open("ab" if start else "wb") as file:
            for block in self.transport.blocks(response):
                file.write(block)
                self.received(len(block))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if whole is not None and size < whole:
            raise _ShortBodyError
        if whole is not None and size > whole:
            discard_part(self.part)
            raise _ShortBodyError
        return size

    def _finish(self, response: httpx.Response, url: str, size: int) -> Body:
        begun = self._begun()
        stamp = stamp_of(response) or (begun.stamp if begun else f"size:{size}")
        return Body(self.part, size, stamp, plain_url(url))

    def _not_modified(self, url: str) -> Body | None:
        """The part was already complete, or the lake has this version."""
        begun = self._begun()
        if begun is None:
            return None
        return Body(self.part, begun.size_bytes, begun.stamp, plain_url(url))

    # -- when it fails ---------------------------------------------------------------------------

    def _count_failure(self, failure: _Failure) -> None:
        """Count a failed try, unless it made progress."""
        size = self.part.stat().st_size if self.part.exists() else 0
        if size >= self.most_bytes + _PROGRESS_BYTES:
            self.most_bytes, self.failures = size, 0
            return
        self.failures += 1
        retry = self.transport.retry
        if self.failures >= retry.tries or (failure.hint_s or 0.0) > retry.longest_hint_s:
            raise self._no_answer(failure.problem)

    def _no_answer(self, problem: str) -> NoAnswerError:
        return NoAnswerError(
            f"{self.about}: not fetched ({problem})",
            next_step="run the same command again; it resumes where this one stopped",
        )

    def _refused(self, status: int) -> VendorError:
        return RequestRefusedError(
            f"{self.about}: the vendor's storage refuses it (status {status})",
            next_step="run the same command again later; if that fails too, ask the vendor",
            status=status,
        )


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a try failed, its status (0 without a response), the wait that the server asks for."""

    problem: str
    status: int = 0
    hint_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Begun:
    """Received bytes of a version, its total size, and its stamp."""

    size_bytes: int
    whole_bytes: int
    stamp: str


class _ShortBodyError(Exception):
    """The length of the body differs from its headers."""


_CONDITIONS = {"etag": "if-none-match", "modified": "if-modified-since"}


def stamp_of(response: httpx.Response) -> str:
    """The stamp of this version: a strong ETag, else the time of change, else ''."""
    etag = str(response.headers.get("etag", ""))
    if etag and not etag.startswith("W/"):
        return f"etag:{etag}"
    modified = str(response.headers.get("last-modified", ""))
    return f"modified:{modified}" if modified else ""


def _length(response: httpx.Response) -> int | None:
    """Size of the complete body, if the server sends it and does not compress."""
    header = response.headers.get("content-length", "")
    return None if "content-encoding" in response.headers else whole_number(header)


def _content_range(response: httpx.Response) -> tuple[int, int | None]:
    """First byte and size of the whole, from ``bytes 5-9/10``."""
    header = response.headers.get("content-range", "").removeprefix("bytes ")
    place, _, whole = header.partition("/")
    first = whole_number(place.partition("-")[0])
    return -1 if first is None else first, whole_number(whole)


def _note_path(part: Path) -> Path:
    return part.with_suffix(".json")
