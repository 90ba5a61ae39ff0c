"""The vendor's API: lists of files with links to their bytes, and lists of symbols.

Requests have inclusive dates, as the vendor requires; all spans of this package are half-open.
Links are secrets that expire after minutes, so they are kept in memory only, never shown, and
requested again before they expire.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from warehouse.config import DEFAULT_API_URL, PREVIEW_KEY
from warehouse.errors import UsageError, VendorError, did_you_mean
from warehouse.vendor.http import (
    TRANSIENT_STATUS,
    RetryPolicy,
    Transport,
    describe_failure,
    is_certificate_failure,
    is_loopback,
    retry_after_s,
    server_time,
    whole_number,
)
from warehouse.vendor.keys import RAW_PREFIX, Period, SeriesKey, is_raw
from warehouse.vendor.redaction import plain_url, redact
from warehouse.vendor.request import Wanted

# The vendor's public sample: one series, one month; ends excluded.
PREVIEW_SERIES = SeriesKey("binance-futures", "perpetual-BTC-USDT:USDT", "5m", "exchange")
PREVIEW_DAYS = (date(2025, 5, 1), date(2025, 6, 1))
PREVIEW_RAW_DAYS = (date(2025, 6, 1), date(2025, 7, 1))

# Maximum number of days of raw data in one request.
LONGEST_RAW_DAYS = 366

_LINK_LIFETIME_S = 300.0
_LARGEST_ANSWER_BYTES = 16 << 20
_MOST_SYMBOLS = 50_000
_REFRESH_DAYS = 92
_KEY = re.compile(r"[\x21-\x7e]+")


class KeyRefusedError(VendorError):
    """No key was given, or the vendor rejects it."""


class NoAnswerError(VendorError):
    """No response, or no usable one, after all tries."""


class RequestRefusedError(VendorError):
    """The vendor refused a request for good; ``fields`` has the status."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The vendor's response to one request: links by period, and sizes if known."""

    links: Mapping[Period, str] = field(repr=False)
    sizes: Mapping[Period, int | None]


