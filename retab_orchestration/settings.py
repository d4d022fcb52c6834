"""The settings of an account; the environment is read when a client is created, never on import."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import Literal, NoReturn, get_args
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary, ref

from retab_orchestration._texts import kind_of
from retab_orchestration.errors import ConfigurationError

__all__ = ["DEFAULT_BASE_URL", "Api", "Auth", "Settings"]

DEFAULT_BASE_URL = "https://api.retab.com"

Api = Literal["auto", "classic", "current"]
"""Which routes: `classic` is `POST /v1/workflows/{workflow_id}/run` and its family, `current` is today's."""

# Seconds. A longer time is a mistake, or infinity, which no socket takes.
_LONGEST_TIMEOUT = 86400.0
_HIGHEST_RATE = 1e6
# One request a day: a lower rate is a mistake, and a longer pause than any clock sleeps.
_LOWEST_RATE = 1 / 86400
_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 2000
# The least `max_response_bytes`: no run would fit into less.
_FEWEST_BYTES = 64 * 1024

_HOST = r"((\*\.)?[0-9A-Za-z_.-]*[0-9A-Za-z_]\.?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?"

Auth = Literal["auto", "api-key", "bearer"]
"""Which header carries the key: `Api-Key: K` or `Authorization: Bearer K`."""


# A name, or an IP address; in its brackets IPv6 may name an interface.
_HOST_NAME = re.compile(r"[\w.-]+|[0-9a-f:.]+(%[\w.-]+)?", re.IGNORECASE)


