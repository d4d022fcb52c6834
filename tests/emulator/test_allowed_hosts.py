"""What an emulator does not let in: pages of strangers, requests without end, and bodies that nobody wants."""

import re
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from dev.hosts.processes import with_default_signals
from retab_orchestration.emulator import Emulator, Node, Request, Service, Workflow
from retab_orchestration.emulator.serving.allowed_hosts import AllowedHosts
from retab_orchestration.emulator.serving.wire import Refusal
from tests.emulator.conftest import Caller

KEY = {"Api-Key": "k"}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def emulator():
    with Emulator(request_timeout=0.4, allow_hosts=["retab.test"]) as running:
        yield running


@pytest.fixture
def connect(emulator):
    """Open connections that are closed at the end."""
    opened = []

    def start():
        place = urlsplit(emulator.url)
        connection = socket.create_connection((place.hostname, place.port), timeout=10)
        opened.append(connection)
        return connection

    yield start
    for connection in opened:
        connection.close()


def ended(connection):
    """Read until the other side ends, and return what it said."""
    said = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return said
        if not piece:
            return said
        said += piece


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8765", "localhost:1", "LOCALHOST.", "app.localhost", "[::1]:80", "10.0.0.7:1",
    "retab.test:1"]
)  # fmt: skip
@pytest.mark.parametrize("path", ["/_emulator/reset", "/v1/workflows", "/runs/x", "/_storage/upload/x"])
def test_it_may_be_called_by_loopback_by_an_address_and_by_an_allowed_name(host, path):
    assert AllowedHosts(["retab.test"]).check(Request("POST", path, [], {"host": host})) is None


@pytest.mark.parametrize(
    "host", ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "xlocalhost", "evil.test:127",
    "retab.test@evil", "[evil]", "a:b:c", ":", "[", "0x7f.1"]
)  # fmt: skip
@pytest.mark.parametrize("path", ["/_emulator/reset", "/v1/workflows", "/runs/x", "/_storage/upload/x"])
def test_it_may_not_be_called_by_another_name(host, path):
    with pytest.raises(Refusal, match="--allow-host") as refusal:
        AllowedHosts(["retab.test"]).check(Request("POST", path, [], {"host": host}))
    assert refusal.value.status == 403


@pytest.mark.parametrize(
    ("path", "origin", "is_taken"),
    [
        ("/_emulator/reset", "http://evil.test", False),
        ("/_emulator/reset", "http://127.0.0.1:1", False),
        ("/_emulator/stats", "null", False),
        ("/runs/x", "http://evil.test", False),
        ("/runs/x", "null", False),
        ("/runs/x", "http://127.0.0.1:1", True),
        ("/v1/workflows", "http://evil.test", True),
    ],
)
def test_pages_may_not_use_the_control_plane_and_only_our_own_may_decide(path, origin, is_taken):
    request = Request("POST", path, [], {"host": "127.0.0.1:1", "origin": origin})

    if is_taken:
        assert AllowedHosts().check(request) is None
    else:
        with pytest.raises(Refusal, match="Origin"):
            AllowedHosts().check(request)


@pytest.mark.parametrize("names", ["retab.test", [""], ["retab.test:80"], ["http://retab.test"], [5]])
def test_names_that_are_none_are_refused(names):
    with pytest.raises(ValueError, match="allow_hosts"):
        Emulator(allow_hosts=names)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(ValueError, match="request_timeout"):
        Emulator(request_timeout=seconds)


@pytest.mark.parametrize("headers", [{"Host": "evil.test"}, {"Origin": "http://evil.test"}])
def test_a_stranger_cannot_reset_and_is_counted_nowhere(emulator, headers):
    emulator.reset()
    httpx.post(f"{emulator.url}/v1/workflows/wf_echo/run", headers=KEY)
    emulator.post_faults([{"match": "*", "kind": "http_500"}])

    refused = httpx.post(f"{emulator.url}/_emulator/reset", headers=headers)
    httpx.get(f"{emulator.url}/v1/workflows", headers={**KEY, "Host": "evil.test"})

    assert refused.status_code == 403
    assert emulator.stats()["runs_created"] == 1
    assert emulator.stats()["requests"] == {"POST /v1/workflows/{workflow_id}/run": 1}
    assert httpx.get(f"{emulator.url}/v1/workflows", headers=KEY).status_code == 500
    assert httpx.post(f"{emulator.url}/_emulator/reset", headers={"Host": "retab.test"}).status_code == 200


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"POST /v1/workflows/wf_echo/run HT",
        b"POST /v1/workflows/wf_echo/run HTTP/1.1\r\nHost: localhost\r\nApi-",
        b"POST /v1/workflows/wf_echo/run HTTP/1.1\r\nHost: localhost\r\nApi-Key: k\r\nContent-Length: 9\r\n\r\n{",
        b"POST /v1/workflows/wf_echo/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1",
        b"GET /_emulator/stats HTTP/1.1\r\nHost: localhost\r\n\r\nGET /_emulator/stats HTTP/1.1\r\nHost",
    ],
    ids=["nothing", "line", "headers", "body", "chunk", "second"],
)  # fmt: skip
def test_half_a_request_is_dropped(emulator, connect, half):
    emulator.reset()
    connection, begun = connect(), time.monotonic()
    connection.sendall(half)

    ended(connection)

    assert time.monotonic() - begun < 5
    assert emulator.stats()["runs_created"] == 0


