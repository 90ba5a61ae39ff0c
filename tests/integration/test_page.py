"""``warehouse ui`` without a browser: access control, and charts that match the rows."""

from __future__ import annotations

import hashlib
import json
import math
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("starlette")

import duckdb
import httpx

from tests.asking import write_small_home
from tests.pages import TOKEN, busy, served, until
from tests.support import BTC, copy_home
from tests.vendored import FOLDER, vendored
from warehouse.config import load_settings
from warehouse.query import Warehouse

# Runs for minutes.
_LONG = "select sum(sqrt(a.range * b.range)) from range(1000000) as a, range(100000) as b"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def page(demo_home: Path) -> Iterator[httpx.Client]:
    with (
        served(demo_home) as (host, port),
        httpx.Client(base_url=f"http://{host}:{port}", headers=BEARER, timeout=60) as client,
    ):
        yield client


def test_vendored_files_when_compared_with_their_hashes_then_are_the_same() -> None:
    listed = {file["to"]: file["sha256"] for package in vendored() for file in package["files"]}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.iterdir()
        if path.name != "VENDORED.toml"
    }
    assert found == listed


@pytest.mark.parametrize("theme", [":root {", ':root[data-theme="dark"] {'])
def test_colours_when_beside_the_paper_then_have_the_contrast_of_wcag_aa(theme: str) -> None:
    """Text at least 4.5 to 1, lines at least 3 to 1."""
    style = (FOLDER.parent / "ui.css").read_text("utf-8").split(theme)[1].split("}")[0]
    colours = dict(re.findall(r"--(\w+): #(\w{6})", style))

    def luminance(name: str) -> float:
        parts = [int(colours[name][at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(name: str, paper: str) -> float:
        low, high = sorted((luminance(name), luminance(paper)))
        return (high + 0.05) / (low + 0.05)

    for text in ("ink", "muted", "accent", "bad", "warn", "string", "param"):
        assert min(contrast(text, "paper"), contrast(text, "raised")) >= 4.5, text
    for line in ("c1", "c2", "c3", "c4", "c5", "c6", "c7", "low", "high"):
        assert contrast(line, "paper") >= 3, line


# -- who may ask ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"sec-fetch-site": "cross-site"}, 401),
        ({"origin": "http://evil.example"}, 401),
        ({"origin": "null"}, 401),
        ({"host": "evil.example"}, 400),
        ({}, 200),
    ],
)
def test_api_when_asked_by_another_page_then_refuses(
    page: httpx.Client, headers: dict[str, str], status: int
) -> None:
    answer = page.get("/api/v1/generations", headers=BEARER | headers)
    assert answer.status_code == status
    if status != 400:
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_page_when_opened_then_names_no_other_host(page: httpx.Client) -> None:
    text = page.get("/", headers={"authorization": ""}).text
    assert "http" not in text.replace("http-equiv", "") and "<script src=" in text


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("copy flow_features to '/tmp/x.csv'", "is not allowed"),
        ("select * from read_text('/etc/passwd')", "read_text"),
        ("select symbl from flow_features", "symbl"),
        ("select 1; select 2", "one statement"),
        ("select date '-infinity' as d", "column 'd' has a moment that is infinite"),
    ],
)
def test_sql_when_wrong_or_not_allowed_then_is_refused_in_words(
    page: httpx.Client, sql: str, what: str
) -> None:
    answer = page.post("/api/v1/sql", json={"sql": sql})
    assert answer.status_code == 400 and what in answer.json()["what"]


def test_named_queries_when_run_by_the_page_then_none_fails(page: httpx.Client) -> None:
    """A field holds text: clock is compared with the text true, not with a boolean."""
    usual = {"symbol": "perpetual-BTC-USDT:USDT", "interval": "5m", "clock": True}
    for query in page.get("/api/v1/queries").json()["queries"]:
        params = {one["name"]: one["default"] for one in query["parameters"]}
        params |= {name: value for name, value in usual.items() if name in params}
        body = {"sql": query["sql"], "params": params}
        answer = page.post("/api/v1/sql", json=body)
        assert answer.status_code == 200 and answer.json()["rows"], (query["name"], answer.text)
        remarks = page.post("/api/v1/remarks", json=body)
        assert remarks.status_code == 200, (query["name"], remarks.text)


