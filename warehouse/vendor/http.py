"""HTTP for the vendor's API: GET with retries and limited redirects, without leaking secrets.

Nothing here depends on the vendor's API. No text from this module contains a query string or a key:
see :mod:`warehouse.vendor.redaction`.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urljoin, urlsplit

import httpx

from warehouse._version import __version__
from warehouse.errors import VendorError
from warehouse.vendor.redaction import plain_url, redact, redact_logs

# Status codes that are worth another try.
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_CHAIN = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Number and duration of attempts.

    Attributes
    ----------
    tries
        Attempts without progress before a request is given up.
    first_wait_s, longest_wait_s
        The wait doubles from the first to the longest, plus a random part of up to the same length.
    longest_hint_s
        Longest wait that a server may request (``Retry-After``); beyond it the request is given up.
    timeout_s
        Longest silence while connecting or reading.
    """

    tries: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_hint_s: float = 300.0
    timeout_s: float = 60.0


class RunStoppedError(Exception):
    """The run is being stopped; this is not an error in itself."""


class RefusedLinkError(VendorError):
    """A link or redirect to an address that must not be requested."""


class Transport:
    """An HTTP client for several threads; a context manager.

    Parameters
    ----------
    connections
        Maximum number of simultaneous requests.
    stop
        If set, waits end and no further block is read: :class:`RunStoppedError`.
    trusted_host
        A host that may be reached by plain http although it is not this machine, because the user
        named it as the vendor's.
    """

    def __init__(
        self,
        *,
        connections: int,
        retry: RetryPolicy,
        stop: threading.Event,
        trusted_host: str | None = None,
    ) -> None:
        redact_logs()
        self.retry = retry
        self._stop = stop
        self._trusted_host = trusted_host
        self._not_before: dict[str, float] = {}
        self._client = httpx.Client(
            follow_redirects=False,
            timeout=httpx.Timeout(retry.timeout_s, connect=min(20.0, retry.timeout_s)),
            limits=httpx.Limits(
                max_connections=2 * connections, max_keepalive_connections=2 * connections
            ),
            headers={"user-agent": f"warehouse/{__version__}", "accept-encoding": "identity"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    @contextmanager
    def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        secret_headers: Mapping[str, str] | None = None,
    ) -> Iterator[httpx.Response]:
        """One GET, whose body is not read yet.

        Redirects are followed to https only (and to http on this machine); ``secret_headers`` go to
        the host of ``url`` and to no other.

        Raises
        ------
        httpx.TransportError
            No response, or a broken one.
        RefusedLinkError
            The URL or a redirect is an address that must not be requested.
        """
        home = _origin(url)
        for _ in range(_LONGEST_CHAIN + 1):
            self._require_safe(url)
            self._await_turn(url)
            secret = (secret_headers or {}) if _origin(url) == home else {}
            all_headers = {**(headers or {}), **secret}
            try:
                request = self._client.build_request("GET", url, params=params, headers=all_headers)
            except httpx.InvalidURL:
                raise _refused_link(url) from None
            response = self._client.send(request, stream=True)
            try:
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    log.debug("GET %s: %s", plain_url(url), response.status_code)
                    yield response
                    return
                url, params = _joined(url, response.headers["location"]), None
            finally:
                response.close()
        raise RefusedLinkError(
            f"{plain_url(url)}: more than {_LONGEST_CHAIN} redirects",
            next_step="check APERIODIC_API_URL",
        )

    def pause(self, failures: int, url: str, *, hint_s: float | None = None) -> None:
        """Wait before the next try, after so many failures; a server's hint applies to all threads.

        Raises
        ------
        RunStoppedError
            The run is being stopped.
        """
        wait_s = min(self.retry.first_wait_s * 2 ** (failures - 1), self.retry.longest_wait_s)
        wait_s += random.uniform(0, wait_s)
        if hint_s is not None:
            wait_s = hint_s + random.uniform(0, min(1.0, self.retry.first_wait_s))
            host = _origin(url)
            until = time.monotonic() + hint_s
            self._not_before[host] = max(until, self._not_before.get(host, 0.0))
        self._sleep(wait_s)

    def blocks(self, response: httpx.Response) -> Iterator[bytes]:
        """The body in blocks as they arrive, until the run is stopped."""
        for block in response.iter_bytes():
            self._check_stop()
            yield block

    def _await_turn(self, url: str) -> None:
        self._check_stop()
        wait_s = self._not_before.get(_origin(url), 0.0) - time.monotonic()
        if wait_s > 0:
            self._sleep(wait_s)

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise RunStoppedError

    def _require_safe(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, scheme, _ = parts.hostname or "", parts.scheme, parts.port
        except ValueError:
            host = scheme = ""
        safe = scheme == "https" or (
            scheme == "http" and (is_loopback(host) or host == self._trusted_host)
        )
        if not host or not safe:
            raise _refused_link(url)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("example.org")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def whole_number(text: str) -> int | None:
    """A number as servers write it, in at most 18 digits; None for anything else.

    Examples
    --------
    >>> whole_number("120"), whole_number("-1"), whole_number("\u00b2"), whole_number("9" * 99)
    (120, None, None, None)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def retry_after_s(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait, from either form of ``Retry-After``."""
    value = response.headers.get("retry-after", "").strip()
    seconds = whole_number(value)
    if seconds is not None:
        return float(seconds)
    moment, now = _http_date(value), server_time(response) or datetime.now(UTC)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def server_time(response: httpx.Response) -> datetime | None:
    """The server's clock, from its ``Date`` header."""
    return _http_date(response.headers.get("date", ""))


def describe_failure(error: httpx.RequestError) -> str:
    """A short description of a transport error."""
    match error:
        case httpx.TimeoutException():
            return "no response in time"
        case httpx.ProxyError():
            return "the proxy refused"
        case httpx.ConnectError() if is_certificate_failure(error):
            return "its certificate is not trusted"
        case httpx.ConnectError():
            return f"no connection ({redact(str(error))})"
        case httpx.RemoteProtocolError():
            return "the connection was interrupted"
        case httpx.DecodingError():
            return "the body has an encoding that was not requested"
        case _:
            return f"the connection failed ({type(error).__name__})"


def is_certificate_failure(error: httpx.RequestError) -> bool:
    """Whether trying again cannot help, because the server's certificate is not trusted."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _refused_link(url: str) -> RefusedLinkError:
    return RefusedLinkError(
        f"{plain_url(url)}: not followed, because a link must be https",
        next_step="if APERIODIC_API_URL is set, check that it is the vendor's",
    )


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise _refused_link(location) from None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        return ""
