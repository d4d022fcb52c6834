"""What both colours send alike: addresses, headers, and the pools of connections that lead there."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

import httpcore
import httpx

from retab_orchestration._http import Request
from retab_orchestration._transport.environment import read_proxies, tls
from retab_orchestration._transport.proxies import Proxy
from retab_orchestration._transport.responses import ACCEPTED
from retab_orchestration._transport.time_limits import Limits
from retab_orchestration._version import __version__
from retab_orchestration.errors import ConfigurationError, UnreadableAnswerError
from retab_orchestration.settings import Settings

__all__ = ["Kind", "Transport", "has_surplus"]

# Connections of one pool that are kept, and for how many seconds.
_KEPT = 20
_KEPT_FOR = 30.0

_USER_AGENT = f"retab-orchestration/{__version__}"


@dataclass(frozen=True, slots=True)
class Kind:
    """What connections have in common that may serve the same request."""

    new_connection: bool
    """Whether each request has one of its own."""
    secure: bool
    """Whether the server is spoken to over TLS; a signed address may be so although the API itself is not."""
    proxy: Proxy | None


@dataclass(frozen=True, slots=True)
class _Address:
    """An address."""

    scheme: bytes
    host: bytes
    port: int | None
    name: bytes
    """Host and port, as they are written in an address."""
    target: bytes

    @classmethod
    def read(cls, url: str) -> "_Address":
        """Read an address.

        Raises:
            httpx.InvalidURL: It is none.
        """
        read = httpx.URL(url)
        return cls(read.raw_scheme, read.raw_host, read.port, read.netloc, read.raw_path)


class Transport:
    """The ways to one account's server, and to wherever it has documents sent.

    Args:
        settings: The account.

    Raises:
        ConfigurationError: A proxy, or the address of the server, is unusable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._proxies = read_proxies(settings.proxy)
        try:
            self._home = _Address.read(settings.base_url)
        except httpx.InvalidURL:
            raise ConfigurationError("base_url has a host or a path that no address has") from None
        self._prefix = self._home.target.rstrip(b"/").decode()
        self._home_kinds = {new: self._kind(self._home, new_connection=new) for new in (False, True)}

    def route(self, request: Request) -> tuple[_Address, Kind]:
        """Return where a request goes, and what kind of connection it needs.

        Raises:
            UnreadableAnswerError: The server gave an address that is none.
        """
        if request.signed_url is None:
            return self._home, self._home_kinds[request.new_connection]
        with suppress(httpx.InvalidURL):
            address = _Address.read(request.signed_url)
            # What reads a proxy's name raises nothing of the kind.
            return address, self._kind(address, new_connection=request.new_connection)
        text = "the server gave an address for the document that is none"
        raise UnreadableAnswerError(text, method=request.method, path=request.path)

    def _kind(self, address: _Address, *, new_connection: bool) -> Kind:
        proxy = self._proxies.serving(address.scheme.decode(), address.host.decode(), address.port)
        return Kind(new_connection, address.scheme != b"http", proxy)

    def pool_options(self, kind: Kind, backend: Callable[..., Any]) -> dict[str, Any]:
        """Return the options of a pool of connections.

        Args:
            kind: Of the connections.
            backend: The class of its network backend.

        Raises:
            ConfigurationError: There are no certificate authorities to be read.
        """
        proxy_tls = tls(verify=True) if kind.proxy is not None and kind.proxy.scheme == "https" else None
        verify = cast("bool | str", self._settings.verify) if kind.secure else False
        return {
            "ssl_context": tls(verify),  # without TLS as well, or httpcore makes one, which takes 40 ms
            "max_connections": 100,
            "max_keepalive_connections": 0 if kind.new_connection else _KEPT,
            "keepalive_expiry": _KEPT_FOR,
            "network_backend": backend(kind.proxy, proxy_tls, tunnels=kind.secure),
        }

    def build(
        self,
        request: Request,
        address: _Address,
        kind: Kind,
        content: Iterator[bytes] | AsyncIterator[bytes] | None,
        limits: Limits,
    ) -> httpcore.Request:
        """Return what httpcore sends for a request of ours.

        Raises:
            UnreadableAnswerError: The server gave headers that cannot be sent.
        """
        target = address.target
        if request.signed_url is None:
            query = f"?{urlencode(request.query)}" if request.query else ""
            target = f"{self._prefix}{request.path}{query}".encode()
        headers = _headers(request, address)
        if kind.proxy is not None and not kind.secure:
            target = address.scheme + b"://" + address.name + target
            if kind.proxy.authorization is not None:
                headers.append((b"Proxy-Authorization", kind.proxy.authorization))
        timeout = {"connect": limits, "read": limits, "write": limits, "pool": request.timeout}
        return httpcore.Request(
            request.method,
            httpcore.URL(scheme=address.scheme, host=address.host, port=address.port, target=target),
            headers=headers,
            content=content,
            extensions={"timeout": timeout},
        )


def _headers(request: Request, address: _Address) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request; those that it came with take the place of ours of the same name."""
    headers = {"Host": address.name.decode()}
    if request.signed_url is None:
        headers |= {
            "Accept": "application/json",
            "Accept-Encoding": ACCEPTED,
            "Connection": "keep-alive",
            "User-Agent": _USER_AGENT,
        }
        if request.body is not None:
            headers["Content-Type"] = request.body.content_type
    # What goes to a signed address has just the headers that were signed.
    if (
        request.body is not None
        or request.signed_url is not None
        or request.method in {"POST", "PUT", "PATCH"}
    ):
        headers["Content-Length"] = str(request.body.length if request.body else 0)
    for name in request.headers:
        headers.pop(name.title(), None)
    with suppress(UnicodeEncodeError, AttributeError):
        return [
            (name.encode("ascii"), value.encode())
            for name, value in [*headers.items(), *request.headers.items()]
        ]
    # Out here, for what failed has the header in it.
    text = "the server gave headers for the document that cannot be sent"
    raise UnreadableAnswerError(text, method=request.method, path=request.path)


def has_surplus(response: httpcore.Response) -> bool:
    """Tell whether more came in than the answer, which is read to its end: the next request would be answered with it.

    httpcore does not say, and keeps it for the next answer. Where it cannot be seen, the connection is not kept.
    """
    stream = getattr(response.stream, "_stream", None)
    state = getattr(getattr(stream, "_connection", None), "_h11_state", None)
    return state is None or bool(state.trailing_data[0])
