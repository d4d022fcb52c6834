"""The host names of an emulator: requests that a foreign page makes a browser send are refused."""

import ipaddress
import re
from collections.abc import Iterable

from retab_orchestration.emulator.serving.wire import Refusal, Request, Response

__all__ = ["AllowedHosts", "names_allowed"]

_LOOPBACK = ("localhost", ".localhost")

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class AllowedHosts:
    """The allowed `Host` names of an emulator.

    Args:
        allow_hosts: Names besides those of loopback; IP addresses are always allowed, since a page cannot make a name
            of its own resolve to this machine that way.

    Raises:
        ValueError: when one of them is not a host name.
    """

    def __init__(self, allow_hosts: Iterable[str] = ()) -> None:
        if isinstance(allow_hosts, str):
            message = f"allow_hosts is {allow_hosts!r}: use a list of names, such as [{allow_hosts!r}]"
            raise ValueError(message)  # noqa: TRY004 - as for the other settings
        names = list(allow_hosts)
        for name in names:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ValueError(
                    f"allow_hosts has {name!r}: use host names without a port, such as 'retab.test'"
                )
        self._names = {_LOOPBACK[0], *map(str.lower, names)}

    def check(self, request: Request) -> Response | None:
        """Refuse requests that no client sends.

        Raises:
            Refusal: 403 for a `Host` that is not allowed, and for an `Origin` where only programs and our own pages are
                meant to ask.
        """
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host and not self._allows(_name(host)):
            raise Refusal(403, "This Host is not allowed: start the emulator with --allow-host and its name")
        if origin is None or request.path.startswith("/v1/"):  # a page has no key, so it gets no answer there
            return None
        if request.path.startswith("/_emulator/") or origin.partition("://")[2] != host:
            raise Refusal(403, "Requests from pages are not taken here: leave the Origin header out")
        return None

    def _allows(self, name: str) -> bool:
        if name in self._names or name.endswith(_LOOPBACK[1]):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def names_allowed(host: str, allow_hosts: Iterable[str]) -> Iterable[str]:
    """Return the allowed names, and the one that the emulator listens on, if it is a name."""
    return allow_hosts if isinstance(allow_hosts, str) or ":" in host or not host else (*allow_hosts, host)


def _name(host: str) -> str:
    """Return the name in a `Host` header, in lower case and without its port."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).removesuffix(".")