class VendorClient:
    """The vendor's API for several threads; a context manager.

    Parameters
    ----------
    api_url
        Base URL, ending in the version, without a trailing slash.
    api_key
        The user's key, if there is one; it goes to the API's host only.
    preview
        Request the free sample with the public key.
    connections
        How many requests may be under way at once.

    Raises
    ------
    KeyRefusedError
        There is no key, and ``preview`` is false.
    UsageError
        The key or the URL is invalid.
    """

    def __init__(
        self,
        api_url: str,
        api_key: str | None = None,
        *,
        preview: bool = False,
        connections: int = 8,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.api_url = api_url.rstrip("/")
        self.preview = preview
        self.connections = connections
        self.skew_s: float | None = None
        self._key = PREVIEW_KEY if preview else (api_key or "").strip()
        host = self._check()
        self.stop = threading.Event()
        self.transport = Transport(
            connections=connections,
            retry=retry or RetryPolicy(),
            stop=self.stop,
            trusted_host=host,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.transport.__exit__(*error)

    def list_files(self, wanted: Wanted) -> Listing:
        """Files with days of ``wanted``; an empty list is a valid response.

        Raises
        ------
        KeyRefusedError
            No key, or a wrong one.
        RequestRefusedError
            The plan does not include it, or it does not exist.
        NoAnswerError
            The vendor could not be reached, or its response is invalid.
        """
        links: dict[Period, str] = {}
        sizes: dict[Period, int | None] = {}
        for start, end in self._ranges(wanted):
            path, params = self._request(wanted, start, end)
            answer = self._ask(path, params, about=str(wanted))
            for entry in _entries(answer, "files", about=str(wanted)):
                period = _period(entry, wanted)
                overlaps = period.start < wanted.end and wanted.start < period.end
                if overlaps or self.preview:
                    links[period] = str(entry.get("url", ""))
                    size = entry.get("size")
                    sizes[period] = size if isinstance(size, int) else None
        return Listing(links, sizes)

    def symbols(self, exchange: str) -> list[str]:
        """All symbols of a venue, sorted."""
        about = f"the symbols of {exchange}"
        answer = self._ask("metadata/symbols", {"exchange": exchange}, about=about)
        found = answer.get("symbols") if isinstance(answer, dict) else None
        if not isinstance(found, list) or len(found) > _MOST_SYMBOLS:
            raise _invalid_answer(about)
        return sorted({str(symbol) for symbol in found})

    def _ranges(self, wanted: Wanted) -> list[tuple[date, date]]:
        """The span in parts that the vendor accepts: raw requests span at most 366 days."""
        longest = timedelta(days=LONGEST_RAW_DAYS)
        if not is_raw(wanted.dataset) or self.preview:
            return [(wanted.start, wanted.end)]
        ranges, start = [], wanted.start
        while start < wanted.end:
            ranges.append((start, min(start + longest, wanted.end)))
            start += longest
        return ranges

    def _request(self, wanted: Wanted, start: date, end: date) -> tuple[str, dict[str, str]]:
        series = wanted.series
        params = {"exchange": series.exchange, "symbol": series.symbol}
        days = {
            "start_date": start.isoformat(),
            "end_date": (end - timedelta(days=1)).isoformat(),
        }
        preview = "preview/" if self.preview else ""
        if is_raw(wanted.dataset):
            name = wanted.dataset.removeprefix(RAW_PREFIX)
            return f"data/raw/{preview}{quote(name)}", params if self.preview else params | days
        grid = {"timestamp": series.clock or "", "interval": series.interval or ""}
        return f"data/{preview}{quote(wanted.dataset)}", grid | params | days

    def _ask(self, path: str, params: Mapping[str, str], *, about: str) -> Any:
        """The JSON response of one endpoint, with retries as ``RetryPolicy`` allows."""
        url, retry = f"{self.api_url}/{path}", self.transport.retry
        for failures in range(1, retry.tries + 1):
            hint_s = None
            try:
                with self.transport.get(
                    url, params=params, secret_headers=self._secret_headers()
                ) as response:
                    body = self._whole_body(response, about)
            except httpx.RequestError as error:
                problem = describe_failure(error)
                if is_certificate_failure(error):
                    raise self._no_answer(about, problem) from None
            else:
                self._note_clock(response)
                if response.status_code not in TRANSIENT_STATUS:
                    return self._answer(response.status_code, body, about)
                problem, hint_s = f"status {response.status_code}", retry_after_s(response)
                if hint_s is not None and hint_s > retry.longest_hint_s:
                    problem += f"; it asks to wait {hint_s:.0f} s"
                    break
            if failures < retry.tries:
                self.transport.pause(failures, url, hint_s=hint_s)
        raise self._no_answer(about, problem)

    def _whole_body(self, response: httpx.Response, about: str) -> bytes:
        """The body of a response, unless it is larger than any valid one."""
        body = bytearray()
        for block in self.transport.blocks(response):
            body += block
            if len(body) > _LARGEST_ANSWER_BYTES:
                raise _invalid_answer(about)
        return bytes(body)

    def _secret_headers(self) -> dict[str, str]:
        return {"X-API-KEY": self._key} if self._key else {}

    def _answer(self, status: int, body: bytes, about: str) -> Any:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if status == 200 and answer is not None:
            return answer
        if status == 200:
            raise _invalid_answer(about)
        message = _vendor_message(answer, self._key)
        if status == 401:
            raise _key_refused(self._key)
        if status == 403:
            link = answer.get("upgrade_url") if isinstance(answer, dict) else None
            step = f"see {plain_url(link)}, or ask" if isinstance(link, str) else "ask"
            raise RequestRefusedError(
                f"{about}: not in your plan{message}",
                next_step=f"{step} for another dataset, interval or range",
                status=status,
            )
        reason = "the vendor does not have it" if status == 404 else "the vendor refuses it"
        raise RequestRefusedError(
            f"{about}: {reason} (status {status}){message}",
            next_step="check dataset, exchange, symbol, interval, clock and dates",
            status=status,
        )

    def _no_answer(self, about: str, problem: str) -> NoAnswerError:
        host = urlsplit(self.api_url).hostname
        steps = {
            "its certificate is not trusted": "name your own certificates with SSL_CERT_FILE",
            "the proxy refused": "check HTTPS_PROXY and NO_PROXY",
        }
        return NoAnswerError(
            f"{about}: {host} does not respond ({problem})",
            next_step=steps.get(
                problem, "check the network and try again later; what was fetched is kept"
            ),
        )

    def _note_clock(self, response: httpx.Response) -> None:
        theirs = server_time(response)
        if theirs is not None:
            self.skew_s = time.time() - theirs.timestamp()

    def _check(self) -> str:
        try:
            parts = urlsplit(self.api_url)
            host, scheme, _ = parts.hostname, parts.scheme, parts.port
        except ValueError:
            host = scheme = None
        if host is None or scheme not in ("http", "https") or parts.query:
            raise UsageError(
                "APERIODIC_API_URL is not a base URL",
                next_step=f"unset it to use {DEFAULT_API_URL}",
            )
        if self._key and not _KEY.fullmatch(self._key):
            raise UsageError(
                "the API key contains a space or another invalid character",
                next_step="copy it again into APERIODIC_API_KEY",
            )
        if not self._key and not is_loopback(host):
            raise _key_refused("")
        return host


class Links:
    """Links to the files of one series, for several threads; requested again before they expire.

    ``listing`` is the vendor's first response for ``wanted``.
    """

    def __init__(self, vendor: VendorClient, wanted: Wanted, listing: Listing) -> None:
        self._vendor = vendor
        self._wanted = wanted
        self._lock = threading.Lock()
        self._links: dict[Period, tuple[str, float]] = {}
        self._remember(listing)

    def url(self, period: Period, *, dead: str | None = None) -> str:
        """A valid link; ``dead`` is one that storage has just refused."""
        with self._lock:
            url, dies_at = self._links[period]
            if time.monotonic() >= dies_at or url == dead:
                last = min(self._wanted.end, period.start + timedelta(days=_REFRESH_DAYS))
                first = max(self._wanted.start, period.start)
                listing = self._vendor.list_files(self._wanted.within(first, last))
                if period not in listing.links:
                    raise RequestRefusedError(
                        f"{self._wanted.dataset} {self._wanted.series} {period.text}: "
                        "the vendor no longer lists it",
                        next_step="run the same command again",
                    )
                self._remember(listing)
                url = listing.links[period]
            return url

    def _remember(self, listing: Listing) -> None:
        now = time.monotonic()
        for period, url in listing.links.items():
            self._links[period] = url, now + 0.6 * _lifetime_s(url)


def clock_warning(skew_s: float | None) -> str | None:
    """A warning if this machine's clock differs from the vendor's by more than five minutes."""
    if skew_s is None or abs(skew_s) <= 300:
        return None
    side = "ahead of" if skew_s > 0 else "behind"
    return (
        f"this machine's clock is {abs(skew_s) / 60:.0f} minutes {side} the vendor's; "
        "correct it, because it decides which files are requested again"
    )


def unknown_symbol(exchange: str, symbol: str, symbols: list[str]) -> VendorError:
    """The error for an unknown symbol, with the nearest ones of the venue."""
    return RequestRefusedError(
        f"{exchange} has no symbol {symbol}{redact(did_you_mean(symbol, symbols))}",
        next_step="symbols are written like perpetual-BTC-USDT:USDT",
        exchange=exchange,
        symbol=symbol,
    )


def _entries(answer: Any, name: str, *, about: str) -> list[dict[str, Any]]:
    entries = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _invalid_answer(about)
    return entries


def _period(entry: dict[str, Any], wanted: Wanted) -> Period:
    try:
        if is_raw(wanted.dataset):
            return Period(str(entry["period"]))
        text = f"{int(entry['year']):04d}-{int(entry['month']):02d}"
        return Period(f"{text}-{int(entry['day']):02d}" if entry.get("day") else text)
    except (KeyError, TypeError, ValueError, OverflowError, UsageError):
        raise _invalid_answer(str(wanted)) from None


def _lifetime_s(url: str) -> float:
    """Lifetime of a presigned link, from its query string."""
    try:
        listed = parse_qs(urlsplit(url).query).get("X-Amz-Expires", [""])[0]
    except ValueError:
        return _LINK_LIFETIME_S
    seconds = whole_number(listed)
    return _LINK_LIFETIME_S if seconds is None else float(seconds)


def _vendor_message(answer: Any, key: str) -> str:
    """The text of the vendor's error, without the key, as the end of a message."""
    if not isinstance(answer, dict):
        return ""
    details = answer.get("details")
    texts = [answer.get("error"), *(details if isinstance(details, list) else [])]
    text = redact("; ".join(str(text) for text in texts if text), key)
    return f": {text}" if text else ""


def _invalid_answer(about: str) -> NoAnswerError:
    return NoAnswerError(
        f"{about}: the response is not from the vendor's API",
        next_step="check APERIODIC_API_URL, and whether a proxy or login page responds instead",
    )


def _key_refused(key: str) -> KeyRefusedError:
    if not key:
        return KeyRefusedError(
            "no API key",
            next_step="set APERIODIC_API_KEY in the environment or in .env, or use --preview, "
            "which needs none",
        )
    return KeyRefusedError(
        "the vendor does not accept the API key",
        next_step="check APERIODIC_API_KEY in the environment and in .env",
    )
