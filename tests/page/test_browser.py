"""``warehouse ui`` in a real browser: charts are drawn, and data never becomes markup.

Run by ``make test-ui``. Needs playwright and a chromium at ``$CHROMIUM``, ``/usr/bin/chromium``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import duckdb
import pytest

from tests.asking import publish_without_dbt, write_month
from tests.pages import TOKEN, busy, served, until
from tests.support import BTC, bar_table, file_key, grid, write_file
from warehouse.home import Home
from warehouse.sync.from_folder import sync_folder

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
if not Path(CHROMIUM).is_file():
    pytest.skip(f"NO BROWSER TESTS: there is no {CHROMIUM}", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TESTS: no playwright")
expect = playwright.expect
expect.set_options(timeout=30_000)

HOSTILE = "spot-X<img src=x onerror=alert(1)>-USDT"
COLUMN = "<b onmouseover=alert(1)>x'\"</b>"
# Has no other dataset than l1_price.
QUOTED = "spot-SOL-USDT"
STATE = """
    create view main.market_state as select series_id, "time", known_at,
        net_delta / 1e6 as net_delta_zscore_1d, percent_rank() over (order by net_delta)
        as spread_rank_7d, net_delta as spread_bps, null::double as crowding_z,
        (select max(midprice) from vendor.l1_price as l where l.series_id = mart.series_id)
        as realized_vol_rank_30d
    from main.mart
"""
# In the flow of BTC: 2025-09-02 00:00 until 06:00.
GAP = (1756771200, 1756792800)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of hourly bars of BTC, six of them missing, and of a hostile symbol."""
    root = tmp_path_factory.mktemp("page") / "home"
    files = root.with_name("files")
    for month in (9, 10):
        for dataset in ("flow", "ohlcv"):
            write_month(files, dataset, BTC, month)
    starts = grid(date(2025, 9, 1), 30 * 24)
    waves = [100 + k % 24 for k in range(len(starts))]
    for dataset in ("flow", "ohlcv"):
        table = bar_table(dataset, starts, **{COLUMN: waves})
        write_file(files, file_key(dataset, "2025-09", symbol=HOSTILE), table)
    asks = [price + 10 for price in waves]
    write_month(files, "l1_price", QUOTED, 9, bid_price=waves, ask_price=asks, midprice=waves)
    sync_folder(Home(root), files)
    publish_without_dbt(root)
    with duckdb.connect(root / "warehouse.duckdb") as connection:
        connection.execute(STATE)
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = running.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with served(home) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab that may request only this machine and must not violate the content policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append("dialog"), dialog.dismiss()))
    page.on(
        "console",
        lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None,
    )
    page.on(
        "request",
        lambda request: (
            None
            if re.match(r"(http://127\.0\.0\.1:|data:|blob:)", request.url)
            else wrong.append(request.url)
        ),
    )
    yield page
    context.close()
    assert wrong == []


def go(tab: Any, address: str, view: str) -> None:
    tab.goto("about:blank")
    tab.goto(f"{address}/#token={TOKEN}&view={view}")


def ink(tab: Any, place: int, left: float = 0, right: float = 1) -> int:
    """Pixels of a panel's canvas, between two shares of its plot, in the line's colour."""
    found: int = tab.evaluate(
        """([place, left, right]) => {
            const canvas = document.querySelectorAll('.charts canvas')[place];
            const over = canvas.parentElement.querySelector('.u-over');
            const scale = canvas.width / canvas.clientWidth;
            const x = Math.ceil((over.offsetLeft + left * over.clientWidth) * scale);
            const width = Math.floor((right - left) * over.clientWidth * scale);
            const y = Math.ceil(over.offsetTop * scale), height = over.clientHeight * scale;
            const {data} = canvas.getContext('2d').getImageData(x, y, width, height);
            let count = 0;
            for (let at = 0; at < data.length; at += 4)
                if (data[at + 3] > 200 && data[at] < 90 && data[at + 1] < 90) count += 1;
            return count;
        }""",
        [place, left, right],
    )
    return found


