"""Where a document may be sent, and from where it may be fetched: the rules for the addresses that a server signs."""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, NoReturn
from urllib.parse import SplitResult, urlsplit

from retab_orchestration.errors import DownloadNotAllowedError, UploadNotAllowedError
from retab_orchestration.settings import Settings

__all__ = ["check_address", "checked_headers", "checked_method"]

_METHODS = frozenset({"PUT", "POST"})

# Headers about the framing of a request, or about the connection: no signature needs them.
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOST_HEADER_CHARACTERS = 16 * 1024

# The metadata services, which give a machine its secrets: AWS, Google, Azure, Alibaba, Oracle.
_METADATA_HOSTS = frozenset({"instance-data", "instance-data.ec2.internal", "metadata", "metadata.goog"})
_METADATA_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = (
    *map(IPv4Network, ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")),
    *map(IPv6Network, ("fd00:ec2::/32", "fd20:ce::/32")),
)
# Prefixes under which an IPv6 address has an IPv4 address in its last 32 bits: mapped, compatible, translated.
_WITH_IPV4 = tuple(
    map(IPv6Network, ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"))
)
# The prefix of an IPv4 address in the last 64 bits of an ISATAP address.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


Use = Literal["upload", "download"]


def _refuse(rule: str, text: str, use: Use = "upload") -> NoReturn:
    if use == "download":
        raise DownloadNotAllowedError(
            f"the server wants a document fetched {text} (rule: {rule}); nothing was sent there", method="GET"
        )
    raise UploadNotAllowedError(
        f"the server wants a document sent {text} (rule: {rule}); nothing was sent there",
        method="POST",
        path="/v1/files/upload",
    )


def checked_method(method: str) -> str:
    """Return the method to upload with.

    Raises:
        UploadNotAllowedError: It is neither PUT nor POST.
    """
    if method.upper() not in _METHODS:
        _refuse(
            "method",
            "with a method other than PUT and POST: check that base_url is Retab's API, and that no proxy rewrites "
            "its answers",
        )
    return method.upper()


def checked_headers(headers: Mapping[str, str], url: str, length: int) -> dict[str, str]:
    """Return the headers to upload with, without those that are sent anyway.

    Args:
        headers: Those that the server gave.
        url: The signed address.
        length: Bytes of the document.

    Raises:
        UploadNotAllowedError: One is about framing, or is no header.
    """
    place = urlsplit(url)
    kept: dict[str, str] = {}
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not (value.isascii() and value.replace("\t", " ").isprintable()):
            _refuse("header", "with a header that is none: check that no proxy rewrites the server's answers")
        said = name.lower()
        if (said, value.strip()) == ("content-length", str(length)) or (
            said == "host" and value.strip().lower() in _own_names(place)
        ):
            continue
        if said in _FRAMING:
            _refuse(
                "header",
                f"with a {said} header of its own, and that is for the connection to say: check that base_url is "
                "Retab's API, and that no proxy rewrites its answers",
            )
        kept[name] = value.strip()
    if sum(len(name) + len(value) for name, value in kept.items()) > _MOST_HEADER_CHARACTERS:
        _refuse(
            "header", f"with headers of more than {_MOST_HEADER_CHARACTERS} characters: report it to Retab"
        )
    return kept


def _own_names(place: SplitResult) -> set[str]:
    """Return the allowed values of a `Host` header for an address."""
    host = f"[{place.hostname}]" if ":" in (place.hostname or "") else place.hostname or ""
    default = {"https": 443, "http": 80}[place.scheme]
    port = place.port or default
    return {f"{host}:{port}", host} if port == default else {f"{host}:{port}"}


@dataclass(frozen=True)
class _Host:
    """A host in a form that can be compared: a name in lower case without its last dot, or a normal IP address."""

    name: str
    address: IPv4Address | IPv6Address | None

    @classmethod
    def of(cls, host: str) -> "_Host":
        address = _literal(host)
        return cls(str(address) if address else host.rstrip(".").lower(), address)

    @property
    def is_forbidden(self) -> bool:
        """Whether it is link-local, multicast, unspecified, or a metadata service."""
        if self.address is None:
            return self.name in _METADATA_HOSTS or self.name.startswith("metadata.google.")
        return any(
            each.is_link_local
            or each.is_multicast
            or each.is_unspecified
            or any(each in network for network in _METADATA_NETWORKS)
            for each in _meant(self.address)
        )


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address of a host in any notation that a resolver takes; None for a name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))  # 2852039166, 0xa9fea9fe, 0251.0376.43518
    except OSError:
        return None


def _meant(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return an address, and the IPv4 addresses that it contains or is reached through."""
    if isinstance(address, IPv4Address):
        return [address]
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    has_last = any(address in network for network in _WITH_IPV4) and int(address) > 1
    is_isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    inner = [address.sixtofour, *(address.teredo or ()), last if has_last or is_isatap else None]
    return [address, *(each for each in inner if each is not None)]


def check_address(url: str, settings: Settings, use: Use = "upload") -> None:
    """Refuse an address to which no document may be sent, or from which none may be fetched.

    Raises:
        UploadNotAllowedError: It is less safe than `base_url`, of this machine's network or cloud, or not in
            `upload_hosts`.
        DownloadNotAllowedError: The same, for a document that is to be fetched.
    """
    way = "to" if use == "upload" else "from"
    target, api = urlsplit(url), urlsplit(settings.base_url)
    place = _Host.of(target.hostname or "")
    there, plain = f"{way} {place.name}", f"{way} http://{place.name}"
    if target.scheme == "http" and api.scheme == "https":
        _refuse(
            "scheme",
            f"{plain}, without TLS, while base_url has it: set base_url to Retab's own, and see that no "
            "proxy rewrites its answers",
            use,
        )
    if place.is_forbidden:
        _refuse(
            "address",
            f"{there}, which is of this machine's network or cloud and no storage: set base_url to Retab's own",
            use,
        )
    if target.scheme == "http" and place.name != _Host.of(api.hostname or "").name:
        _refuse(
            "scheme",
            f"{plain}, without TLS and {way} another host than that of base_url: give the storage TLS, or "
            "the host of base_url",
            use,
        )
    if settings.upload_hosts is not None and not _is_among(settings.upload_hosts, place.name, target):
        _refuse(
            "host",
            f"{there}, which is not among upload_hosts: add it there if it is where Retab keeps documents",
            use,
        )


def _is_among(hosts: tuple[str, ...], name: str, target: SplitResult) -> bool:
    port = target.port or {"https": 443, "http": 80}[target.scheme]
    for allowed in hosts:
        host, _, only = allowed.rpartition(":") if re.search(r":\d+$", allowed) else (allowed, "", "")
        if only and int(only) != port:
            continue
        if name == _Host.of(host.strip("[]")).name or (host.startswith("*.") and name.endswith(host[1:])):
            return True
    return False
