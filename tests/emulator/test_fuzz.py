"""Whatever is sent to an emulator, it answers, with no 5xx, and its lists still answer afterwards."""

import json
import random
import socket
from collections import Counter
from urllib.parse import urlencode, urlsplit

import h11
import httpx
import pytest

from retab_orchestration.emulator import Emulator, Request, Service
from tests.emulator.conftest import START, Clock
from tests.emulator.fuzz import LISTS, ROUTES, WORKFLOWS, Fuzz

KEY = {"api-key": "k"}
APIS = ("both", "classic", "current")


def strict(body):
    """Read JSON as everybody else does."""
    return json.loads(body, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def act(service, request):
    """Do what a server does with a request, up to its answer."""
    service.count(request)
    service.faults.take(request)
    return service.turn_away(request) or service.refuse_unread(request) or service.handle(request)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("api", APIS)
def test_no_request_makes_a_server_error(api, seed):
    clock, fuzz, statuses = Clock(), Fuzz(seed), Counter()
    service = Service(api=api, workflows=WORKFLOWS, clock=clock)

    for _ in range(1500):
        request = fuzz.request()
        answer = act(service, request)
        statuses[answer.status] += 1
        assert answer.status < 500, (request, request.body[:500], answer.body)
        if answer.headers.get("content-type") == "application/json":
            fuzz.learn(strict(answer.body))
        clock.tick(fuzz.random.choice([0.0, 0.1]))

    served = [
        path
        for path in LISTS
        if not (api == "classic" and path.endswith(("/steps", "/reviews", "/evals/runs")))
    ]
    service.set_key({"api_key": "k"})
    assert {path: service.handle(Request("GET", path, [], KEY)).status for path in served} == dict.fromkeys(
        served, 200
    )
    assert statuses[200] > 150
    assert clock.now > START


def test_every_route_is_tried():
    fuzz, service, seen = Fuzz(0), Service(), set()

    for _ in range(4500):
        request = fuzz.request()
        seen.add(service._router.match(request.method, request.path).name)

    assert {f"{method} {template}" for method, template in ROUTES} <= seen


def raw(request, rng):
    """Write a request as bytes, now and then broken."""
    target = request.path + (f"?{urlencode(request.query, errors='replace')}" if request.query else "")
    headers = {
        **request.headers,
        "host": "localhost",
        "content-length": str(len(request.body)),
        "connection": "close",
    }
    head = f"{request.method} {target} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items()
    )
    whole = bytearray(head.encode() + b"\r\n" + request.body)
    if rng.random() < 0.3:
        for _ in range(rng.choice([1, 3, 20])):
            whole[rng.randrange(len(whole))] = rng.randrange(256)
    return bytes(whole)


def status_of(url, content):
    """Send bytes and nothing more, and return the status of the answer, None where there is none."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionResetError:
            return None
    return int(answer.split(b" ", 2)[1]) if answer else None


@pytest.mark.parametrize("api", APIS)
def test_no_bytes_make_a_server_error(api, caplog):
    fuzz, rng = Fuzz(7), random.Random(7)  # noqa: S311 - a seed is the point of it
    with Emulator(api=api, workflows=WORKFLOWS) as emulator:
        statuses = Counter(status_of(emulator.url, raw(fuzz.request(), rng)) for _ in range(400))
        emulator.set_key("k")
        lists = [
            httpx.get(emulator.url + path, headers=KEY).status_code
            for path in ("/v1/workflows/runs", "/v1/files")
        ]

    assert [status for status in statuses if status is not None and status >= 500] == []
    assert lists == [200, 200]
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    # Older releases of uvicorn raise it where a client has sent garbage behind its request, and is not answered.
    assert [error for error in errors if not isinstance(error, h11.LocalProtocolError)] == []
