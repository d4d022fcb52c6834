"""What an error drags along: no request, no headers and no answer, in no exception that it came from."""

import asyncio
import traceback

import pytest

from retab_orchestration import RetabError
from retab_orchestration._blocking import run_blocking
from retab_orchestration._http import Body, Request
from retab_orchestration._transport import AsyncioRuntime, BlockingRuntime
from retab_orchestration.settings import Settings
from tests.retab_orchestration.raw_server import head, ok, raw_server

SECRET = "sk_retab_secret"


def closing(connection):
    connection.request()


def garbage(connection):
    connection.request()
    connection.send(b"\0\1\2" + SECRET.encode() + b"\r\n\r\n")


def silent(connection):
    connection.request()
    connection.wait()


def breaking_off(connection):
    connection.request()
    connection.send(head(200, content_length=100) + SECRET.encode())


def packed_badly(connection):
    connection.request()
    connection.send(ok(SECRET.encode(), content_encoding="gzip"))


def too_large(connection):
    connection.request()
    connection.send(head(200, content_length=10**9, x_secret=SECRET))


@pytest.fixture(params=["blocking", "asyncio"])
def failure(request):
    """Send a request that fails in either colour, and return the error."""

    def send(url, asked):
        settings = Settings(SECRET, url, api="classic", auth="bearer", timeout=0.3)
        with pytest.raises(RetabError) as caught:
            blocking(settings, asked) if request.param == "blocking" else asyncio.run(
                awaited(settings, asked)
            )
        return caught.value

    def blocking(settings, asked):
        runtime = BlockingRuntime(settings)
        try:
            run_blocking(runtime.send(asked))
        finally:
            runtime.close()

    async def awaited(settings, asked):
        runtime = AsyncioRuntime(settings)
        try:
            await runtime.send(asked)
        finally:
            await runtime.aclose()

    return send


def chain_of(error):
    """Return an error and every exception that it came from."""
    chain, left = [], [error]
    while left:
        each = left.pop()
        if each is not None and each not in chain:
            chain.append(each)
            left += [each.__cause__, each.__context__]
    return chain


def checked(error):
    for each in chain_of(error):
        assert isinstance(each, RetabError)
        assert not hasattr(each, "request")
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "script",
    [closing, garbage, silent, breaking_off, packed_badly, too_large],
    ids=lambda script: script.__name__,
)
def test_an_answer_that_fails(failure, script):
    with raw_server(script) as server:
        checked(failure(server.url, Request("GET", "/v1/x", headers={"Api-Key": SECRET})))


def test_a_server_that_is_not_there(failure):
    checked(failure("http://127.0.0.1:9", Request("GET", "/v1/x", headers={"Api-Key": SECRET})))


@pytest.mark.parametrize("value", [f"{SECRET}\0", f"{SECRET}\r\nx: y", f" {SECRET}\n", f"{SECRET}\ud800"])
def test_a_header_that_cannot_be_signed(failure, value):
    with raw_server(closing) as server:
        asked = Request(
            "PUT",
            "(signed address)",
            body=Body(3, lambda: iter([b"abc"])),
            headers={"x-signature": value},
            signed_url=server.url + "/bucket",
        )
        error = failure(server.url, asked)

    checked(error)
    assert "headers" in str(error)
    assert server.requests == []