def test_series_when_opened_then_both_panels_have_ink(tab: Any, address: str) -> None:
    go(tab, address, "/series/1")
    expect(tab.locator("#label")).to_contain_text("every bar")
    expect(tab.locator(".charts canvas")).to_have_count(2)
    assert min(ink(tab, 0), ink(tab, 1)) > 300
    tab.locator(".u-over").first.hover()
    expect(tab.locator(".status .cursor")).to_contain_text("UTC")


def test_wheel_when_turned_then_points_and_label_follow(tab: Any, address: str) -> None:
    tab.set_viewport_size({"width": 760, "height": 600})
    go(tab, address, "/series/1")
    expect(tab.locator("#label")).to_contain_text("4 bars per bucket")
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url) if "points" in request.url else 0)
    tab.locator(".u-over").first.hover()
    for _ in range(30):
        tab.mouse.wheel(0, -60)
    expect(tab.locator("#label")).to_contain_text("every bar")
    expect(tab).to_have_url(re.compile("from=2025-"))
    assert 1 <= len(asked) < 12


def test_gap_when_drawn_then_has_no_ink_but_a_tint(tab: Any, address: str) -> None:
    go(tab, address, "/series/1?p=mart.net_delta&from=2025-09-01T00:00&to=2025-09-03T00:00")
    expect(tab.locator("#label")).to_contain_text("bars are missing (1 gap)")
    start, day = 1756684800, 172800
    left, right = ((at - start) / day for at in GAP)
    assert ink(tab, 0, left, right - 0.002) == 0
    assert ink(tab, 0, 0, left - 0.03) > 20 and ink(tab, 0, right + 0.01, 1) > 20


def test_series_when_only_quotes_are_there_then_begins_with_a_band(
    tab: Any, address: str, home: Path
) -> None:
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        found = connection.execute(
            "select series_id from meta.series where symbol = $1", [QUOTED]
        ).fetchone()
    assert found is not None
    go(tab, address, f"/series/{found[0]}?from=2025-09-03&to=2025-09-04")
    expect(tab.locator(".legend").first).to_contain_text("ask_price")
    expect(tab.locator("#label")).to_contain_text("every bar")
    assert tab.locator(".legend").first.inner_text().count("_price") == 2
    bands = tab.evaluate(
        """() => {
            const {width, height} = document.querySelector('.charts canvas');
            const pen = document.querySelector('.charts canvas').getContext('2d');
            const {data} = pen.getImageData(0, 0, width, height);
            let count = 0;
            for (let at = 0; at < data.length; at += 4)
                if (data[at] < 80 && data[at + 2] > 150 && data[at + 3] > 30 && data[at + 3] < 60)
                    count += 1;
            return count;
        }"""
    )
    assert bands > 300
    tab.get_by_role("button", name="high").last.click()
    expect(tab.locator("#label b")).to_contain_text("highest at 2025-09-03")
    go(tab, address, f"/series/{found[0]}?p=mart.net_delta")
    expect(tab.locator("#label")).to_contain_text("has no rows in mart")


def test_state_when_opened_then_shows_ranks_and_leads_to_the_series(tab: Any, address: str) -> None:
    go(tab, address, "/state/1")
    expect(tab.locator(".link")).to_have_count(7)
    spread = tab.locator(".link").nth(1)
    expect(spread.locator(".rank")).to_have_count(1)
    expect(tab.locator(".link").nth(6)).to_contain_text("no values in this span")
    regime = tab.locator(".link").first
    expect(regime).to_contain_text("This home has no l1_price of this series. Run:")
    expect(regime.locator("code")).to_contain_text(
        f"update l1_price --exchange binance-futures --symbol {BTC} --interval 1h --clock true"
    )
    options = tab.evaluate(
        "[...document.querySelectorAll('.absent span')]"
        ".filter((one) => /^--/.test(one.textContent))"
        ".map((one) => [one.getClientRects().length, one.offsetHeight])"
    )
    assert len(options) >= 5
    assert all(lines == 1 and height < 25 for lines, height in options)
    assert regime.locator(".absent").evaluate("(one) => getComputedStyle(one).backgroundColor") == (
        tab.locator("body").evaluate("(one) => getComputedStyle(one).backgroundColor")
    )
    left = tab.evaluate(
        "[...document.querySelectorAll('.u-over')].map((one) => one.getBoundingClientRect().right)"
    )
    assert len(set(left)) == 1
    spread.locator(".u-over").click()
    expect(tab.locator(".panel .legend").first).to_contain_text("spread_rank_7d")
    expect(tab).to_have_url(
        re.compile(r"/series/1\?p=market_state\.spread_rank_7d.*from=2025-10-2")
    )


