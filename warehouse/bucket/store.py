"""One home in a bucket that speaks S3's protocol: bytes by name, and HEAD by compare-and-swap.

Every other object is named by its content and never changes. Keys and the endpoint come from the
environment (``AWS_*``). Errors never show texts of the server or the library, which may contain the
keys.
"""

from __future__ import annotations

import random
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from warehouse.bucket.state import State
from warehouse.config import BUCKET, variable
from warehouse.errors import (
    DamagedError,
    OvertakenError,
    StoreError,
    UsageError,
    WarehouseError,
    needing_extras,
)

HEAD = "HEAD"
# Variables that may also be in ``.env``; the library itself reads AWS_* in the environment.
_VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
)
# A large file may take hours over a slow line; a single read may not.
_CLIENT = {"connect_timeout": "5s", "read_timeout": "300s", "timeout": "86400s"}
_RETRIES = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
# Waits before a request to a busy server is repeated, each randomly varied by up to a half.
_WAITS_S = (1, 2, 4, 8)
_BLOCK_BYTES = 1 << 20
_DELETED_AT_ONCE = 1000

_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) to keys for it"
# Error codes of S3 servers, with their meaning and a next step.
_ANSWERS = {
    "NoSuchBucket": ("there is no such bucket", "create it, or correct the address of the store"),
    "InvalidBucketName": ("the bucket's name is invalid", "correct the address of the store"),
    "AccessDenied": ("the keys do not allow that", _KEYS),
    "InvalidAccessKeyId": ("the keys are unknown there", _KEYS),
    "SignatureDoesNotMatch": ("the secret key is wrong", _KEYS),
    "ExpiredToken": ("the keys have expired", _KEYS),
    "InvalidToken": ("the session token is invalid", _KEYS),
    "TokenRefreshRequired": ("the keys have expired", _KEYS),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "set the clock"),
    "AuthorizationHeaderMalformed": ("the region is wrong", "set AWS_REGION to the bucket's"),
    "PermanentRedirect": ("the region is wrong", "set AWS_REGION to the bucket's"),
    "IllegalLocationConstraintException": ("the region is wrong", "set AWS_REGION to the bucket's"),
    "NotImplemented": (
        "the server does not support the request, such as the condition of a write",
        "use a server that supports If-Match and If-None-Match for PUT",
    ),
    "QuotaExceeded": ("the bucket is full", "make room there, for example: warehouse prune"),
    "XMinioStorageFull": ("the bucket is full", "make room there, for example: warehouse prune"),
}
_BUSY = ("SlowDown", "RequestTimeout", "TooManyRequests", "ServiceUnavailable")
_REDIRECTED = "redirect without LOCATION"  # instead of the response PermanentRedirect
_NO_KEYS = ("169.254.169.254", "169.254.170.2", "InvalidCredential", "MissingCredentials")


class MissingError(StoreError):
    """The bucket has no object of that name."""


class UnreachableError(StoreError):
    """The server could not be reached, or did not respond."""


class BusyError(UnreachableError):
    """The server asks for fewer requests."""


class UnchangedError(StoreError):
    """HEAD has the tag that the reader knows."""


