"""Reading proxies and certificate authorities from the environment, checked before anything is sent."""

import functools
import os
import ssl
import stat
import urllib.request
from errno import EINVAL
from pathlib import Path

import httpx

from retab_orchestration._transport.proxies import Proxies, Proxy, read_exceptions, read_proxy
from retab_orchestration.errors import ConfigurationError

__all__ = ["read_proxies", "tls"]


def read_proxies(setting: str | None) -> Proxies:
    """Return the proxies of this process.

    Args:
        setting: The proxy of the account; None follows the environment, or the system where it has proxies.

    Raises:
        ConfigurationError: One of them is unusable; the message names the variable.
    """
    if setting is not None:
        proxy = read_proxy(setting, "proxy")
        return Proxies(http=proxy, https=proxy)
    found = {scheme: text for scheme, text in urllib.request.getproxies().items() if text}
    exceptions = read_exceptions(found.get("no", ""), _name_of("no"))
    if exceptions is None:
        return Proxies()
    http, https = (_serving(scheme, found) for scheme in ("http", "https"))
    return Proxies(http, https, exceptions)


def _serving(scheme: str, found: dict[str, str]) -> Proxy | None:
    chosen = scheme if scheme in found else "all"
    return read_proxy(found[chosen], _name_of(chosen)) if chosen in found else None


def _name_of(scheme: str) -> str:
    """Return the name of the variable that a proxy was read from."""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    return next((name for name in names if os.environ.get(name)), f"the system's setting {names[1]}")


def tls(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context of the process.

    Args:
        verify: True trusts the authorities that SSL_CERT_FILE or SSL_CERT_DIR names, or the system's; False checks
            nothing; a path names a file or a folder of authorities.

    Raises:
        ConfigurationError: They cannot be read; the message names the setting or the variable.
    """
    if isinstance(verify, str):
        return _trusting("verify", verify)
    if verify:
        for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            if place := os.environ.get(variable):
                return _trusting(variable, place)
    return _usual(verify)


@functools.cache
def _usual(verify: bool) -> ssl.SSLContext:
    """Make a context once per process: reading the certificate authorities takes 40 ms."""
    return httpx.create_ssl_context(verify=verify, trust_env=False)


def _is_folder(place: str) -> bool:
    mode = Path(place).stat().st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise OSError(EINVAL, "a pipe or a device, whose reading may never end")
    return stat.S_ISDIR(mode)


@functools.cache
def _trusting(source: str, place: str) -> ssl.SSLContext:
    try:
        is_folder = _is_folder(place)
        return ssl.create_default_context(
            cafile=None if is_folder else place, capath=place if is_folder else None
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise ConfigurationError(
            f"{source} names no readable certificate authorities: {place!a} ({reason})"
        ) from None