def test_picture_when_saved_as_svg_then_is_of_vectors_and_text(tab: Any, address: str) -> None:
    go(tab, address, "/series/2?p=vendor.flow." + quote(quote(COLUMN)).replace(".", "%2E"))
    expect(tab.locator("#label")).to_contain_text("every bar")
    with tab.expect_download() as saved:
        tab.get_by_role("button", name="SVG").click()
    root = ElementTree.parse(saved.value.path()).getroot()
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert "image" not in tags and "b" not in tags and tags.count("text") > 8
    assert any(len(one.get("d", "")) > 5_000 for one in root.iter())
    assert COLUMN in "".join(root.itertext())


def test_calendar_when_drawn_then_colours_are_the_coverage(tab: Any, address: str) -> None:
    go(tab, address, "/calendar?dataset=flow")
    expect(tab.locator(".bar")).to_contain_text("6 bars missing")
    shares = tab.evaluate(
        """async () => {
            const {shares} = await import('/static/calendar.js');
            const one = {first: 1756684800, last: 1756684800 + 3 * 86400 - 3600,
                         gaps: [[1756771200, 1756792800]]};
            return [...shares(one, 1756684800 / 86400, 4)];
        }"""
    )
    assert shares == [1, 0.75, 1, -1]
    colours = tab.evaluate(
        """() => {
            const canvas = document.querySelector('canvas.heat');
            const row = canvas.getContext('2d').getImageData(0, 28, canvas.width, 1).data;
            const seen = new Set();
            for (let at = 0; at < row.length; at += 4)
                seen.add(Math.sign(row[at + 2] - row[at]) * (Math.abs(row[at + 2] - row[at]) > 60));
            return [...seen].sort();
        }"""
    )
    assert {1, -1} <= set(colours)


def test_sql_when_wrong_then_shows_the_error_and_the_next_step(tab: Any, address: str) -> None:
    go(tab, address, "/sql?q=select symbl from mart")
    expect(tab.locator(".problem")).to_contain_text("symbl")
    expect(tab.locator(".problem .next")).to_contain_text("symbol")
    expect(tab.locator(".ink .e")).to_have_text("symbl")
    tab.get_by_label("SQL", exact=True).fill("copy mart to '/tmp/x'")
    tab.get_by_label("SQL", exact=True).press("Control+Enter")
    expect(tab.locator(".problem")).to_contain_text("is not allowed")


def test_names_and_values_when_hostile_then_are_text(tab: Any, address: str) -> None:
    go(tab, address, "/sql?q=select '<img src=x onerror=alert(1)>' as \"<b>x</b>\"")
    expect(tab.locator("td").first).to_have_text("<img src=x onerror=alert(1)>")
    expect(tab.locator("th").first).to_contain_text("<b>x</b>")
    go(tab, address, "/series/2")
    expect(tab.locator("select.series")).to_contain_text(HOSTILE)
    tab.get_by_placeholder("measure").fill("onmouseover")
    tab.locator(".measure:visible .name").first.click()
    expect(tab.locator(".legend").last).to_contain_text("onmouseover")
    expect(tab.locator("#label")).to_contain_text("every bar")
    assert ink(tab, 2) > 100
    assert tab.locator("img").count() == 0


def test_link_when_without_a_token_then_names_the_command(tab: Any, address: str) -> None:
    tab.goto(f"{address}/#/series/1?g=1")
    expect(tab.locator(".notice")).to_contain_text("warehouse ui --open '/series/1?g=1'")


