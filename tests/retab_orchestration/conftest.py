import json

import pytest

from retab_orchestration import AsyncRetabClient, RetabClient, RetryPolicy
from retab_orchestration._blocking import iterate_blocking, run_blocking
from retab_orchestration._http import Response
from retab_orchestration._operations import listing, process_runs, tags
from retab_orchestration._transport import session as sessions
from retab_orchestration._transport.session import Session
from retab_orchestration.emulator import Service
from retab_orchestration.settings import Settings
from tests.retab_orchestration.fake_runtime import Clock, FakeRuntime, ScriptedRuntime
from tests.retab_orchestration.virtual_loop import SharedFakeRuntime, SharedScriptedRuntime, VirtualLoop


@pytest.fixture(autouse=True)
def nothing_found_out_yet():
    sessions._found.clear()
    tags._known.clear()
    tags._created.clear()
    process_runs._own.clear()
    sessions._failures.clear()
    listing._say_failed.clear()


@pytest.fixture
def clock():
    return Clock()


class Awaited:
    """AsyncRetabClient, called as RetabClient is: a fake runtime never suspends, so one body tests both colours."""

    def __init__(self, client):
        self._client = client

    @property
    def _session(self):
        return self._client._session

    def __getattr__(self, name):
        operation = getattr(self._client, name)

        def call(*args, **kwargs):
            result = operation(*args, **kwargs)
            return iterate_blocking(result) if name == "iter_runs" else run_blocking(result)

        return call


class Watched(Awaited):
    """AsyncRetabClient on an event loop, so that its waits share their looks."""

    def __init__(self, client, clock):
        super().__init__(client)
        self._loop = VirtualLoop(clock)

    def __getattr__(self, name):
        operation = getattr(self._client, name)

        def call(*args, **kwargs):
            if self._loop.is_running():  # from within an `on_change`, which nobody awaits
                return getattr(self._aside(), name)(*args, **kwargs)
            result = operation(*args, **kwargs)
            return self._each(result) if name == "iter_runs" else self._loop.run_until_complete(result)

        return call

    def _aside(self):
        runtime = self._session.runtime
        client = AsyncRetabClient("key-1", "http://retab.test")
        client._session = self._session.over(FakeRuntime(runtime.service, runtime.clock))
        return Awaited(client)

    def _each(self, iterator):
        while (item := self._loop.run_until_complete(anext(iterator, None))) is not None:
            yield item


def make_client(colour, runtime, *, api="auto", auth="auto", retry=RetryPolicy()):
    kind = RetabClient if colour == "blocking" else AsyncRetabClient
    client = kind("key-1", "http://retab.test/v1", api=api, auth=auth)
    settings = Settings(api_key="key-1", base_url="http://retab.test", api=api, auth=auth)
    client._session = Session(runtime, settings, retry)
    if colour == "watching":
        return Watched(client, runtime.clock)
    return client if colour == "blocking" else Awaited(client)


@pytest.fixture(params=["blocking", "awaiting", "watching"])
def colour(request):
    return request.param


@pytest.fixture(params=["classic", "current"])
def family(request):
    return request.param


@pytest.fixture
def connect(colour, clock):
    """Build a client on an emulator: `client, runtime = connect(api="classic")`."""

    def build(
        *, server="both", server_auth="both", workflows=(), traits=None, idempotency="compared", **options
    ):
        traits = {"idempotency": idempotency, **(traits or {})}
        service = Service(api=server, clock=clock, auth=server_auth, workflows=workflows, **traits)
        runtime = (SharedFakeRuntime if colour == "watching" else FakeRuntime)(service, clock)
        return make_client(colour, runtime, **options), runtime

    return build


@pytest.fixture
def script(colour):
    """Build a client whose server answers from a list: `client, runtime = script(ok({...}))`."""

    def build(*answers, api="classic", auth="bearer", **options):
        runtime = (SharedScriptedRuntime if colour == "watching" else ScriptedRuntime)(*answers)
        return make_client(colour, runtime, api=api, auth=auth, **options), runtime

    return build


def ok(body, status=200, **headers):
    return Response(status, json.dumps(body).encode(), headers)


def refused(status, body=None, **headers):
    return Response(status, b"" if body is None else json.dumps(body).encode(), headers)
