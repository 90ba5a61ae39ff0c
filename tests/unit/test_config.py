"""Settings come from the call, then the environment, then .env; and the key stays hidden."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import warehouse
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
    with pytest.raises(UsageError, match="in a path has a special meaning"):
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


def test_threads_when_no_number_then_names_which_variable_is_wrong() -> None:
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
    for name in ("APERIODIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "canary")
    environment = child_environment(Settings(tmp_path))
    assert "canary" not in environment.values()
    assert environment["WAREHOUSE_HOME"] == str(tmp_path)
    assert "PATH" in environment


def test_store_when_the_home_names_one_then_is_its_address(tmp_path: Path) -> None:
    (tmp_path / "warehouse.toml").write_text('store = "s3://b//lake of ü/"\ncache_gb = 2\n')
    settings = load_settings(tmp_path, {})
    assert (settings.store, settings.cache_gb) == ("s3://b/lake of ü", 2.0)
    assert load_settings(tmp_path / "local", {}).store is None


def test_home_when_it_is_a_bucket_then_is_a_folder_of_the_cache(tmp_path: Path) -> None:
    homes = [
        load_settings(address, {"XDG_CACHE_HOME": str(tmp_path)}).home
        for address in ("s3://b/x", "s3://b/x/", "s3://b/y")
    ]
    assert homes[0] == homes[1] != homes[2]
    assert homes[0].parent == tmp_path / "warehouse"


@pytest.mark.parametrize(
    "text",
    [
        'store = "s3://key:canary@bucket/x"', 'store = "https://canary.example"', "store = 3",
        'store = "s3://b/../canary"', 'store = "s3:///canary"', "cache_gb = -1",
        'cache_gb = "canary"', "store = canary", 'links = "canary"',
    ],
)  # fmt: skip
def test_store_when_it_is_invalid_then_shows_how_to_write_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "warehouse.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings(tmp_path, {})
    assert caught.value.next_step
    assert "key:" not in str(caught.value)


def test_settings_when_the_file_is_broken_elsewhere_then_open_a_local_home(tmp_path: Path) -> None:
    (tmp_path / "warehouse.toml").write_text("[[sync]\n")
    assert load_settings(tmp_path, {}).store is None


def test_bucket_when_its_library_is_missing_then_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="obstore is not installed") as caught:
        warehouse.open("s3://bucket/home")
    assert "microstructure-warehouse[bucket]" in str(caught.value.next_step)
    assert not any(tmp_path.iterdir())
