import copy
import pickle

import pytest

from retab_orchestration import AsyncRetabClient, ConfigurationError, RetabClient
from retab_orchestration.settings import DEFAULT_BASE_URL, Settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    monkeypatch.delenv("RETAB_API_KEY", raising=False)
    monkeypatch.delenv("RETAB_API_BASE_URL", raising=False)


def test_key_and_address_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("RETAB_API_KEY", "k1")
    monkeypatch.setenv("RETAB_API_BASE_URL", "http://here/v1")

    settings = Settings.read(None, None)

    assert (settings.api_key, settings.base_url) == ("k1", "http://here")


def test_what_is_given_wins(monkeypatch):
    monkeypatch.setenv("RETAB_API_KEY", "k1")
    monkeypatch.setenv("RETAB_API_BASE_URL", "http://here")

    settings = Settings.read("k2", "http://there")

    assert (settings.api_key, settings.base_url) == ("k2", "http://there")


def test_without_an_address_it_is_retabs_own():
    assert Settings.read("k", None).base_url == DEFAULT_BASE_URL


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.retab.com", "https://api.retab.com"),
        ("https://api.retab.com/", "https://api.retab.com"),
        ("https://api.retab.com/v1", "https://api.retab.com"),
        ("https://api.retab.com/v1/", "https://api.retab.com"),
        (" http://127.0.0.1:8080/retab/v2 ", "http://127.0.0.1:8080/retab"),
    ],
)
def test_an_address_is_taken_with_or_without_its_version(given, kept):
    assert Settings.read("k", given).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.retab.com",
        "ftp://x",
        "http://",
        "http://u:p@h",
        "http://h?x=1",
        "http://h:99999",
        "http://:secret@h",
        7,
    ],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigurationError, match="base_url"):
        Settings.read("k", url)


@pytest.mark.parametrize("key", [None, "", "  ", "two words", "line\nend", "clé", "********", "••••", 7])
def test_a_key_that_is_none_is_refused_without_repeating_it(key):
    with pytest.raises(ConfigurationError, match="API key") as refused:
        Settings.read(key, None)
    assert not isinstance(key, str) or not key.strip() or key not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api", "v1"),
        ("api", None),
        ("auth", "basic"),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "60"),
        ("timeout", float("inf")),
        ("timeout", 1e12),
        ("proxy", "socks5://x"),
        ("proxy", 5),
        ("requests_per_second", 0),
        ("requests_per_second", "10"),
        ("requests_per_second", True),
        ("verify", 3),
    ],
)
def test_settings_that_do_not_exist_are_refused(name, value):
    with pytest.raises(ConfigurationError, match=name):
        Settings.read("k", None, **{name: value})


def test_a_client_is_refused_as_its_settings_are():
    with pytest.raises(ConfigurationError, match="RETAB_API_KEY"):
        RetabClient()


def test_the_key_is_in_no_repr_and_in_no_name():
    settings = Settings.read("rt_live_secret", None, proxy="http://user:pass@proxy")

    assert "secret" not in repr(settings)
    assert "pass" not in repr(settings)
    assert "secret" not in settings.account
    assert settings.account != Settings.read("other", None).account


@pytest.mark.parametrize("kind", [RetabClient, AsyncRetabClient])
def test_a_client_is_not_pickled_for_its_key_would_be_stored(kind):
    client = kind("k_do-not-store")

    with pytest.raises(TypeError, match="make it where it is used") as refused:
        pickle.dumps({"deep": [client]})

    assert "k_do-not-store" not in str(refused.value)
    settings = Settings("k_do-not-store")
    assert copy.copy(settings) is copy.deepcopy([settings])[0] is settings


def test_a_path_of_certificate_authorities_may_be_a_path(tmp_path):
    assert Settings.read("k", None, verify=tmp_path).verify == str(tmp_path)


def test_a_scheme_is_a_scheme_however_it_is_written():
    assert Settings(api_key="k", base_url="HTTPS://api.retab.com/v1").base_url == "https://api.retab.com"