def test_a_request_that_comes_in_drops_is_dropped(connect):
    connection, deadline = connect(), time.monotonic() + 10

    with pytest.raises(OSError, match=r"reset|[Bb]roken"):  # noqa: PT012 - until it is noticed
        while time.monotonic() < deadline:
            connection.sendall(b"G")
            time.sleep(0.02)


def test_a_request_that_is_whole_has_all_the_time_it_needs(emulator):
    emulator.post_faults([{"match": "*", "kind": "slow", "seconds": 1}])

    with httpx.Client(headers=KEY) as http:
        assert http.get(f"{emulator.url}/v1/workflows").status_code == 200
        time.sleep(0.6)
        assert http.get(f"{emulator.url}/v1/workflows").status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"PUT /_storage/upload/file_x?signature=wrong", b"403"),
        (b"PUT /_storage/upload/file_x?signature=x_elif", b"404"),
        (b"POST /_storage/upload/file_x?signature=x_elif", b"404"),
        (b"POST /v1/workflows/wf_echo/run", b"413"),
    ],
)
def test_what_is_not_wanted_is_refused_before_it_is_read(connect, head, status):
    connection = connect()
    connection.sendall(head + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n")

    assert connection.recv(65536).split(b" ")[1] == status


def test_what_is_sent_on_after_a_refusal_is_not_read_for_ever(connect):
    connection, sent = connect(), 0
    connection.sendall(
        b"PUT /_storage/upload/x?signature=y HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"

    with pytest.raises(OSError, match=r"reset|[Bb]roken"):  # noqa: PT012 - until it is noticed
        while sent < 1000:
            connection.sendall(chunk)
            sent += 1

    assert sent < 1000


def test_a_body_without_end_is_refused_at_its_limit():
    with (
        Emulator() as patient,
        closing(
            socket.create_connection(("127.0.0.1", urlsplit(patient.url).port), timeout=60)
        ) as connection,
    ):
        connection.sendall(
            b"POST /v1/workflows/wf_echo/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with suppress(ConnectionError):  # it does not wait for the rest of what it refuses
            for _ in range(33):
                connection.sendall(b"100000\r\n" + bytes(MIB) + b"\r\n")

        assert connection.recv(65536).split(b" ")[1] == b"413"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/workflows/wf_echo/run", b'{"text_inputs": {"text-node-1": "\\ud800"}}'),
        ("/v1/workflows/wf_echo/run", b'{"json_inputs": {"json-node-1": {"\\udfff": 1}}}'),
        ("/v1/workflows/wf_echo/run", b'{"json_inputs": {"json-node-1": "\xed\xa0\x80"}}'),
        ("/v1/workflows/wf_echo/run", b'{"json_inputs": {"json-node-1": ' + b"[" * 150 + b"]" * 150 + b"}}"),
        ("/v1/workflows/wf_echo/run", b'{"json_inputs": {"json-node-1": ' + b"[" * 10**5),
        ("/v1/workflows/wf_echo/run", b'{"json_inputs": {"json-node-1": {"seconds": 1' + b"0" * 400 + b"}}}"),
        ("/v1/workflows/wf_echo/run", b'{"json_inputs": {"json-node-1": 1e999}}'),
        ("/v1/workflows/runs", b'{"workflow_id": ["wf_echo"]}'),
        ("/v1/workflows/runs", b'{"workflow_id": "wf_echo", "metadata": {"a": []}}'),
        ("/v1/workflows/tests/runs", b'{"workflow_id": "wf_invoice", "scope": {"type": []}}'),
        ("/v1/workflows/tests/runs", b'{"workflow_id": "wf_invoice", "n_consensus": []}'),
        ("/v1/files/upload", b'{"filename": "a", "size_bytes": 1, "content_type": []}'),
        ("/v1/files/upload", b'{"filename": "a", "size_bytes": 1, "content_type": "a\\r\\nb: c"}'),
        ("/v1/files/upload", b'{"filename": "a", "size_bytes": 1, "sha256": []}'),
        ("/_emulator/faults", b'[{"match": "*", "kind": "slow", "nth": null}]'),
        ("/_emulator/faults", b'[{"match": "*", "kind": "slow", "seconds": 1' + b"0" * 400 + b"}]"),
        ("/_emulator/faults", b'[{"match": "*", "kind": "slow", "seconds": NaN}]'),
    ],
)
def test_what_cannot_be_answered_is_refused_and_makes_nothing(call, path, body):
    assert call("POST", path, body).status == 422

    assert call.service.stats()["runs_created"] == 0
    assert call.get("/v1/workflows/runs")["data"] == []
    assert call.get("/v1/files")["data"] == []


@pytest.mark.parametrize("text", ["9999-12-31", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
@pytest.mark.parametrize("name", ["from_date", "to_date"])
def test_the_first_and_the_last_day_are_days(call, name, text):
    assert call("GET", "/v1/workflows/runs", **{name: text}).status == 200


def test_a_deep_value_within_the_limit_comes_back_everywhere(call, clock):
    deep = []
    for _ in range(95):
        deep = [deep]
    run = call.post("/v1/workflows/wf_echo/run", {"json_inputs": {"json-node-1": deep}})
    clock.tick(9)

    assert (
        call.get(f"/v1/workflows/runs/{run['id']}")["final_outputs"]["end-node-1"]["json_data"]["json-node-1"]
        == deep
    )
    assert call("GET", f"/runs/{run['id']}").status == 200


GATE_FIRST = Workflow("wf_gate", "ReviewGate", (Node("start-node-1", "start", "In"), Node("hil-node-1", "hil", "Review",
("start-node-1",))))  # fmt: skip
MIXED = Workflow("wf_mixed", "Mixed", (Node("start-node-1", "start", "In"), Node("json-node-1", "start_json",
"Options"), Node("end-node-1", "end", "Out", ("start-node-1", "json-node-1"))))  # fmt: skip


def test_a_document_itself_can_be_reviewed(clock, invoice):
    call = Caller(clock, workflows=(GATE_FIRST,))
    run = call.start("wf_gate", content=invoice, family="current")
    clock.tick(9)
    [review] = call.get("/v1/workflows/reviews")["data"]
    [version] = call.get("/v1/workflows/reviews/versions", review_id=review["id"])["data"]

    call.post(f"/v1/workflows/reviews/{review['id']}/approve", {"version_id": version["id"]})

    assert version["snapshot"]["filename"] == "invoice.pdf"
    assert call.get(f"/v1/workflows/runs/{run['id']}")["lifecycle"]["status"] == "completed"


@pytest.mark.parametrize("family", ["classic", "current"])
def test_a_document_beside_other_values_is_its_reference(clock, invoice, family):
    call = Caller(clock, workflows=(MIXED,))
    run = call.start("wf_mixed", content=invoice, json_input={"a": 1}, family=family)
    clock.tick(9)

    steps = call.get("/v1/workflows/steps", run_id=run["id"])["data"]

    data = steps[-1]["handle_outputs"]["output-json-0"]["data"]
    assert data["start-node-1"]["filename"] == "invoice.pdf"
    assert data["json-node-1"] == {"a": 1}


def test_a_line_of_many_spaces_takes_no_time(clock):
    call = Caller(clock)
    text = b"Vendor: a" + b" " * 60_000 + b"b\nTotal amount: " + b"9" * 400
    begun = time.monotonic()
    run = call.start("wf_invoice", content=text)
    clock.tick(9)

    outputs = call.get(f"/v1/workflows/runs/{run['id']}")["final_outputs"]["end-node-1"]["json_data"]

    assert time.monotonic() - begun < 5
    assert re.fullmatch("a +b", outputs["vendor_name"])
    assert outputs["total_amount"] is None


def test_a_file_keeps_its_name_out_of_its_address(call):
    session = call.post("/v1/files/upload", {"filename": "a.b/../c", "size_bytes": 1})

    assert re.fullmatch(r"https://storage\.retab\.com/org_emulator/file_\w+\.bin", session["mimeData"]["url"])


def test_the_command_takes_names_and_a_time():

    options = ["--allow-host", "retab.test", "--allow-host", "emulator", "--request-timeout", "0.2"]
    process = subprocess.Popen(
        with_default_signals([sys.executable, "-m", "retab_orchestration.emulator", *options]),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = process.stdout.readline().split()[-1]
        statuses = [
            httpx.get(f"{url}/_emulator/stats", headers={"Host": host}).status_code
            for host in ("retab.test", "emulator", "other")
        ]
        place = urlsplit(url)
        with closing(socket.create_connection((place.hostname, place.port), timeout=10)) as connection:
            connection.sendall(b"GET /")
            assert ended(connection) == b""
    finally:
        process.kill()
        process.communicate(timeout=30)

    assert statuses == [200, 200, 403]


def test_speed_is_a_number():
    with pytest.raises(ValueError, match="speed"):
        Service(speed=float("nan"))
