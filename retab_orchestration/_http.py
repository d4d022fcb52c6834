"""Request, Response and Call, and the Runtime that sends them; never a socket."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

__all__ = ["Body", "Call", "Request", "Response", "Runtime", "SharedRuntime", "Sink", "path"]

T = TypeVar("T")


# Python reads NaN and Infinity as well, which are no JSON, and which many databases refuse: null stands for them.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def path(template: str, **ids: str) -> str:
    """Fill a route template such as `/v1/workflows/runs/{run_id}`, percent-encoding every id."""
    return template.format(**{name: quote(value, safe="") for name, value in ids.items()})


@dataclass(frozen=True)
class Body:
    """A request body that is produced piece by piece, as often as it is sent."""

    length: int
    """Bytes in all; it is sent as Content-Length."""
    chunks: Callable[[], Iterator[bytes]]
    content_type: str = "application/json"
    on_sent: Callable[[int], None] | None = None
    """Called with how many bytes the connection has taken, after every piece."""

    def iter_with_progress(self) -> Iterator[bytes]:
        """Yield the pieces for a blocking sender, and call `on_sent` for each after it was sent."""
        sent = 0
        for piece in self.chunks():
            yield piece
            sent += len(piece)
            if self.on_sent is not None:
                self.on_sent(sent)


class Sink(Protocol):
    """Takes in the body of a success piece by piece, where it is too large for memory."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Take in the head of the answer, whose names are in lower case.

        Raises:
            RetabError: The body is not wanted.
        """

    def write(self, piece: bytes) -> None:
        """Take in what came next; this may block."""


@dataclass(frozen=True)
class Request:
    """One HTTP request; `base_url` and the key are added when it is sent."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    base_url: str = ""
    new_connection: bool = False
    """Whether to send it on a new connection: a reused one may be closed at that very moment, and nobody could
    tell whether the request arrived."""
    timeout: float | None = None
    """Seconds that it may take in all, from connecting to the last byte of its answer; None leaves it to the account's
    setting."""
    is_page: bool = False
    """Whether it asks for a page of a list, which may be asked for again with fewer rows if it is too large."""
    sink: Sink | None = field(default=None, repr=False)
    """What takes in the body of a success, which is in no answer then; None where it is read into memory."""
    signed_url: str | None = field(default=None, repr=False)
    """An address on any host, itself a secret, where it is sent with just these headers and without the key; `path`
    then only names it in errors."""


@dataclass(frozen=True)
class Response:
    """One HTTP answer, read to its end; header names are lower-case."""

    status: int
    content: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_cut: bool = False
    """Whether it had a body that was dropped, because it was too large or could not be unpacked."""

    def json(self) -> Any:
        """Return the body as JSON, None for an empty body; ValueError if it is something else."""
        if not self.content:
            return None
        return _DECODER.decode(self.content.decode(json.detect_encoding(self.content), "surrogatepass"))


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request of an operation: what to send, and how to read the answer."""

    request: Request
    read: Callable[[Any], T]
    """Turns the body's JSON into a value; anything it raises means that the answer is not readable."""
    creates: str | None = None
    """The workflow that it starts a run of, so that it must not be repeated after a lost answer; None for the rest."""
    run_id: str | None = None
    """The run that it is about, for errors."""
    is_command: bool = False
    """Whether a create may be sent again, because the server knows it by a `command_id`."""
    search_hint: str = "list_runs(workflow_id={workflow_id!r}, from_date={day!r})"
    """How to search for what a create whose answer was lost may have started, for the error."""
    whole: bool = False
    """Whether `read` takes the `Response` itself instead of its JSON, and builds no models."""
    again: Callable[[], Request] | None = None
    """Makes the request anew for each time that it is sent, where that depends on what came before."""
    since: str = ""
    """The release of the official SDK with which the route came, for errors; empty for one that all servers have."""
    on_read: Callable[[int], None] | None = None
    """Called with the bytes of an answer that was read."""

    def answer(self, response: Response) -> T:
        """Read an answer."""
        value = self.read(response if self.whole else response.json())
        if self.on_read is not None:
            self.on_read(len(response.content))
        return value


class Runtime(Protocol):
    """The network, the clocks and random numbers. The core awaits nothing else."""

    def hold_connections(self) -> "SharedRuntime | None":
        """Return a runtime that keeps the connections of this one open until it is closed; None where calls block."""
        ...

    async def send(self, request: Request) -> Response:
        """Send one request once and read the whole answer, whatever its status.

        Raises:
            ApiConnectionError: No answer; `sent` tells whether the request may have arrived.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        ...

    async def off_loop(self, work: Callable[[], T], *, slow: bool = False) -> T:
        """Run work that takes a while in a thread, where there is a loop; `slow` work may hang on a disk."""
        ...

    def lock(self, name: str, seconds: float = math.inf) -> AbstractAsyncContextManager[None]:
        """Return the lock of this name, which the process has once.

        Raises:
            ApiTimeoutError: On entering: it was held elsewhere for so many seconds.
        """
        ...

    def now(self) -> float:
        """Return seconds on a clock that never goes back; only differences mean anything."""
        ...

    def utc(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    def chance(self) -> float:
        """Return a random number, at least 0 and less than 1."""
        ...


class SharedRuntime(Runtime, Protocol):
    """A runtime that may share its connections with others; the last one to close closes them."""

    async def aclose(self) -> None:
        """Close the connections, unless another runtime uses them."""
        ...