@dataclass(frozen=True, slots=True)
class Head:
    """HEAD as it was read.

    Attributes
    ----------
    state
        The state of the home in the bucket.
    tag
        Changes with each change of HEAD.
    is_pruned
        Whether a prune is running, during which nobody else may move HEAD.
    at
        When it was written, by the server's clock.
    """

    state: State
    tag: str
    is_pruned: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in the bucket."""

    name: str
    size_bytes: int
    at: datetime


class Store:
    """A bucket and a prefix; the address has no key."""

    def __init__(self, address: str) -> None:
        self.address = address
        with needing_extras():
            import obstore
            from obstore.store import S3Store
        self._api: Any = obstore
        bucket, _, prefix = address.removeprefix(BUCKET).partition("/")
        config = {name: value for name in _VARIABLES if (value := variable(name))}
        endpoint = config.get("AWS_ENDPOINT_URL", "https://amazon")
        if not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", endpoint):  # the library would panic
            raise UsageError(
                "AWS_ENDPOINT_URL: not the address of a server",
                next_step="write it as https://HOST or http://HOST:PORT",
            )
        with self._errors("the settings"):
            self._store: Any = S3Store(
                bucket,
                prefix=prefix or None,
                config=config,
                client_options={**_CLIENT, "allow_http": endpoint.startswith("http://")},
                retry_config=_RETRIES,
            )

    def __repr__(self) -> str:
        return f"Store({self.address!r})"

    # -- HEAD ------------------------------------------------------------------------------------

    def read_head(self, known: str | None = None) -> Head | None:
        """HEAD, or None if there is none.

        ``known`` is the tag of a HEAD that the caller has.

        Raises
        ------
        UnchangedError
            HEAD still has the known tag.
        DamagedError
            This product did not write HEAD.
        """
        options = {"if_none_match": known} if known else None
        try:
            with self._errors(HEAD):
                answer = self._api.get(self._store, HEAD, options=options)
                content, meta = bytes(answer.bytes()), answer.meta
        except MissingError:
            return None
        try:
            state, is_pruned = State.from_json(content)
        except ValueError as error:
            raise DamagedError(
                f"{self.address}/{HEAD}: not written by this product, or by a newer version",
                next_step="update this product, or correct the address of the store",
            ) from error
        return Head(state, str(meta["e_tag"]), is_pruned, meta["last_modified"])

    def move_head(self, before: Head | None, state: State, *, prunes: bool = False) -> str:
        """Replace HEAD if nobody has replaced it since it was read; returns the new tag."""
        content = state.to_json(is_pruned=prunes)
        mode: Any = "create" if before is None else {"e_tag": before.tag}
        try:
            with self._errors(HEAD):
                return str(self._api.put(self._store, HEAD, content, mode=mode)["e_tag"])
        except (OvertakenError, MissingError):
            now = self.read_head()  # a repeated request finds what the first one wrote
            if now is not None and now.state == state and now.is_pruned == prunes:
                return now.tag
            raise OvertakenError(
                f"{self.address}: {HEAD} was replaced by another machine in the meantime",
                next_step="run the same command again",
            ) from None

    def require_conditions(self) -> datetime:
        """Test that the server honours conditions; returns the server's clock."""
        name = f"probe/{secrets.token_hex(8)}"
        modes: tuple[Any, ...] = ("create", {"e_tag": '"00000000000000000000000000000000"'})
        with self._errors(name):
            self._api.put(self._store, name, b"1", mode="create")
            now: datetime = self._api.head(self._store, name)["last_modified"]
        try:
            for mode in modes:
                try:
                    with self._errors(name):
                        self._api.put(self._store, name, b"2", mode=mode)
                except OvertakenError:
                    continue
                raise StoreError(
                    f"{self.address}: the server ignores the condition of a write, so two writers"
                    " could overwrite each other",
                    next_step="use a server that supports If-Match and If-None-Match for PUT",
                )
        finally:
            self.delete([name])
        return now

    # -- objects by name -------------------------------------------------------------------------

    def get(self, name: str) -> bytes:
        """A small object."""
        return bytes(self._with_retries(name, lambda: self._api.get(self._store, name).bytes()))

    def blocks(self, name: str) -> Iterator[bytes]:
        """The bytes of an object, in blocks."""
        answer = self._with_retries(name, lambda: self._api.get(self._store, name))
        with self._errors(name):
            for block in answer.stream(min_chunk_size=_BLOCK_BYTES):
                yield bytes(block)

    def put(self, name: str, content: bytes | Path) -> None:
        """Write an object that is named by its content and may already exist."""
        self._with_retries(name, lambda: self._api.put(self._store, name, content))

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """Every object whose name begins with a folder."""
        with self._errors(prefix or "the list"):
            for some in self._api.list(self._store, prefix or None, chunk_size=1000):
                for one in some:
                    yield Listed(one["path"], one["size"], one["last_modified"])

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; objects that no longer exist are not an error."""
        listed = [*names]
        for start in range(0, len(listed), _DELETED_AT_ONCE):
            some = listed[start : start + _DELETED_AT_ONCE]
            with suppress(MissingError):
                self._with_retries(some[0], partial(self._api.delete, self._store, some))

    def _with_retries(self, name: str, act: Callable[[], Any]) -> Any:
        """Run an action on objects named by their content; it is repeated while the server is busy.

        Amazon's server also responds with a conflict if two machines write the same object.
        """
        for wait_s in _WAITS_S:
            try:
                with self._errors(name):
                    return act()
            except (BusyError, OvertakenError):
                time.sleep(wait_s * random.uniform(0.5, 1.5))
        with self._errors(name):
            return act()

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Translate errors of the library without their texts."""
        try:
            yield
        except (self._api.exceptions.BaseError, OSError, ValueError) as error:
            raise self._explained(name, error) from None

    def _explained(self, name: str, error: Exception) -> WarehouseError:
        kind, text = type(error).__name__, str(error)
        place = f"{self.address}/{name}"
        if kind in ("AlreadyExistsError", "PreconditionError"):
            return OvertakenError(f"{place}: was written by another machine")
        if kind == "NotModifiedError":
            return UnchangedError(f"{place}: unchanged")
        code = "PermanentRedirect" if _REDIRECTED in text else _code(text)
        if code in _ANSWERS:
            reason, step = _ANSWERS[code]
            return StoreError(f"{self.address}: {reason} ({code})", next_step=step)
        if isinstance(error, FileNotFoundError):
            return MissingError(f"{place}: is not in the bucket")
        if any(mark in text for mark in _NO_KEYS):
            return StoreError(f"{self.address}: no keys are set for it", next_step=_KEYS)
        status = re.search(r"status code: (\d{3})", text)
        if code in _BUSY or (status and status[1] in ("429", "503")):
            return BusyError(
                f"{self.address}: the server is too busy ({code})",
                next_step="run the same command again later; it continues where this one ended",
            )
        if kind in ("PermissionDeniedError", "UnauthenticatedError"):
            return StoreError(f"{self.address}: the keys were refused ({code})", next_step=_KEYS)
        if status and status[1] < "500":
            return StoreError(
                f"{place}: the server refused the request (status {status[1]}, {code})",
                next_step="check AWS_ENDPOINT_URL, AWS_REGION and the keys",
            )
        reason = f"answered with status {status[1]}" if status else "cannot be reached"
        return UnreachableError(
            f"{self.address}: the server {reason}",
            next_step="check the network and AWS_ENDPOINT_URL, then run the same command again",
        )


def _code(text: str) -> str:
    found = re.search(r"<Code>(\w{1,60})</Code>", text)
    return found[1] if found else "no code"
