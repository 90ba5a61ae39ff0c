"""The mirror: a server of the vendor's API that reads from the lake.

The vendor's own client, with ``APERIODIC_API_URL`` set to this server, returns the same frames as
from the vendor. Links to files look and behave like the vendor's: signed, and with an expiry.
Nothing is written; files of a sync are served as soon as they are imported.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from warehouse.config import PREVIEW_KEY
from warehouse.errors import UsageError
from warehouse.files import SHA256
from warehouse.home import Home
from warehouse.lake import Manifest, StoredFile
from warehouse.serving import create_server, listen
from warehouse.times import DAY_US, us_datetime
from warehouse.vendor import (
    CLOCKS,
    INTERVALS,
    LONGEST_RAW_DAYS,
    PREVIEW_DAYS,
    PREVIEW_RAW_DAYS,
    PREVIEW_SERIES,
    RAW_PREFIX,
    YEARS,
    Contract,
    SeriesKey,
    Wanted,
    is_loopback,
    load_contracts,
    months,
)

API_PATH = "/api/v1"
METRIC_LINK_S = 300
RAW_LINK_S = 3_600

_RAW_SCHEMA_VERSION = 1
_FIRST_DAY, _LAST_DAY = date(YEARS.start, 1, 1), date(YEARS.stop - 1, 12, 31)


def create_app(
    home: Home,
    *,
    key: str | None = None,
    hosts: tuple[str, ...] = ("*",),
    link_s: int | None = None,
) -> Starlette:
    """The mirror of one home as an ASGI application.

    Parameters
    ----------
    key
        Required as ``X-API-KEY``, except where the vendor accepts the public key, unless None.
    hosts
        Host names that are accepted; a web page that rebinds its own name is refused.
    link_s
        Lifetime of a link in seconds; None for the vendor's.
    """
    mirror = _Mirror(home, key, link_s)
    routes = [
        Route(f"{API_PATH}/data/preview/{{dataset}}", mirror.preview),
        Route(f"{API_PATH}/data/raw/preview/{{dataset}}", mirror.raw_preview),
        Route(f"{API_PATH}/data/raw/{{dataset}}", mirror.raw_files),
        Route(f"{API_PATH}/data/{{dataset}}", mirror.files),
        Route(f"{API_PATH}/metadata/catalog", mirror.catalog),
        Route(f"{API_PATH}/metadata/symbols", mirror.symbols),
        Route(f"{API_PATH}/metadata/raw", mirror.raw_coverage),
        Route("/files/{path:path}", mirror.file),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={HTTPException: _as_json},
    )


def run_server(
    home: Home, *, host: str, port: int, key: str | None, ready: Callable[[str], None]
) -> None:
    """Serve until interrupted; ``ready`` is called with the base URL once requests are accepted."""
    loopback = is_loopback(host)
    if not loopback and key is None:
        raise UsageError(
            f"{host}: other machines could read the whole lake, because no key is required",
            next_step="add --key (the key is taken from APERIODIC_API_KEY), or leave out --host",
        )
    home.require_lake()
    listener, name = listen(host, port)
    hosts = ("localhost", "127.0.0.1", name) if loopback else ("*",)
    app = create_app(home, key=key, hosts=hosts)
    with listener:
        ready(f"http://{name}:{listener.getsockname()[1]}{API_PATH}")
        create_server(app).run(sockets=[listener])


class _Mirror:
    """The endpoints of one home; its manifest is read again for each request."""

    def __init__(self, home: Home, key: str | None, link_s: int | None) -> None:
        self.home = home
        self._key = key
        self._link_s = link_s
        self._secret = secrets.token_bytes(32)
        self._contracts = load_contracts()

    # -- endpoints -------------------------------------------------------------------------------

    def files(self, request: Request) -> Response:
        self._require_key(request)
        return self._list_metric(request, _wanted_metric(request))

    def preview(self, request: Request) -> Response:
        self._require_key(request, or_preview=True)
        wanted = _wanted_metric(request)
        start, end = max(wanted.start, PREVIEW_DAYS[0]), min(wanted.end, PREVIEW_DAYS[1])
        if wanted.series != PREVIEW_SERIES or start >= end:
            raise HTTPException(
                400,
                f"the preview has one series and month: {PREVIEW_SERIES}, {PREVIEW_DAYS[0]:%Y-%m}",
            )
        return self._list_metric(request, wanted.within(start, end))

    def raw_files(self, request: Request) -> Response:
        self._require_key(request)
        wanted = _wanted(request, RAW_PREFIX + request.path_params["dataset"])
        if (wanted.end - wanted.start).days > LONGEST_RAW_DAYS:
            raise HTTPException(
                400,
                detail=f"at most {LONGEST_RAW_DAYS} days in one request",
                headers={"x-code": "range_too_long"},
            )
        return self._list_raw(request, wanted)

    def raw_preview(self, request: Request) -> Response:
        self._require_key(request, or_preview=True)
        dataset = RAW_PREFIX + request.path_params["dataset"]
        return self._list_raw(request, _checked(dataset, _series(request), *PREVIEW_RAW_DAYS))

    def symbols(self, request: Request) -> Response:
        self._require_key(request)
        exchange = _parameter(request, "exchange")
        with Manifest(self.home.manifest) as manifest:
            found = manifest.symbols_of(exchange)
        if not found:
            raise HTTPException(400, f"unknown exchange {exchange}")
        return JSONResponse({"symbols": found, "exchange": exchange})

    def catalog(self, request: Request) -> Response:
        metrics = [c for c in self._contracts.values() if not c.is_raw]
        return JSONResponse({"metrics": [_metric(contract) for contract in metrics]})

    def raw_coverage(self, request: Request) -> Response:
        with Manifest(self.home.manifest) as manifest:
            files = manifest.raw_files()
        return JSONResponse(_raw_coverage(files, self._contracts))

    def file(self, request: Request) -> Response:
        """The bytes of one object by a signed link, as the vendor's storage serves them."""
        path, query = request.scope["path"], request.query_params
        sha256, date_, lifetime = (
            query.get(name, "") for name in ("object", "X-Amz-Date", "X-Amz-Expires")
        )
        signature = self._sign(path, sha256, date_, lifetime)
        good = hmac.compare_digest(query.get("X-Amz-Signature", "").encode(), signature.encode())
        if not good or not SHA256.fullmatch(sha256):
            return _access_denied()
        if time.time() > float(date_) + float(lifetime):
            return _access_denied()
        etag = f'"{sha256}"'
        if _names(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers={"etag": etag})
        source = self.home.object_path(sha256)
        if not source.is_file():
            return Response(_xml("NoSuchKey"), 404, media_type="application/xml")
        return _ObjectResponse(
            source,
            headers={"etag": etag},
            media_type="application/vnd.apache.parquet",
            stat_result=source.stat(),
        )

    # -- parts of answers ------------------------------------------------------------------------

    def _list_metric(self, request: Request, wanted: Wanted) -> Response:
        self._require_dataset(wanted.dataset)
        listed = []
        for file in self._held(wanted):
            period = file.key.period
            entry: dict[str, Any] = {"year": period.start.year, "month": period.start.month}
            if period.is_day:
                entry["day"] = period.start.day
            listed.append(entry | {"url": self._link(request, file, METRIC_LINK_S)})
        return JSONResponse({"files": listed})

    def _list_raw(self, request: Request, wanted: Wanted) -> Response:
        self._require_dataset(wanted.dataset)
        held = self._held(wanted)
        return JSONResponse(
            {
                "dataset": wanted.dataset.removeprefix(RAW_PREFIX),
                "exchange": wanted.series.exchange,
                "symbol": wanted.series.symbol,
                "schema_version": _RAW_SCHEMA_VERSION,
                "expires_in": RAW_LINK_S,
                "files": [
                    {
                        "period": file.key.period.text,
                        "url": self._link(request, file, RAW_LINK_S),
                        "size": file.size_bytes,
                    }
                    for file in held
                ],
                "missing_periods": _missing_months(wanted, held),
            }
        )

    def _held(self, wanted: Wanted) -> list[StoredFile]:
        with Manifest(self.home.manifest) as manifest:
            files = manifest.files_of(wanted.dataset, wanted.series)
        return [
            file
            for file in files
            if file.key.period.start < wanted.end and wanted.start < file.key.period.end
        ]

    def _require_dataset(self, dataset: str) -> None:
        if dataset in self._contracts:
            return
        with Manifest(self.home.manifest) as manifest:
            if not manifest.has_dataset(dataset):
                raise HTTPException(404, f"unknown dataset {dataset}")

    def _require_key(self, request: Request, *, or_preview: bool = False) -> None:
        if self._key is None:
            return
        given = request.headers.get("x-api-key", "").encode()
        is_ours = hmac.compare_digest(given, self._key.encode())
        if not is_ours and not (or_preview and given == PREVIEW_KEY.encode()):
            raise HTTPException(401, "Authorization Required")

    def _link(self, request: Request, file: StoredFile, lifetime_s: int) -> str:
        path = unquote(str(PurePosixPath("/files", file.key.path)))
        signed_at, lives_s = f"{time.time():.3f}", str(self._link_s or lifetime_s)
        query = {
            "object": file.object,
            "X-Amz-Date": signed_at,
            "X-Amz-Expires": lives_s,
            "X-Amz-Signature": self._sign(path, file.object, signed_at, lives_s),
        }
        return f"{request.url.scheme}://{request.url.netloc}{quote(path)}?{urlencode(query)}"

    def _sign(self, *parts: str) -> str:
        return hmac.new(self._secret, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


class _ObjectResponse(FileResponse):
    chunk_size = 1 << 18


def _wanted_metric(request: Request) -> Wanted:
    return _wanted(request, request.path_params["dataset"], grid=True)


def _wanted(request: Request, dataset: str, *, grid: bool = False) -> Wanted:
    series = _series(request, grid=grid)
    start, last = (_date(request, name) for name in ("start_date", "end_date"))
    if last < start:
        raise HTTPException(400, "end_date must be on or after start_date")
    if not _FIRST_DAY <= start <= _LAST_DAY:
        raise HTTPException(400, f"start_date must be between {_FIRST_DAY} and {_LAST_DAY}")
    return _checked(dataset, series, start, min(last, _LAST_DAY) + timedelta(days=1))


def _checked(dataset: str, series: SeriesKey, start: date, end: date) -> Wanted:
    try:
        return Wanted(dataset, series, start, end)
    except UsageError as error:
        raise HTTPException(404, f"unknown dataset {dataset}") from error


def _series(request: Request, *, grid: bool = False) -> SeriesKey:
    exchange, symbol = _parameter(request, "exchange"), _parameter(request, "symbol")
    interval = clock = None
    if grid:
        interval, clock = _parameter(request, "interval"), _parameter(request, "timestamp")
        if interval not in INTERVALS or clock not in CLOCKS:
            raise HTTPException(400, "unknown interval or timestamp")
    try:
        return SeriesKey(exchange, symbol, interval, clock)
    except UsageError as error:
        raise HTTPException(400, error.what) from error


def _parameter(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise HTTPException(400, f"missing parameter {name}")
    return value


def _date(request: Request, name: str) -> date:
    try:
        return date.fromisoformat(_parameter(request, name))
    except ValueError as error:
        raise HTTPException(400, f"{name} must be YYYY-MM-DD") from error


def _missing_months(wanted: Wanted, held: list[StoredFile]) -> list[str]:
    have = {file.key.period.month for file in held}
    asked = {month.text for month in months(wanted.start, wanted.end)}
    return sorted(asked - have)


def _metric(contract: Contract) -> dict[str, Any]:
    return {
        "id": contract.name,
        "name": contract.title,
        "description": contract.description,
        "category": contract.category,
        "fields": [
            {"name": column.name, "label": column.name, "description": column.description}
            for column in contract.columns
            if column.expected and column.name != "time"
        ],
    }


def _raw_coverage(files: list[StoredFile], contracts: Mapping[str, Contract]) -> dict[str, Any]:
    """The response of ``/metadata/raw``: columns, totals per venue, days per symbol."""
    by_place: dict[tuple[str, str, str], list[StoredFile]] = defaultdict(list)
    for file in files:
        name = file.key.dataset.removeprefix(RAW_PREFIX)
        by_place[name, file.key.series.exchange, file.key.series.symbol].append(file)
    coverage: dict[str, dict[str, dict[str, Any]]] = {}
    totals: dict[tuple[str, str], dict[str, Any]] = {}
    for (name, exchange, symbol), held in sorted(by_place.items()):
        facts = _days(held)
        coverage.setdefault(name, {}).setdefault(exchange, {})[symbol] = facts
        total = totals.setdefault(
            (name, exchange),
            {"dataset": name, "exchange": exchange, "symbols": 0, "bytes": 0, **facts},
        )
        total["symbols"] += 1
        total["bytes"] += facts["bytes"] if total["symbols"] > 1 else 0
        total["first"] = min(total["first"], facts["first"])
        total["last"] = max(total["last"], facts["last"])
    datasets = {
        name.removeprefix(RAW_PREFIX): {
            "columns": [column.name for column in contract.columns if column.expected]
        }
        for name, contract in contracts.items()
        if contract.is_raw
    }
    return {"datasets": datasets, "summary": list(totals.values()), "coverage": coverage}


def _days(held: list[StoredFile]) -> dict[str, Any]:
    """First and last day with rows, days that files cover, and those missing between."""
    firsts = [file.facts.first_us for file in held if file.facts.first_us is not None]
    lasts = [file.facts.last_us for file in held if file.facts.last_us is not None]
    covered = {
        day
        for file in held
        if file.facts.first_us is not None and file.facts.last_us is not None
        for day in range(file.facts.first_us // DAY_US, file.facts.last_us // DAY_US + 1)
    }
    return {
        "first": str(us_datetime(min(firsts)).date()) if firsts else "",
        "last": str(us_datetime(max(lasts)).date()) if lasts else "",
        "days": len(covered),
        "missing": max(covered) - min(covered) + 1 - len(covered) if covered else 0,
        "bytes": sum(file.size_bytes for file in held),
    }


async def _as_json(request: Request, error: Exception) -> Response:
    """Errors in the vendor's form: ``{"error": ..., "code": ...}``."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    body = {"error": error.detail if isinstance(error, HTTPException) else "Internal Error"}
    code = (getattr(error, "headers", None) or {}).get("x-code")
    return JSONResponse(body | ({"code": code} if code else {}), status)


def _access_denied() -> Response:
    return Response(_xml("AccessDenied"), 403, media_type="application/xml")


def _xml(code: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'


def _names(condition: str, etag: str) -> bool:
    """Whether ``If-None-Match`` names this version."""
    named = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return etag in named or "*" in named
