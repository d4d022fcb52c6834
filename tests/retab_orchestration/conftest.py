import json

import pytest

from retab_orchestration import AsyncRetabClient, RetabClient, RetryPolicy
from retab_orchestration._blocking import iterate_blocking, run_blocking
from retab_orchestration._core import dialects
from retab_orchestration._core.session import Session
from retab_orchestration._http import Response
from retab_orchestration.emulator import Service
from retab_orchestration.settings import Settings
from tests.retab_orchestration.fake_runtime import Clock, FakeRuntime, ScriptedRuntime


@pytest.fixture(autouse=True)
def nothing_found_out_yet():
    dialects._found.clear()
    dialects._failures.clear()


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


def make_client(colour, runtime, *, api="auto", auth="auto", retry=RetryPolicy()):
    kind = {"blocking": RetabClient, "awaiting": AsyncRetabClient}[colour]
    client = kind("key-1", "http://retab.test/v1", api=api, auth=auth)
    settings = Settings(api_key="key-1", base_url="http://retab.test", api=api, auth=auth)
    client._session = Session(runtime, settings, retry)
    return client if colour == "blocking" else Awaited(client)


@pytest.fixture(params=["blocking", "awaiting"])
def colour(request):
    return request.param


@pytest.fixture(params=["classic", "current"])
def family(request):
    return request.param


@pytest.fixture
def connect(colour, clock):
    """Build a client on an emulator: `client, runtime = connect(api="classic")`."""

    def build(*, server="both", server_auth="both", workflows=(), idempotency=True, **options):
        service = Service(
            api=server, clock=clock, auth=server_auth, workflows=workflows, idempotency=idempotency
        )
        runtime = FakeRuntime(service, clock)
        return make_client(colour, runtime, **options), runtime

    return build


@pytest.fixture
def script(colour):
    """Build a client whose server answers from a list: `client, runtime = script(ok({...}))`."""

    def build(*answers, api="classic", auth="bearer", **options):
        runtime = ScriptedRuntime(*answers)
        return make_client(colour, runtime, api=api, auth=auth, **options), runtime

    return build


def ok(body, status=200, **headers):
    return Response(status, json.dumps(body).encode(), headers)


def refused(status, body=None, **headers):
    return Response(status, b"" if body is None else json.dumps(body).encode(), headers)
