"""A server without TLS at an https address: a setting to be corrected, and nothing to try again."""

import asyncio

import pytest

from retab_orchestration import (
    ApiConnectionError,
    AsyncRetabClient,
    NoTlsError,
    RetabClient,
    RetryPolicy,
    ServerError,
)
from retab_orchestration._polling.wait import trouble_of
from retab_orchestration.policies import Trouble
from tests.retab_orchestration.raw_server import raw_server

ONCE = RetryPolicy(attempts=1)
ADVICE = "does not speak TLS. Write http:// before the host in base_url"


def plain(connection):
    """Answer the begin of TLS as servers without it do."""
    connection.sock.recv(65536)
    connection.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


@pytest.fixture
def server():
    with raw_server(plain) as server:
        yield server


@pytest.fixture(params=["blocking", "asyncio"])
def call(request):
    """Call an operation of a client, in either colour."""

    def act(operation, url, *given, **settings):
        if request.param == "blocking":
            with RetabClient("k", url, **settings) as client:
                return getattr(client, operation)(*given)

        async def main():
            async with AsyncRetabClient("k", url, **settings) as client:
                return await getattr(client, operation)(*given)

        return asyncio.run(main())

    return act


@pytest.mark.parametrize(
    ("operation", "given"), [("list_runs", ()), ("create_run", ("wf_1",)), ("wait_for_run", ("run_1",))]
)
@pytest.mark.parametrize("settings", [{}, {"api": "classic", "auth": "bearer"}], ids=["auto", "told"])
def test_it_is_said_at_once_with_the_address_and_what_to_write(call, server, operation, given, settings):
    address = f"https://127.0.0.1:{server.port}"

    with pytest.raises(NoTlsError) as refused:
        call(operation, address, *given, **settings)

    assert f"{address} {ADVICE}" in str(refused.value)
    assert server.connections == 1
    assert not refused.value.sent
    assert not refused.value.retryable


def test_a_proxy_without_tls_is_not_taken_for_the_server(call, server):
    with pytest.raises(ApiConnectionError, match="the proxy") as refused:
        call("list_runs", "https://retab.test", proxy=f"https://127.0.0.1:{server.port}", retry=ONCE)

    assert not isinstance(refused.value, NoTlsError)


@pytest.mark.parametrize(
    ("error", "is_known", "expected"),
    [
        (NoTlsError("x"), False, None),
        (NoTlsError("x"), True, Trouble.OUTAGE),
        (ApiConnectionError("x"), False, Trouble.OUTAGE),
        (ServerError("x"), True, Trouble.OUTAGE),
    ],
)
def test_it_ends_a_wait_that_has_not_seen_its_run(error, is_known, expected):
    assert trouble_of(error, is_known=is_known) is expected