def test_save_when_asked_then_writes_a_named_query_and_never_over_one(
    demo_home: Path, tmp_path: Path
) -> None:
    home = copy_home(demo_home, tmp_path / "home")
    with served(home) as (host, port), httpx.Client(headers=BEARER, timeout=60) as client:
        url = f"http://{host}:{port}/api/v1/save"
        sql = "select count(*) as n from flow_features where symbol = $symbol and '$x' <> ''"
        body = {"name": "mine", "purpose": '*/ drop "all": yes', "sql": sql}
        assert client.post(url, json=body).status_code == 200
        assert client.post(url, json=body).status_code == 400
        for name in ("../up", "a b", ""):
            assert client.post(url, json=body | {"name": name}).status_code == 400
        wrong = body | {"name": "other", "sql": "copy flow_features to 'x'"}
        assert client.post(url, json=wrong).status_code == 400
        exported = client.post(
            url.replace("save", "export"),
            json={"sql": "select 1 as a, 'x,y' as b", "params": {}, "format": "csv"},
        )
        (home / "queries" / "by-hand.sql").write_text("select 1 as one\n")
        listed = client.get(url.replace("save", "queries")).json()["queries"]
        assert {"mine", "by-hand"} <= {query["name"] for query in listed}
        assert exported.text == '"a","b"\n1,"x,y"\n'
    with Warehouse(load_settings(home)) as warehouse:
        found = warehouse.query("mine", symbol="perpetual-BTC-USDT:USDT").fetchall()
        assert warehouse.query("by-hand").fetchall() == [(1,)]
    assert found == [(4344 + 52128,)]
    assert sorted(p.name for p in (home / "queries").iterdir()) == ["by-hand.sql", "mine.sql"]


@pytest.mark.parametrize(
    "query",
    [
        "table=flow_features&series=1&column=close&level=99&tile=0",
        "table=flow_features&series=1&column=close&level=1&tile=x",
        "table=flow_features&series=999&column=close&level=1&tile=1",
        'table=flow_features&series=1&column=a"b&level=1&tile=1',
        "table=flow_features&series=1&column=exchange&level=1&tile=1",
        "table=nothing&series=1&column=close&level=1&tile=1",
        "table=flow_features&series=1&column=close&level=1",
    ],
)
def test_points_when_asked_for_what_is_not_there_then_are_refused(
    page: httpx.Client, query: str
) -> None:
    answer = page.get(f"/api/v1/points?{query}")
    assert answer.status_code in (400, 404) and answer.json()["what"]


def test_points_when_far_away_then_are_none(page: httpx.Client) -> None:
    query = "table=flow_features&series=1&column=close&level=40&tile=999999999999"
    assert decoded(page.get(f"/api/v1/points?{query}").content)[0]["points"] == 0


# -- points --------------------------------------------------------------------------------------


def decoded(content: bytes) -> tuple[dict[str, Any], list[tuple[float, ...]]]:
    """Head and columns of an answer, x first."""
    (size,) = struct.unpack_from("<I", content)
    head = json.loads(content[4 : 4 + size])
    count = head["points"]
    columns = [
        struct.unpack_from(f"<{count}d", content, 4 + size + place * count * 8)
        for place in range(len(head["columns"]) + 1)
    ]
    assert 4 + size + 8 * count * len(columns) == len(content)
    return head, columns


@pytest.fixture(scope="module")
def bars(demo_home: Path) -> dict[int, list[tuple[float, float | None]]]:
    """Time in seconds and rolling net delta, which begins with NULL, of each series."""
    with Warehouse(load_settings(demo_home)) as warehouse:
        rows = warehouse.sql(
            "select series_id, epoch(time), rolling_net_delta_1d from flow_features order by all"
        ).fetchall()
    found: dict[int, list[tuple[float, float | None]]] = {}
    for series, at, value in rows:
        found.setdefault(series, []).append((at, value))
    return found


