"""What both runtimes have in common: addresses, headers, and the options of connection pools."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlencode

import httpcore
import httpx

from retab_orchestration._http import Request
from retab_orchestration._transport.environment import read_proxies, tls
from retab_orchestration._transport.exchange import Limits
from retab_orchestration._transport.proxies import Proxy, ProxyOptions
from retab_orchestration._transport.responses import ACCEPTED
from retab_orchestration._version import __version__
from retab_orchestration.errors import ConfigurationError, UnreadableAnswerError
from retab_orchestration.settings import Settings

__all__ = ["IdlePools", "Kind", "Transport", "has_surplus"]

P = TypeVar("P")

# Pools that are kept while no request has them, and for how many seconds.
_KEPT = 32
_KEPT_FOR = 30.0

_USER_AGENT = f"retab-orchestration/{__version__}"


@dataclass(frozen=True, slots=True)
class Kind:
    """What connections must have in common to serve the same request."""

    new_connection: bool
    """Whether each request has a connection of its own."""
    secure: bool
    """Whether the server is connected to over TLS; a signed address may be although the API is not."""
    proxy: Proxy | None


@dataclass(frozen=True, slots=True)
class _Address:
    """An address."""

    scheme: bytes
    host: bytes
    port: int | None
    name: bytes
    """Host and port, as in an address."""
    target: bytes

    @classmethod
    def read(cls, url: str) -> "_Address":
        """Read an address.

        Raises:
            httpx.InvalidURL: It is not an address.
        """
        read = httpx.URL(url)
        return cls(read.raw_scheme, read.raw_host, read.port, read.netloc, read.raw_path)


class IdlePools(Generic[P]):
    """Pools that no request has at this moment, the one that was used last at the end.

    A request has its pool for itself, and gives it back when its answer is read. One that was interrupted before is
    never used again: nobody knows what it would answer next, and where a task is cancelled, httpcore may take its
    connection for one that is in use for ever. Neither threads nor handlers of signals wait for each other.
    """

    def __init__(self) -> None:
        self._pools: deque[tuple[P, float]] = deque()

    def take(self) -> P | None:
        """Return the pool that was used last; None where there is none."""
        try:
            return self._pools.pop()[0]
        except IndexError:
            return None

    def keep(self, pool: P, now: float) -> None:
        """Take a pool back."""
        self._pools.append((pool, now + _KEPT_FOR))

    def surplus(self, now: float) -> Iterator[P]:
        """Take out those that are too many, or were used too long ago; all of them, if it is late enough."""
        with suppress(IndexError):  # another thread may be faster
            while len(self._pools) > _KEPT or self._pools[0][1] <= now:
                yield self._pools.popleft()[0]


class Transport:
    """The address of one account's server, the proxies, and the requests as httpcore takes them.

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
        """Return the address of a request, and the kind of connection that it needs.

        Raises:
            UnreadableAnswerError: The server gave an address that is none.
        """
        if request.signed_url is None:
            return self._home, self._home_kinds[request.new_connection]
        with suppress(httpx.InvalidURL):
            address = _Address.read(request.signed_url)
            # Reading a proxy's name raises no InvalidURL.
            return address, self._kind(address, new_connection=request.new_connection)
        text = "the server gave an address for the document that is none"
        raise UnreadableAnswerError(text, method=request.method, path=request.path)

    def _kind(self, address: _Address, *, new_connection: bool) -> Kind:
        proxy = self._proxies.serving(address.scheme.decode(), address.host.decode(), address.port)
        return Kind(new_connection, address.scheme != b"http", proxy)

    def pool_options(self, kind: Kind, backend: Callable[[ProxyOptions], Any]) -> dict[str, Any]:
        """Return the options of a pool of connections.

        Args:
            kind: The kind of its connections.
            backend: The class of its network backend.

        Raises:
            ConfigurationError: The certificate authorities cannot be read.
        """
        proxy_tls = tls(verify=True) if kind.proxy is not None and kind.proxy.scheme == "https" else None
        verify = cast("bool | str", self._settings.verify) if kind.secure else False
        return {
            "ssl_context": tls(verify),  # without TLS as well, or httpcore makes one, which takes 40 ms
            "max_keepalive_connections": 0 if kind.new_connection else None,
            "keepalive_expiry": _KEPT_FOR,
            "network_backend": backend(ProxyOptions(kind.proxy, proxy_tls, tunnels=kind.secure)),
        }

    def build(
        self,
        request: Request,
        address: _Address,
        kind: Kind,
        content: Iterator[bytes] | AsyncIterator[bytes] | None,
        limits: Limits,
    ) -> httpcore.Request:
        """Return a request as httpcore takes it.

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
    """Return the headers of a request; its own replace ours of the same name."""
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
    # A request to a signed address has just the headers that were signed.
    if request.body is not None or request.method in {"POST", "PUT", "PATCH"}:
        headers["Content-Length"] = str(request.body.length if request.body else 0)
    for name in request.headers:
        headers.pop(name.title(), None)
    with suppress(UnicodeEncodeError, AttributeError):
        return [
            (name.encode("ascii"), value.encode())
            for name, value in [*headers.items(), *request.headers.items()]
        ]
    # Outside of the `except`, because the failure has the header in it.
    text = "the server gave headers for the document that cannot be sent"
    raise UnreadableAnswerError(text, method=request.method, path=request.path)


def has_surplus(response: httpcore.Response) -> bool:
    """Return whether more was received than the answer, which would be taken for the next answer.

    httpcore does not tell, and keeps the bytes. Where they cannot be seen, the connection is not kept.
    """
    stream = getattr(response.stream, "_stream", None)
    state = getattr(getattr(stream, "_connection", None), "_h11_state", None)
    return state is None or bool(state.trailing_data[0])
