"""The outside world in memory: the network is the emulator's core, and time passes only while somebody sleeps."""

import math
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from retab_orchestration import ApiConnectionError, ApiTimeoutError
from retab_orchestration._http import Request, Response
from retab_orchestration.emulator import Request as WireRequest
from retab_orchestration.emulator import Service

START = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
TIMEOUT = 60.0
"""Seconds after which a client gives up on a request that is held."""


class Clock:
    def __init__(self):
        self.time = START

    def __call__(self):
        return self.time


class FakeRuntime:
    """Never suspends, so it serves both colours."""

    def __init__(self, service: Service, clock: Clock):
        self.service = service
        self.clock = clock
        self.slept = []
        self.sent = []
        self.sent_at = []
        """When, on the clock of `now`."""
        self.off_loop_calls = 0
        self.release_after = None
        """How many requests may pass before what is held goes on; None is until the test releases it."""
        self._held_at = 0

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        self.sent_at.append(self.now())
        if self.release_after is not None and len(self.sent) - self._held_at > self.release_after:
            self.service.faults.release()
        body = b"".join(request.body.iter_with_progress()) if request.body else b""
        assert request.body is None or request.body.length == len(body)
        self._keep(request, body)
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers.setdefault("host", urlsplit(request.signed_url or request.base_url).netloc)
        place, query = request.path, list(request.query)
        if request.signed_url is not None:
            place, query = urlsplit(request.signed_url).path, parse_qsl(urlsplit(request.signed_url).query)
        wire = WireRequest(request.method, place, query, headers, body)
        fault = self.service.faults.take(wire)
        if fault is None or fault.kind == "no_resume":
            return self._answered(wire)
        if fault.response() is not None:
            return self._read(fault.response())
        if fault.kind == "reset_before":
            raise ApiConnectionError("reset", sent=True)
        if fault.kind.startswith("hold_"):
            self._hold(fault.kind, request, wire)
        self.clock.time += min(fault.seconds, request.timeout or TIMEOUT)
        answer = self._answered(wire)
        if fault.kind == "slow":
            return answer
        raise (ApiTimeoutError if fault.kind == "timeout_after" else ApiConnectionError)(fault.kind)

    def _keep(self, request, body):
        """Keep what was sent: a document's copy is gone when its create has ended."""
        if request.body is not None:
            self.sent[-1] = replace(request, body=replace(request.body, chunks=lambda: iter([body])))

    def _hold(self, kind, request, wire):
        """Answer nothing in time; a request that is held before it is acted on takes effect at the release."""
        self._held_at = len(self.sent)
        if kind == "hold_after":
            self._answered(wire)
        else:
            self.service.faults.hold(lambda: self.service.handle(wire))
        self.clock.time += min(request.timeout or TIMEOUT, TIMEOUT)
        raise ApiTimeoutError(kind)

    def _answered(self, wire):
        return self._read(self.service.handle(wire))

    @staticmethod
    def _read(response):
        return Response(response.status, response.body, response.headers)

    def hold_connections(self):
        return None

    async def off_loop(self, work, *, slow=False):
        self.off_loop_calls += 1
        return work()

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.clock.time += seconds

    @asynccontextmanager
    async def lock(self, name, seconds=math.inf):
        yield

    def now(self):
        return self.clock.time - START

    def utc(self):
        return datetime.fromtimestamp(self.clock.time, UTC)

    def chance(self):
        return 0.0

    @property
    def requests(self):
        return [f"{request.method} {request.path}" for request in self.sent]


class ScriptedRuntime(FakeRuntime):
    """Answers from a list instead: a `Response`, or an error to raise."""

    def __init__(self, *answers):
        super().__init__(None, Clock())
        self.answers = list(answers)

    async def send(self, request):
        self.sent.append(request)
        self.sent_at.append(self.now())
        self.bodies = [*getattr(self, "bodies", []), b"".join(request.body.chunks()) if request.body else b""]
        self._keep(request, self.bodies[-1])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
