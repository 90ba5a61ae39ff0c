"""The messages of the transport, and how long it waits."""

from __future__ import annotations

import io
import logging

import httpx
import pytest

from warehouse.progress import show_progress
from warehouse.vendor.http import retry_after_s
from warehouse.vendor.redaction import plain_url, redact


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/p.parquet?X-Amz-Signature=1#f", "https://h/p.parquet"),
        ("https://u:p@h:1/p", "https://h:1/p"),
        ("http://[bad?sig=1", "a link that is not a URL"),
        ("", "://"),
    ],
)
def test_a_shown_url_has_no_query_and_no_user(url: str, shown: str) -> None:
    assert plain_url(url) == shown


def test_redacted_text_is_one_short_line() -> None:
    text = redact("a\nb k " + "x" * 1_000 + " https://h/?sig=1", "k")
    assert text.startswith("a b [key] x")
    assert len(text) == 300


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({}, None),
        ({"retry-after": "soon"}, None),
        (
            {
                "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT",
                "date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            30.0,
        ),
        (
            {
                "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT",
                "date": "Wed, 21 Oct 2026 07:28:30 GMT",
            },
            0.0,
        ),
    ],
)
def test_both_forms_of_retry_after_are_read_by_the_servers_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(httpx.Response(429, headers=headers)) == seconds


def test_the_http_librarys_records_lose_their_query_strings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import threading

    from warehouse.vendor.http import RetryPolicy, Transport

    with Transport(connections=1, retry=RetryPolicy(), stop=threading.Event()):
        caplog.set_level(logging.DEBUG)
        logging.getLogger("httpx").info("HTTP Request: GET %s", "https://h/p?X-Amz-Signature=1")
    assert caplog.messages == ["HTTP Request: GET https://h/p?[...]"]


def test_progress_elsewhere_than_on_a_terminal_is_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.progress._SECONDS_BETWEEN_LINES", 0.0)
    stream = io.StringIO()
    with show_progress("sync", stream=stream) as meter:
        meter.add(expected=2)
        meter.add(size_bytes=1_000_000)
        meter.add(files=1)
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("sync: 1 of 2 files, 1.0 MB, ")
    assert last.endswith(" s left")
    with show_progress("audit", what="cut", stream=stream) as meter:
        meter.add(expected=4)
        meter.add(files=2)
    assert stream.getvalue().splitlines()[-1] == "audit: 2 of 4 cuts, about 0 s left"


def test_progress_on_a_terminal_is_a_bar_that_vanishes() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with show_progress("sync", stream=stream) as meter:
        meter.add(expected=1)
        meter.add(files=1)
    assert "sync" in stream.getvalue() or stream.getvalue() == ""