def _chosen(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ConfigurationError(f"{name} must be one of {', '.join(allowed)}, not {kind_of(value)}")


def _check_rate(rate: object) -> None:
    number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if rate is not None and not (number and _LOWEST_RATE <= rate <= _HIGHEST_RATE):  # type: ignore[operator]
        raise ConfigurationError(
            "requests_per_second must be a number, more than 0 (one request a day at least) and at most a million, or "
            f"None for no limit, not {kind_of(rate)}"
        )


def _check_bytes(count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < _FEWEST_BYTES:
        raise ConfigurationError(
            f"max_response_bytes must be a whole number of at least {_FEWEST_BYTES}, not {kind_of(count)}"
        )


def _usable_hosts(hosts: object) -> tuple[str, ...] | None:
    if hosts is None:
        return None
    if not isinstance(hosts, list | tuple | set | frozenset) or not hosts or not all(map(_is_host, hosts)):
        raise ConfigurationError(
            "upload_hosts must list hosts such as storage.googleapis.com, *.example.com or storage.local:9000 (no "
            "scheme, no path), or be None for any"
        )
    return tuple(sorted(host.lower().rstrip(".") for host in hosts))


def _is_host(host: object) -> bool:
    return isinstance(host, str) and re.fullmatch(_HOST, host) is not None


def _usable_key(api_key: object) -> str:
    if api_key is not None and not isinstance(api_key, str):
        raise ConfigurationError(f"no API key: api_key must be a string, not {kind_of(api_key)}")
    key = (api_key or "").strip()
    if not key:
        raise ConfigurationError("no API key: pass api_key or set RETAB_API_KEY")
    if set(key) <= set("*•"):
        raise ConfigurationError(
            "the API key is the stars that a UI shows in place of a secret: copy it from Retab"
        )
    if not key.isascii() or not key.isprintable() or set(key) & set(" \"'"):
        raise ConfigurationError(
            "the API key has characters that no key has (spaces, quotes, line ends, non-ASCII): copy it again"
        )
    return key


def _usable_url(base_url: object) -> str:
    url = base_url.strip() if isinstance(base_url, str) else ""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()  # which checks the length of a name
        usable = (
            parts.scheme in {"http", "https"} and bool(_HOST_NAME.fullmatch(host)) and (parts.port or 1) > 0
        )
    except ValueError:
        usable = False
    usual = url.isprintable() and not set(url) & set(" \\") and len(url) <= _LONGEST_URL
    if not usable or not usual or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            f"base_url must look like {DEFAULT_BASE_URL} (http or https, no user, query or fragment); "
            "pass base_url or set RETAB_API_BASE_URL"
        )
    # Each server has one spelling, because what is known of it is kept by that.
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else (parts.hostname or "").rstrip(".")
    port = "" if parts.port in {None, _PORTS[parts.scheme]} else f":{parts.port}"
    return re.sub(r"/v\d+$", "", f"{parts.scheme}://{host}{port}{parts.path}".rstrip("/"))


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Settings:
    """One account on one server, checked; `Settings.read` fills the gaps from the environment."""

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    """Scheme, host, port and any prefix, without the `/v1` that every path starts with."""
    api: Api = "auto"
    auth: Auth = "auto"
    timeout: float = 60.0
    """Seconds that one request may take to connect, to send each 16 KiB, and between two parts of its answer; all of
    that has to be there after twice as long."""
    verify: bool | str | os.PathLike[str] = True
    """True checks TLS certificates, False does not, a path names a file of certificate authorities."""
    proxy: str | None = field(default=None, repr=False)
    """The address of an HTTP proxy; None follows HTTP_PROXY, HTTPS_PROXY and NO_PROXY."""
    requests_per_second: float | None = None
    """How many requests a process may send in a second, with all clients of this account; None for any number."""
    upload_hosts: tuple[str, ...] | None = None
    """The only hosts to which documents may be uploaded; None for any that is as safe as `base_url`."""
    max_response_bytes: int = 16 * 1024 * 1024
    """Bytes that an answer may have, unpacked; a page of a list may have a quarter of it, an error a sixteenth."""
    account: str = field(init=False, repr=False, compare=False)
    """A name for this server and key that does not contain the key."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_key", _usable_key(self.api_key))
        object.__setattr__(self, "base_url", _usable_url(self.base_url))
        _chosen("api", self.api, get_args(Api))
        _chosen("auth", self.auth, get_args(Auth))
        number = isinstance(self.timeout, (int, float)) and not isinstance(self.timeout, bool)
        if not number or not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise ConfigurationError(
                f"timeout must be seconds, more than 0 and at most a day, not {kind_of(self.timeout)}"
            )
        _check_rate(self.requests_per_second)
        object.__setattr__(self, "upload_hosts", _usable_hosts(self.upload_hosts))
        _check_bytes(self.max_response_bytes)
        if isinstance(self.verify, os.PathLike):
            object.__setattr__(self, "verify", os.fspath(self.verify))
        if not isinstance(self.verify, (bool, str)) or self.verify == "" or "\0" in str(self.verify):
            raise ConfigurationError(f"verify must be True, False or a path, not {kind_of(self.verify)}")
        if self.proxy is not None and not (
            isinstance(self.proxy, str) and self.proxy.startswith(("http://", "https://"))
        ):
            raise ConfigurationError("proxy must look like http://host:port or https://host:port")
        digest = hashlib.sha256(self.api_key.encode()).hexdigest()
        object.__setattr__(self, "account", f"{self.base_url}#{digest[:16]}")

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled, and a client with it, because the key would be stored.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "a Retab client is not pickled, because its API key would be stored: make it where it is used"
        )

    def __copy__(self) -> "Settings":
        """Return itself, which nothing changes."""
        return self

    def __deepcopy__(self, _: object) -> "Settings":
        """Return itself, which nothing changes."""
        return self

    @classmethod
    def read(cls, api_key: str | None, base_url: str | None, **rest: object) -> "Settings":
        """Return checked settings; None is read from RETAB_API_KEY and RETAB_API_BASE_URL.

        Equal settings are one object: a process may hold a client of the same account for each of a thousand waits.

        Raises:
            ConfigurationError: Something is missing or wrong; the message says what to set.
        """
        key = os.environ.get("RETAB_API_KEY", "") if api_key is None else api_key
        url = os.environ.get("RETAB_API_BASE_URL") or DEFAULT_BASE_URL if base_url is None else base_url
        settings = cls(api_key=key, base_url=url, **rest)  # type: ignore[arg-type]
        return _in_use.setdefault(settings, ref(settings))() or settings


_in_use: WeakKeyDictionary[Settings, ref[Settings]] = WeakKeyDictionary()
