"""Access control: a token for the API, the page as the only origin, and a strict policy.

The token is in the fragment of the page's URL, so no server, log or Referer ever has it; the page
sends it as a Bearer header, which other web pages cannot make a browser send. The Host check stops
a web page that rebinds its own name to this machine.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API_PATH = "/api/v1"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guarded:
    """An application whose API requires the token, and whose responses all have the policy."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            headers = Headers(scope=scope)
            if not self._comes_from_this_page(headers):
                refusal = JSONResponse(
                    {
                        "what": "this request does not come from a page that warehouse ui opened",
                        "next": "open the address that warehouse ui printed",
                    },
                    401,
                )
                await refusal(scope, receive, guarded)
                return
        await self._app(scope, receive, guarded)

    def _comes_from_this_page(self, headers: Headers) -> bool:
        given = headers.get("authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, self._expected):
            return False
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        return origin is None or origin == f"http://{headers.get('host', '')}"
