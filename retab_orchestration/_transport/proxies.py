"""Which proxy serves an address, and how a proxy is asked for a tunnel; never a socket."""

import base64
import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from retab_orchestration.errors import ConfigurationError

__all__ = [
    "Proxies",
    "Proxy",
    "ProxyOptions",
    "TunnelAnswer",
    "read_exceptions",
    "read_proxy",
    "tunnel_request",
]

_PORTS = {"http": 80, "https": 443}

# Bytes of a proxy's answer to CONNECT.
_LARGEST_HEAD = 64 * 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
# Of NO_PROXY: a network in CIDR, and a port.
_NETWORK_AND_PORT = re.compile(r"(\[?[0-9a-f:.]+/\d{1,3}\]?):(\d{1,5})")
_BLANK_LINE = re.compile(rb"\n\r?\n")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy."""

    scheme: str
    """The scheme of its own address: http or https."""
    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)
    """The value of Proxy-Authorization."""


@dataclass(frozen=True, slots=True)
class _Exception:
    """One entry of NO_PROXY."""

    scheme: str | None
    """Only this scheme, None for both."""
    host: str
    """A host in lower case, or the ending of its name."""
    port: int | None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    below: bool
    """Whether it covers hosts whose names end with it."""
    itself: bool
    """Whether it covers the host itself."""

    def covers(self, scheme: str, host: str, port: int) -> bool:
        if self.scheme not in {None, scheme} or self.port not in {None, port}:
            return False
        if self.network is not None:
            try:
                return ipaddress.ip_address(host) in self.network
            except ValueError:
                return False
        return (self.itself and host == self.host) or (self.below and host.endswith("." + self.host))


@dataclass(frozen=True, slots=True)
class Proxies:
    """Which proxy serves which address."""

    http: Proxy | None = None
    https: Proxy | None = None
    exceptions: tuple[_Exception, ...] = ()

    def serving(self, scheme: str, host: str, port: int | None) -> Proxy | None:
        """Return the proxy for an address; None for a direct connection."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None:
            return None
        name = host.lower().rstrip(".")
        at = _PORTS[scheme] if port is None else port
        return None if any(each.covers(scheme, name, at) for each in self.exceptions) else proxy


def read_proxy(text: str, source: str) -> Proxy:
    """Read the address of a proxy.

    Args:
        text: The address; without a scheme it is http.
        source: Where it was set, for the error: the address may have a password in it.

    Raises:
        ConfigurationError: It is not an address.
    """
    advice = "it must look like http://host:port or https://host:port"
    try:
        parts = urlsplit(text.strip() if "://" in text else "http://" + text.strip())
        scheme, host = parts.scheme, parts.hostname
        port = _PORTS.get(scheme, 0) if parts.port is None else parts.port
        name = host.encode("ascii" if host.isascii() else "idna").decode() if host else ""
    except ValueError:
        raise ConfigurationError(f"{source} has no usable host or port: {advice}") from None
    if scheme not in _PORTS:
        kind = "SOCKS proxies are not supported" if scheme.startswith("socks") else "it has an unknown scheme"
        raise ConfigurationError(f"{source}: {kind}; {advice}")
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", name) or not port:
        raise ConfigurationError(f"{source} has no usable host or port: {advice}")
    if parts.username is None and parts.password is None:
        return Proxy(scheme, name, port)
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return Proxy(scheme, name, port, b"Basic " + base64.b64encode(user.encode(errors="surrogateescape")))


def read_exceptions(text: str, source: str) -> tuple[_Exception, ...] | None:
    """Read the addresses that are connected to without a proxy; None means all of them.

    Args:
        text: Hosts with commas or spaces between: names (and what is below them), `.below.only`, IP addresses,
            networks, each with a port or without, or `*`.
        source: Where it was set, for the error.

    Raises:
        ConfigurationError: An entry is none of these.
    """
    entries = [entry.lower() for entry in re.split(r"[\s,]+", text) if entry]
    if "*" in entries:
        return None
    return tuple(_read_exception(entry, source) for entry in entries)


def _read_exception(entry: str, source: str) -> _Exception:
    scheme, _, rest = entry.rpartition("://")
    meant = None if scheme in {"", "all"} else scheme
    network = _network(rest.strip("[]") if rest.startswith("[") == rest.endswith("]") else rest)
    if network is not None:
        return _Exception(meant, rest, None, network, below=False, itself=True)
    if with_port := _NETWORK_AND_PORT.fullmatch(rest):
        network = _network(with_port[1].strip("[]"))
        if network is not None:
            return _Exception(meant, rest, int(with_port[2]), network, below=False, itself=True)
    try:
        parts = urlsplit("//" + rest)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host:
        raise ConfigurationError(
            f"{source}: {entry[:60]!a} is no host; it must be a list such as "
            "localhost,.internal,10.0.0.0/8,[::1]:8080"
        )
    network = _network(host)
    bare = host.lstrip("*").lstrip(".").rstrip(".")
    exact = bool(scheme) or bare == "localhost"
    return _Exception(
        meant, bare, port, network, below=not exact or host != bare, itself=not host.startswith((".", "*."))
    )


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def tunnel_request(proxy: Proxy, host: str, port: int) -> bytes:
    """Return the request that asks a proxy for a tunnel to a server."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1".encode(), b"Host: " + target.encode()]
    if proxy.authorization is not None:
        lines.append(b"Proxy-Authorization: " + proxy.authorization)
    return b"\r\n".join([*lines, b"", b""])


@dataclass(frozen=True)
class ProxyOptions:
    """How connections of one kind are opened."""

    proxy: Proxy | None
    """The proxy to connect through; None for none."""
    tls: ssl.SSLContext | None
    """The TLS context for a proxy that is connected to over TLS."""
    tunnels: bool
    """Whether the proxy is asked for a tunnel, because the server is connected to over TLS."""


class TunnelAnswer:
    """A proxy's answer to that request, part by part."""

    def __init__(self) -> None:
        self._head = b""

    def is_whole(self, part: bytes) -> bool:
        """Add a part of the answer; return True if the tunnel is open, False if the answer goes on.

        Raises:
            ValueError: The proxy refused; the message says why, in our own words.
        """
        if not part:
            raise ValueError("the proxy closed the connection")
        self._head += part
        end = _BLANK_LINE.search(self._head)
        if end is None:
            if len(self._head) > _LARGEST_HEAD:
                raise ValueError("the proxy's answer has too many headers")
            return False
        status = _STATUS_LINE.match(self._head)
        if status is None:
            raise ValueError("the proxy does not answer in HTTP/1.1")
        if not status[1].startswith(b"2"):
            raise ValueError(f"the proxy answered HTTP {status[1].decode()}")
        if end.end() < len(self._head):
            raise ValueError("the proxy sent more than its answer")
        return True
