"""``warehouse ui``: the page and its API, on this machine only.

Every query goes through ``Warehouse.sql``, whose guard decides what may run. Each response belongs
to one generation, which links to the page name. When the client disconnects, its queries stop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from warehouse.config import Settings
from warehouse.errors import ExitCode, NotFoundError, UsageError, WarehouseError
from warehouse.home import Home
from warehouse.serving import create_server, listen
from warehouse.times import us_datetime
from warehouse.ui import facts, pages, questions
from warehouse.ui.asking import Asking, Catalogs
from warehouse.ui.chart_tiles import Tiles, encoded
from warehouse.ui.query_charts import drawing
from warehouse.ui.security import API_PATH, Guarded
from warehouse.ui.values import plain

HOSTS = ("127.0.0.1", "localhost")

_STATIC = Path(__file__).parent / "static"
_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
# Methods of `_Page` that answer a request: with parameters in the URL, and in a JSON body.
_ASKED = (
    *("catalog", "generations", "series", "points", "filled", "empty", "absent", "extreme"),
    *("calendar", "table", "seasonality", "scatter", "lineage", "columns", "quality", "status"),
    *("queries", "functions"),
)
_POSTED = ("sql", "drawing", "remarks", "receipt", "export", "save")
_MOST_ROWS = 5_000
_MOST_TEXT = 1 << 20
_MOST_QUERIES = 16


def run_page(
    settings: Settings,
    past: Mapping[str, Any],
    *,
    port: int,
    ready: Callable[[str], None],
) -> None:
    """Serve until interrupted; before that, ``ready`` is called with the page's address and token.

    Raises
    ------
    NotFoundError
        The home has no catalog, or the generation is not kept.
    UsageError
        The port is taken.
    """
    listener, name = listen(HOSTS[0], port)
    with listener:
        token = secrets.token_urlsafe(32)
        app = create_app(settings, past, token)
        ready(f"http://{name}:{listener.getsockname()[1]}/#token={token}")
        create_server(app).run(sockets=[listener])


def create_app(settings: Settings, past: Mapping[str, Any], token: str) -> Starlette:
    """The page of one home as an ASGI application."""
    page = _Page(settings, past)
    routes = [
        Route("/", _index),
        *(Route(f"{API_PATH}/{name}", page.get(getattr(page, name))) for name in _ASKED),
        *(
            Route(f"{API_PATH}/{name}", page.post(getattr(page, name)), methods=["POST"])
            for name in _POSTED
        ),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS)),
            Middleware(Guarded, token=token),
            Middleware(GZipMiddleware, minimum_size=4_000, compresslevel=4),
        ],
        exception_handlers={WarehouseError: _refused, HTTPException: _http, Exception: _fault},
    )


class _Page:
    """Endpoints of the API."""

    def __init__(self, settings: Settings, past: Mapping[str, Any]) -> None:
        self._home = Home.of(settings)
        # Limits the user's queries, so that threads stay free for the rest of the page.
        self._queries = asyncio.Semaphore(_MOST_QUERIES)
        self._catalogs = Catalogs(settings, past)
        self._tiles = Tiles()

    # -- how a request is answered ---------------------------------------------------------------

    def get(self, answer: Callable[[Request, Asking], Any]) -> Callable[[Request], Any]:
        """An endpoint whose parameters are in the URL."""

        async def endpoint(request: Request) -> Response:
            return await self._answered(
                request, lambda asking: answer(request, asking), nullcontext()
            )

        return endpoint

    def post(self, answer: Callable[[dict[str, Any], Asking], Any]) -> Callable[[Request], Any]:
        """An endpoint whose parameters are a JSON object."""

        async def endpoint(request: Request) -> Response:
            body = await _json(request)
            return await self._answered(request, lambda asking: answer(body, asking), self._queries)

        return endpoint

    async def _answered(
        self,
        request: Request,
        answer: Callable[[Asking], Any],
        turn: AbstractAsyncContextManager[Any],
    ) -> Response:
        """Run work on another thread; it is stopped when the client disconnects."""
        is_chosen = "generation" in request.query_params
        number = _integer(request, "generation") if is_chosen else None
        warehouse = await run_in_threadpool(self._catalogs.get, number)
        asking = Asking(warehouse)

        async def run() -> Any:
            async with turn:
                return await run_in_threadpool(answer, asking)

        work = asyncio.ensure_future(run())
        left = asyncio.ensure_future(_left(request))
        await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            asking.stop()
        left.cancel()
        found = await work
        return found if isinstance(found, Response) else JSONResponse(found)

    # -- endpoints -------------------------------------------------------------------------------

    def catalog(self, request: Request, asking: Asking) -> Any:
        return pages.catalog(asking) | self.generations(request, asking)

    def generations(self, request: Request, asking: Asking) -> Any:
        from warehouse.generations import list_generations

        current = self._catalogs.current()
        kept = [
            {
                "number": one.number,
                "published_at": plain(one.published_at.replace(microsecond=0)),
                "snapshots": list(one.snapshots),
            }
            for one in list_generations(self._home)
        ]
        return {"current": current, "first": self._catalogs.first(), "kept": kept}

    def series(self, request: Request, asking: Asking) -> Any:
        """Span and step of a series in a table, for the choice of tiles."""
        table, number = _text(request, "table"), _integer(request, "series")
        source = self._tiles.source(asking, table, number)
        if source is None:
            return {"rows": 0}
        return {
            "rows": source.rows,
            "first": source.first_us / 1e6,
            "last": source.last_us / 1e6,
            "step": source.step_us / 1e6,
            "on_grid": source.on_grid,
        }

    def points(self, request: Request, asking: Asking) -> Response:
        table, number = _text(request, "table"), _integer(request, "series")
        columns = _texts(request, "column")
        level, tile = _integer(request, "level"), _integer(request, "tile")
        source = self._tiles.source(asking, table, number)
        if source is None:
            raise NotFoundError(
                f"{table} has no rows of series {number}", next_step="choose another series"
            )
        made = self._tiles.tile(asking, source, columns, level, tile)
        return Response(
            encoded(made, columns),
            headers=_FOR_EVER if "generation" in request.query_params else None,
            media_type="application/octet-stream",
        )

    def filled(self, request: Request, asking: Asking) -> Any:
        number = _integer(request, "series")
        return pages.filled(asking, _text(request, "table"), _texts(request, "column"), number)

    def empty(self, request: Request, asking: Asking) -> Any:
        table, number = _text(request, "table"), _integer(request, "series")
        return pages.empty(asking, self._tiles.source(asking, table, number))

    def absent(self, request: Request, asking: Asking) -> Any:
        table, number = _text(request, "table"), _integer(request, "series")
        return pages.absent(asking, self._home, table, _texts(request, "column"), number)

    def extreme(self, request: Request, asking: Asking) -> Any:
        table, number = _text(request, "table"), _integer(request, "series")
        source = self._tiles.source(asking, table, number)
        span = _seconds(request, "from"), _seconds(request, "to")
        is_high = request.query_params.get("end") == "high"
        return pages.extreme(asking, source, _text(request, "column"), span, is_high=is_high)

    def calendar(self, request: Request, asking: Asking) -> Any:
        return pages.calendar(asking, request.query_params.get("dataset"))

    def table(self, request: Request, asking: Asking) -> Any:
        at, columns = _text(request, "at"), request.query_params.getlist("column")
        return pages.cross_section(asking, _text(request, "table"), columns, at)

    def seasonality(self, request: Request, asking: Asking) -> Any:
        number = _integer(request, "series")
        return pages.seasonality(asking, _text(request, "table"), _text(request, "column"), number)

    def scatter(self, request: Request, asking: Asking) -> Any:
        x = _text(request, "x_table"), _text(request, "x")
        y = _text(request, "y_table"), _text(request, "y")
        return pages.scatter(asking, x, y, _integer(request, "series"))

    def lineage(self, request: Request, asking: Asking) -> Any:
        return facts.lineage(asking)

    def columns(self, request: Request, asking: Asking) -> Any:
        return facts.columns_behind(asking, _text(request, "table"))

    def quality(self, request: Request, asking: Asking) -> Any:
        return facts.quality(asking)

    def status(self, request: Request, asking: Asking) -> Any:
        return facts.status(asking, self._home)

    def queries(self, request: Request, asking: Asking) -> Any:
        return questions.queries(asking, self._home)

    def functions(self, request: Request, asking: Asking) -> Any:
        return questions.functions(asking)

    def drawing(self, body: dict[str, Any], asking: Asking) -> Any:
        x, ys, pixels = body.get("x"), body.get("ys"), body.get("pixels")
        if not (isinstance(x, str) and isinstance(ys, list) and isinstance(pixels, int)):
            raise UsageError("a chart needs a string x, a list ys and a number pixels")
        return drawing(asking, *_query(body), x, list(map(str, ys)), pixels)

    def remarks(self, body: dict[str, Any], asking: Asking) -> Any:
        return questions.remarks(asking, *_query(body))

    def export(self, body: dict[str, Any], asking: Asking) -> Any:
        sink = questions.export(asking, *_query(body), str(body.get("format")))
        return StreamingResponse(
            iter(partial(sink.read, 1 << 20), b""),
            media_type="application/octet-stream",
            background=BackgroundTask(sink.close),
        )

    def save(self, body: dict[str, Any], asking: Asking) -> Any:
        text, _ = _query(body)
        name, purpose = str(body.get("name", "")), str(body.get("purpose", ""))
        return {"path": str(questions.save(asking, self._home, name, purpose, text))}

    def receipt(self, body: dict[str, Any], asking: Asking) -> Any:
        receipt = asking.sql(*_query(body)).receipt
        return Response(receipt.to_json(), media_type="application/json")

    def sql(self, body: dict[str, Any], asking: Asking) -> Any:
        text, params = _query(body)
        return pages.answer_of(asking, text, params, limit=_MOST_ROWS)


async def _index(_: Request) -> Response:
    return FileResponse(_STATIC / "index.html", headers={"cache-control": "no-cache"})


async def _left(request: Request) -> None:
    """Wait until the client closes its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