def test_generation_when_a_newer_is_published_then_a_banner_reports_it(
    browser: Any, tab: Any, home: Path, tmp_path: Path
) -> None:
    root = tmp_path / "home"
    shutil.copytree(home, root)
    with served(root) as (host, port):
        go(tab, f"http://{host}:{port}", "/sql?q=select count(*) as n from mart")
        expect(tab.locator("td").first).to_have_text("2,178")
        publish_without_dbt(root, generation=2)
        tab.evaluate("dispatchEvent(new Event('focus'))")
        expect(tab.locator("#banner")).to_contain_text("Generation 2 was published")
        tab.get_by_role("button", name="Run").click()
        expect(tab.locator("td").first).to_have_text("2,178")
        expect(tab).to_have_url(re.compile("g=1"))


def test_query_when_stopped_or_its_tab_closed_then_ends(browser: Any, address: str) -> None:
    long = "select sum(sqrt(a.range * b.range)) from range(1000000) as a, range(100000) as b"
    for how in ("stop", "close"):
        context = browser.new_context()
        tab = context.new_page()
        go(tab, address, f"/sql?q={long}")
        expect(tab.locator(".bar .cursor")).to_contain_text("running")
        assert until(lambda: busy() > 0.3, 20)
        if how == "stop":
            tab.get_by_role("button", name="Stop").click()
            expect(tab.locator(".bar .cursor")).to_have_text("stopped")
        context.close()
        assert until(lambda: busy() < 0.15, 20), how


@pytest.mark.parametrize(
    ("view", "shows"),
    [
        ("/table?mart=mart", "net_delta"),
        ("/state/1", "Pressure"),
        ("/seasonality/1?p=mart.net_delta", "Link"),
        ("/scatter/1?x=mart.net_delta&y=mart.close", "decile"),
        ("/lineage/mart", "vendor.flow"),
        ("/quality", "Files in quarantine"),
    ],
)
def test_views_when_opened_then_show_their_content(
    tab: Any, address: str, view: str, shows: str
) -> None:
    go(tab, address, view)
    expect(tab.locator("main")).to_contain_text(shows)
    expect(tab.locator(".busy")).to_have_count(0)
    expect(tab.locator(".problem")).to_have_count(0)
    tab.set_viewport_size({"width": 844, "height": 390})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 844


@pytest.mark.parametrize(
    ("view", "what"),
    [
        ("/series/77", "no series 77"),
        ("/series/1?p=close", "close: not a measure"),
        ("/series/1?from=2025-13-01&to=2025-09-04", "not a span of time"),
        ("/table?mart=nope", "nope: no table of bars"),
        ("/calendar?dataset=flows", "did you mean flow?"),
        ("/nothing", "no such view"),
    ],
)
def test_link_when_it_names_what_is_not_there_then_reports_it(
    tab: Any, address: str, view: str, what: str
) -> None:
    go(tab, address, view)
    expect(tab.locator(".problem")).to_contain_text(what)


def test_table_when_used_by_keyboard_then_sorts_and_leads_to_the_series(
    tab: Any, address: str
) -> None:
    go(tab, address, "/table?mart=mart")
    head = tab.locator("th.sort", has_text="net_delta")
    for order in ("ascending", "descending"):
        head.focus()
        tab.keyboard.press("Enter")
        expect(head).to_have_attribute("aria-sort", order)
    tab.locator("tbody tr").last.focus()
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(re.compile(r"/series/\d+\?p=mart\.net_delta"))


def test_buttons_when_pressed_then_lead_to_the_query(tab: Any, address: str) -> None:
    go(tab, address, "/series/1?p=mart.net_delta")
    expect(tab.locator("#label")).to_contain_text("every bar")
    tab.get_by_role("button", name="Python").click()
    expect(tab.locator("dialog pre")).to_contain_text("warehouse.open(generation=1)")
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Receipt").click()
    expect(tab.locator("dialog")).to_contain_text("vendor files")
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="SQL", exact=True).click()
    tab.get_by_role("link", name="open in the SQL page").click()
    expect(tab.locator("td").first).to_have_text("2025-09-01 00:00:00")
