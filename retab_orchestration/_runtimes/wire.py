"""What both runtimes do alike: one httpx request from ours, one answer and one failure back, and the clocks."""

import functools
import logging
import os
import random
import ssl
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

import httpx

from retab_orchestration import errors
from retab_orchestration._http import Request, Response
from retab_orchestration.policies import Pace
from retab_orchestration.settings import Settings

__all__ = ["Clocks", "Flight", "answer_of", "client_options", "is_secure", "made", "sending", "tls"]

# Bytes of a body that may have been too many for the server.
_MANY = 24 * 1024 * 1024

# The request being sent is ours, so httpx's line about it stays out of the host's task log.
_ours: ContextVar[bool] = ContextVar("retab_orchestration_sending", default=False)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not _ours.get()


logging.getLogger("httpx").addFilter(_is_not_ours)


@functools.cache
def tls(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context, made once per process: reading the certificate authorities takes 40 ms."""
    if isinstance(verify, bool):
        return httpx.create_ssl_context(verify=verify)
    place = Path(verify)
    try:
        return ssl.create_default_context(
            cafile=None if place.is_dir() else verify, capath=verify if place.is_dir() else None
        )
    except OSError as error:
        raise errors.ConfigurationError(
            f"verify names no readable certificate authorities: {verify} ({error})"
        ) from error


def is_secure(request: Request, settings: Settings) -> bool:
    """Tell whether a request is sent over TLS; a signed address may be so although the API itself is not."""
    return urlsplit(request.signed_url or settings.base_url).scheme != "http"


def client_options(settings: Settings, *, fresh: bool, secure: bool) -> dict[str, Any]:
    plain = not secure and not settings.proxy and not urllib.request.getproxies()
    return {
        "verify": tls(verify=False if plain else cast("bool | str", settings.verify)),
        "proxy": settings.proxy,
        "limits": httpx.Limits(
            max_connections=100, max_keepalive_connections=0 if fresh else 20, keepalive_expiry=30.0
        ),
    }


def _url(request: Request) -> httpx.URL:
    return httpx.URL(request.base_url + request.path, params=list(request.query) or None)


def _headers(request: Request) -> dict[str, str]:
    described = (
        {"Content-Type": request.body.content_type, "Content-Length": str(request.body.length)}
        if request.body
        else {}
    )
    return {"Accept": "application/json", "User-Agent": "retab-orchestration", **described, **request.headers}


def made(
    client: httpx.Client | httpx.AsyncClient,
    request: Request,
    settings: Settings,
    content: Iterator[bytes] | AsyncIterator[bytes] | None,
) -> httpx.Request:
    """Return what httpx sends for a request of ours."""
    seconds = settings.timeout if request.timeout is None else min(request.timeout, settings.timeout)
    # Waiting for a free connection is no failure: those in use have time limits of their own.
    timeout = httpx.Timeout(seconds, pool=None)
    if request.signed_url is None:
        url, headers = _url(request), _headers(request)
        return client.build_request(request.method, url, headers=headers, content=content, timeout=timeout)
    # What the client would add to every request, such as Accept, is not among the headers that were signed.
    headers = {"Content-Length": str(request.body.length if request.body else 0), **request.headers}
    return httpx.Request(
        request.method,
        request.signed_url,
        headers=headers,
        content=content,
        extensions={"timeout": timeout.as_dict()},
    )


def answer_of(response: httpx.Response) -> Response:
    return Response(
        response.status_code,
        response.content,
        {name.lower(): value for name, value in response.headers.items()},
    )


@dataclass
class Flight:
    """A request on its way."""

    request: Request
    is_whole: bool
    """Whether the connection has taken all of it. Nobody can act on half a body, so what breaks before is harmless."""

    @property
    def broke(self) -> dict[str, Any]:
        """What is to be said of a connection that broke by now."""
        return {"method": self.request.method, "path": self.request.path, "sent": self.is_whole}

    @property
    def hint(self) -> str:
        """Why the connection may have been closed in the middle of a body."""
        body = self.request.body
        if self.is_whole or body is None or body.length < _MANY:
            return ""
        return f"; the request has {body.length / 1024**2:.0f} MiB, and Retab takes about 32 MiB"


@contextmanager
def sending(request: Request) -> Iterator[Flight]:
    """Turn httpx's failures into ours and keep its log line away while one request is sent."""
    quiet = _ours.set(True)
    facts: dict[str, Any] = {"method": request.method, "path": request.path}
    flight = Flight(request, is_whole=request.body is None)
    try:
        yield flight
    except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise errors.ApiTimeoutError(
            "no connection in time; check base_url and the network", sent=False, **facts
        ) from error
    except (httpx.ConnectError, httpx.ProxyError) as error:
        place = request.base_url or "the place where Retab takes documents"
        text = f"no connection to {place} ({error}); check base_url, the proxy and the network"
        raise errors.ApiConnectionError(text, sent=False, **facts) from error
    except httpx.TimeoutException as error:
        raise errors.ApiTimeoutError(
            "no answer in time; try again later, or raise timeout", **flight.broke
        ) from error
    except httpx.DecodingError as error:
        raise errors.UnreadableAnswerError("the answer's compression is broken", **facts) from error
    except httpx.InvalidURL:
        text = "the server gave an address for the document that is none"
        raise errors.UnreadableAnswerError(text, **facts) from None
    except httpx.RequestError as error:
        when = "before the answer was read" if flight.is_whole else "while the request was being sent"
        text = f"the connection broke {when} ({type(error).__name__}){flight.hint}"
        raise errors.ApiConnectionError(text, **flight.broke) from error
    finally:
        _ours.reset(quiet)


class Clocks:
    """The clocks and chance of this machine, and the account's share of requests."""

    _paces: ClassVar[dict[Settings, Pace]] = {}
    _pacing: ClassVar[threading.Lock] = threading.Lock()

    def turn(self, settings: Settings) -> float:
        """Return in how many seconds the next request may be sent, whoever of this process sends it."""
        if settings.requests_per_second is None:
            return 0.0
        with self._pacing:
            return self._paces.setdefault(settings, Pace(settings.requests_per_second)).turn(self.now())

    @classmethod
    def unlock(cls) -> None:
        """Forget who holds the lock."""
        Clocks._pacing = threading.Lock()

    def now(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def chance(self) -> float:
        return random.random()  # noqa: S311  it spreads requests out, it keeps no secret


# A lock that another thread held while the process forked would never be released in the child.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=Clocks.unlock)