@given(series=st.integers(1, 4), level=st.integers(0, 14), share=st.floats(0, 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_points_when_compared_with_the_rows_then_are_first_low_high_last(
    page: httpx.Client,
    bars: dict[int, list[tuple[float, float | None]]],
    series: int,
    level: int,
    share: float,
) -> None:
    rows = bars[series]
    step = rows[1][0] - rows[0][0]
    width = step * 2**level
    at = rows[int(share * (len(rows) - 1))][0]
    tile = int(at // (width * 512))
    query = f"table=flow_features&series={series}&level={level}&tile={tile}"
    answer = page.get(f"/api/v1/points?{query}&column=rolling_net_delta_1d&generation=1")
    assert "immutable" in answer.headers["cache-control"]
    head, (x, values) = decoded(answer.content)
    inside = [row for row in rows if tile * 512 * width <= row[0] < (tile + 1) * 512 * width]
    assert head["rows"] == len(inside)
    expected: list[tuple[float, float]] = []
    if level == 0:
        expected = [(at, math.nan if value is None else value) for at, value in inside]
    else:
        buckets: dict[float, list[tuple[float, float]]] = {}
        for at, value in inside:
            held = buckets.setdefault(at // width, [])
            if value is not None:
                held.append((at, value))
        for number, held in buckets.items():
            four = [math.nan] * 4
            if held:
                low, high = min(held, key=lambda r: (r[1], r[0])), max(held, key=lambda r: r[1])
                ends = sorted((low, high), key=lambda r: r[0])
                four = [held[0][1], ends[0][1], ends[1][1], held[-1][1]]
            expected += [(width * (number + k / 4), value) for k, value in enumerate(four)]
    assert x == pytest.approx([at for at, _ in expected])
    assert values == pytest.approx([value for _, value in expected], nan_ok=True)


def test_extreme_and_filled_when_asked_then_are_those_of_the_rows(
    page: httpx.Client, bars: dict[int, list[tuple[float, float | None]]]
) -> None:
    known = [(value, -at) for at, value in bars[2][1_000:9_000] if value is not None]
    span = f"from={bars[2][1_000][0]}&to={bars[2][9_000][0]}"
    asked = f"table=flow_features&series=2&column=rolling_net_delta_1d&{span}"
    for end, (value, at) in {"high": max(known), "low": min(known)}.items():
        found = page.get(f"/api/v1/extreme?{asked}&end={end}").json()
        assert found == {"time": -at, "value": value, "step": 300.0}
    columns = "column=crowding_z&column=spread_bps"
    answer = page.get(f"/api/v1/filled?table=market_state&series=2&{columns}")
    assert answer.json() == {"columns": ["spread_bps"]}


def test_absent_when_a_series_lacks_datasets_then_names_them_with_the_command(
    page: httpx.Client, demo_home: Path
) -> None:
    def absent(*columns: str) -> Any:
        asked = "&".join(f"column={column}" for column in columns)
        return page.get(f"/api/v1/absent?table=market_state&series=2&{asked}").json()

    of = "--exchange binance-futures --symbol perpetual-BTC-USDT:USDT --interval 5m"
    update = f"warehouse --home {demo_home} update"
    assert absent("net_delta_zscore_1d", "spread_bps") == {"datasets": [], "next": []}
    book = f"{update} l2_liquidity {of} --clock exchange --start 2025-09-01"  # its only clock
    assert absent("top_share_25") == {"datasets": ["l2_liquidity"], "next": [book]}
    assert absent("crowding_z") == {
        "datasets": ["basis", "funding", "open_interest"],
        "next": [f"{update} basis funding open_interest {of} --clock true --start 2025-09-01"],
    }


def test_drawing_when_a_query_has_many_rows_then_is_of_all(page: httpx.Client) -> None:
    """The answer of a query has 5,000 rows, its chart all 52,128 of them."""
    sql = "select time, close, taker_buy_volume as b from flow_features where series_id = $id;"
    body = {"sql": sql, "params": {"id": 2}, "x": "time", "ys": ["close", "b"], "pixels": 800}
    found = page.post("/api/v1/drawing", json=body).json()
    ends = "select min(close), max(close), min(taker_buy_volume), max(taker_buy_volume)"
    rows = page.post("/api/v1/sql", json={"sql": f"{ends} from flow_features where series_id = 2"})
    drawn = [[one for one in values if one is not None] for values in found["values"]]
    assert found["rows"] == 52_128 and 800 < len(found["x"]) <= 3_204
    assert [end for one in drawn for end in (min(one), max(one))] == rows.json()["rows"][0]
    cloud = page.post("/api/v1/drawing", json=body | {"x": "close", "ys": ["b"]}).json()
    assert cloud["fit"]["n"] == 52_128 and len(cloud["points"]) == 4_000


# -- stopping ------------------------------------------------------------------------------------


def test_status_when_asked_then_has_the_seconds_of_each_phase_of_the_last_builds(
    page: httpx.Client,
) -> None:
    builds = page.get("/api/v1/status", params={"generation": 1}).json()["builds"]
    seconds = {one["phase"].partition(":")[0]: one["seconds"] for one in builds}
    assert seconds["store the marts"] > 0 and seconds["copy the marts into tables"] > 0
    assert {one["outcome"] for one in builds} == {"published"}


def test_queries_when_their_clients_leave_then_stop_and_never_keep_the_page_waiting(
    demo_home: Path,
) -> None:
    body = json.dumps({"sql": _LONG})
    head = (
        f"POST /api/v1/sql HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    )
    with served(demo_home) as address:
        with ExitStack() as opened:
            for _ in range(45):  # more than a pool of threads has
                client = opened.enter_context(socket.create_connection(address))
                client.sendall(head.encode())
            assert until(lambda: busy() > 0.3, 20), "no query ran"
            url = f"http://{address[0]}:{address[1]}/api/v1/generations"
            assert httpx.get(url, headers=BEARER, timeout=20).status_code == 200
        assert until(lambda: busy() < 0.1, 20), "a query goes on without its client"


def test_cross_section_of_a_model_whose_only_key_is_series_id(tmp_path: Path) -> None:
    home = write_small_home(tmp_path / "home", symbols=(BTC,))
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        columns = "series_id, time, known_at, net_delta as x"
        connection.execute(f'create view "user".bare as select {columns} from main.mart')
    with served(home) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"
        answer = client.get("/api/v1/table?table=user.bare&column=x&at=2025-09-05").json()
    (row,) = answer["rows"]
    assert row[:4] == ["binance-futures", BTC, "1h", "true"]