# -- parameters ----------------------------------------------------------------------------------


async def _json(request: Request) -> dict[str, Any]:
    """The body as a JSON object."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_TEXT:
            raise HTTPException(413, "the request is larger than 1 MiB")
    try:
        import json

        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the request is not JSON") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "the request is not a JSON object")
    return found


def _query(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    text, params = body.get("sql"), body.get("params", {})
    if not isinstance(text, str) or not isinstance(params, dict):
        raise UsageError("a query needs a string sql and an object params")
    return text, params


def _text(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise UsageError(f"the request lacks {name}")
    return value


def _texts(request: Request, name: str) -> list[str]:
    return sorted(set(request.query_params.getlist(name)))


def _integer(request: Request, name: str) -> int:
    """A whole number from the URL."""
    text = request.query_params.get(name)
    if text is None or not text.removeprefix("-").isdecimal() or len(text) > 12:
        raise UsageError(f"{name}={str(text)[:40]}: not a whole number")
    return int(text)


def _seconds(request: Request, name: str) -> float:
    """Seconds since the epoch from the URL."""
    try:
        found = float(_text(request, name))
        us_datetime(round(found * 1e6))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name}: not a time in seconds since 1970") from error
    return found


# -- refusals ------------------------------------------------------------------------------------


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, WarehouseError)
    is_theirs = error.exit_code == ExitCode.USAGE
    status = 404 if isinstance(error, NotFoundError) else 400 if is_theirs else 500
    return JSONResponse({"what": error.what, "next": error.next_step}, status)


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"what": error.detail, "next": None}, error.status_code)


def _fault(_: Request, error: Exception) -> Response:
    what = f"internal error: {type(error).__name__}: {error}"
    return JSONResponse({"what": what, "next": "report it with the server's output"}, 500)
