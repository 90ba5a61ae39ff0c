"""Settings come from the call, then the environment, then .env; and the key stays hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from warehouse.config import Settings, child_environment, load_settings
from warehouse.errors import UsageError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_home_when_nothing_is_said_then_is_data_in_the_working_folder(tmp_path: Path) -> None:
    assert load_settings(environment={}).home == tmp_path / "data"


def test_home_when_said_in_several_places_then_the_nearest_wins(tmp_path: Path) -> None:
    Path(".env").write_text("WAREHOUSE_HOME=from-file\n")
    assert load_settings(environment={}).home == tmp_path / "from-file"
    assert load_settings(environment={"WAREHOUSE_HOME": "from-env"}).home == tmp_path / "from-env"
    assert load_settings("said", {"WAREHOUSE_HOME": "from-env"}).home == tmp_path / "said"


def test_home_when_it_has_a_tilde_then_is_below_the_users_folder() -> None:
    assert load_settings("~/w", {}).home == Path.home() / "w"


def test_home_when_given_as_path_then_is_taken(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "ä b", {}).home == tmp_path / "ä b"


@pytest.mark.parametrize("name", ["a?b", "a*b", "[1]", "C#", "a\\b", "a\nb", "a\udcff"])
def test_home_when_its_path_is_a_pattern_then_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="in a path a special meaning"):
        load_settings(tmp_path / name / "home", {})


@pytest.mark.parametrize("name", ["it's", 'a"b', "a b", "50%", "a{b}", "$x;=&", "a\u00a0b", "数"])
def test_home_when_its_path_is_odd_but_plain_then_is_taken(tmp_path: Path, name: str) -> None:
    assert load_settings(tmp_path / name, {}).home == tmp_path / name


def test_session_when_nothing_is_set_then_is_utc_and_spills_into_the_home(tmp_path: Path) -> None:
    assert load_settings(environment={}).session == {
        "TimeZone": "UTC",
        "temp_directory": str(tmp_path / "data" / ".build" / "spill"),
    }


def test_session_when_limits_are_set_then_holds_them() -> None:
    settings = load_settings(environment={"WAREHOUSE_THREADS": "2", "WAREHOUSE_MEMORY": "1GB"})
    assert settings.session["threads"] == "2"
    assert settings.session["memory_limit"] == "1GB"


def test_memory_when_a_share_then_is_an_amount_that_every_duckdb_takes() -> None:
    whole, half = (
        load_settings(environment={"WAREHOUSE_MEMORY": share}).memory_limit
        for share in ("100%", "50 %")
    )
    assert whole is not None and half is not None
    assert whole.endswith("MiB")
    assert int(whole[:-3]) // 2 == int(half[:-3])


def test_threads_when_no_number_then_says_which_variable_is_wrong() -> None:
    with pytest.raises(UsageError, match="WAREHOUSE_THREADS"):
        load_settings(environment={"WAREHOUSE_THREADS": "many"})


def test_api_url_when_it_ends_with_a_slash_then_loses_it() -> None:
    assert load_settings(environment={"APERIODIC_API_URL": "http://h/v1/"}).api_url == "http://h/v1"


def test_key_when_settings_are_shown_then_is_not_there() -> None:
    settings = load_settings(environment={"APERIODIC_API_KEY": "canary"})
    assert settings.api_key == "canary"
    assert "canary" not in repr(settings) + str(settings)


def test_child_environment_when_key_is_set_then_leaves_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APERIODIC_API_KEY", "canary")
    environment = child_environment(Settings(tmp_path))
    assert "canary" not in environment.values()
    assert environment["WAREHOUSE_HOME"] == str(tmp_path)
    assert "PATH" in environment
