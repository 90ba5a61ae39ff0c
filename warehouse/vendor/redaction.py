"""Removes secrets from texts: a key, and query strings, because a presigned URL is a secret."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

_QUERY = re.compile(r"\?[^\s'\"<>]*")
_HTTP_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def plain_url(url: str) -> str:
    """A URL without query string, fragment, user and password, for messages.

    Examples
    --------
    >>> plain_url("https://user:pw@host:8443/2025-09.parquet?X-Amz-Signature=abc")
    'https://host:8443/2025-09.parquet'
    """
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "a link that is not a URL"
    return _printable(f"{parts.scheme}://{place}{parts.path}")[:300]


def redact(text: str, *secrets: str | None) -> str:
    """One line of text from outside, cut short, without query strings and the given secrets.

    Examples
    --------
    >>> redact("bad key k-123 in https://host/a?sig=1", "k-123")
    'bad key [key] in https://host/a?[...]'
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    return _QUERY.sub("?[...]", " ".join(_printable(text).split()))[:300]


def _printable(text: str) -> str:
    """Remove characters that could move a terminal's cursor, or that cannot be encoded."""
    return "".join(char if char.isprintable() else " " for char in text)


class _Redacting(logging.Filter):
    """Removes query strings from the records of the HTTP library, which logs whole URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return True


_REDACTING = _Redacting()


def redact_logs() -> None:
    """Redact what the HTTP library logs, whatever its level is set to."""
    for name in _HTTP_LOGGERS:
        logger = logging.getLogger(name)
        if _REDACTING not in logger.filters:
            logger.addFilter(_REDACTING)
