"""``%%sql`` in notebooks, on IPython's own shell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.support import BTC, utc
from warehouse.errors import NotFoundError, QueryError
from warehouse.query.results.result import Result


@pytest.fixture(scope="module")
def home(small_home: Path) -> Path:
    return small_home


@pytest.fixture
def shell(home: Path) -> Iterator[Any]:
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "warehouse")
    shell.run_line_magic("sql", f"--home '{home}'")
    yield shell
    shell.run_line_magic("unload_ext", "warehouse")
    InteractiveShell.clear_instance()


def test_cell_when_it_names_variables_then_binds_them(shell: Any) -> None:
    shell.user_ns |= {"symbol": BTC, "until": date(2025, 9, 2)}
    result = shell.run_cell_magic(
        "sql", "", "select count(*) as n from mart where symbol = $symbol and time < $until;\n"
    )
    assert isinstance(result, Result)
    assert result.fetchall() == [(24,)]
    assert "<table" in result._repr_html_()


def test_cell_when_a_variable_has_an_offset_then_it_counts(shell: Any) -> None:
    shell.user_ns |= {"text": "2025-09-01T22:00:00-05:00"}
    shell.user_ns["moment"] = datetime.fromisoformat(shell.user_ns["text"])
    for name in ("text", "moment"):
        result = shell.run_cell_magic(
            "sql", "", f"select min(time) from mart where time >= ${name} and symbol = '{BTC}'"
        )
        assert result.fetchall() == [(utc("2025-09-02 06:00"),)], name  # 03:00 lies in the gap


def test_cell_when_it_holds_jinja_then_binds_the_variables_of_the_rendered_text(shell: Any) -> None:
    shell.user_ns |= {"half": 0.5}
    result = shell.run_cell_magic("sql", "", "select {{ ratio('$half', '2') }} as quarter")
    assert result.fetchall() == [(0.25,)]


def test_cell_when_it_is_given_a_name_then_keeps_the_answer_there(shell: Any) -> None:
    assert shell.run_cell_magic("sql", "found", "select 1 as a") is None
    assert shell.user_ns["found"].fetchall() == [(1,)]


def test_line_when_it_is_a_select_then_returns_its_result(shell: Any) -> None:
    assert shell.run_line_magic("sql", "select 2 as a").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("line", "cell", "word"),
    [
        ("", "select $nothing", "nothing"),
        ("--what", "select 1", "not understood"),
        ("a b", "select 1", "not understood"),
        ("'", "select 1", "not understood"),
        ("1bad", "select 1", "not a valid variable name"),
        ("", "copy mart to 'x'", "COPY"),
    ],
)
def test_cell_when_it_is_wrong_then_gives_the_reason(
    shell: Any, line: str, cell: str, word: str
) -> None:
    with pytest.raises(QueryError, match=word):
        shell.run_cell_magic("sql", line, cell)


def test_cell_when_it_is_wrong_then_shows_the_message_alone(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not shell.run_cell("%%sql\nselect tme from mart").success
    shown = capsys.readouterr()
    assert "QueryError: Binder Error" in shown.out + shown.err
    assert "next: the nearest columns: time" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err
    assert not shell.run_cell("%%sql\nselect twice from mart").success
    shown = capsys.readouterr()
    assert "next: twice is in mine" in shown.out + shown.err


def test_line_when_the_home_is_wrong_then_the_one_before_goes_on_answering(
    shell: Any, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError):
        shell.run_line_magic("sql", f"--home '{tmp_path}'")
    assert shell.run_line_magic("sql", "select 2 as a").fetchall() == [(2,)]


def test_load_when_another_extension_has_the_magic_then_takes_another_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WAREHOUSE_HOME", str(home))
    shell = InteractiveShell.instance()
    try:
        shell.register_magic_function(lambda line, cell=None: "theirs", "line_cell", "sql")
        shell.run_line_magic("load_ext", "warehouse")
        assert "write %wsql and %%wsql" in caplog.text
        assert shell.run_cell_magic("sql", "", "select 1") == "theirs"
        assert shell.run_cell_magic("wsql", "", "select 1 as a").fetchall() == [(1,)]
        shell.run_line_magic("reload_ext", "warehouse")
        assert shell.run_line_magic("sql", "select 1") == "theirs"
    finally:
        shell.run_line_magic("unload_ext", "warehouse")
        InteractiveShell.clear_instance()


def test_load_when_it_is_loaded_again_then_keeps_its_name(shell: Any, home: Path) -> None:
    shell.run_line_magic("reload_ext", "warehouse")
    shell.run_line_magic("sql", f"--home '{home}'")
    assert shell.run_line_magic("sql", "select 3 as a").fetchall() == [(3,)]
