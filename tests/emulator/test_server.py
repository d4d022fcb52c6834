"""The emulator on a real socket."""

import base64
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from dev.hosts.processes import with_default_signals
from retab_orchestration.emulator import Emulator
from retab_orchestration.emulator.serving.server import listen
from tests.emulator.conftest import VALUES

pytest_plugins = ["retab_orchestration.emulator.fixtures"]

ECHO = "/v1/workflows/wf_echo/run"


@pytest.fixture(scope="module")
def running():
    with Emulator(speed=20) as emulator:
        yield emulator


@pytest.fixture
def emulator(running):
    running.reset()
    return running


@pytest.fixture
def http(emulator):
    with httpx.Client(base_url=emulator.url, headers={"Api-Key": "k"}, timeout=10) as client:
        yield client


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_invoice_goes_all_the_way(http, emulator, invoice):
    document = {
        "filename": "a.pdf",
        "content": base64.b64encode(invoice).decode(),
        "mime_type": "application/pdf",
    }
    created = http.post("/v1/workflows/wf_invoice/run", json={"documents": {"start-node-1": document}})
    assert created.status_code == 200
    path = f"/v1/workflows/runs/{created.json()['id']}"

    until(lambda: http.get(path).json()["status"] == "completed")

    assert http.get(path + "/").json()["final_outputs"]["end-node-1"]["json_data"] == VALUES
    assert http.get(f"/runs/{created.json()['id']}").headers["content-type"].startswith("text/html")
    assert emulator.stats()["requests"]["POST /v1/workflows/{workflow_id}/run"] == 1
    assert created.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(("kind", "created"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_connection_has_no_answer(http, emulator, kind, created):
    emulator.post_faults([{"match": "POST *", "kind": kind}])

    with pytest.raises(httpx.ReadError):
        http.post(ECHO, json={})

    assert emulator.stats()["runs_created"] == created
    assert emulator.stats()["requests"] == {"POST /v1/workflows/{workflow_id}/run": 1}
    assert http.post(ECHO, json={}).status_code == 200


@pytest.mark.parametrize(("kind", "created"), [("hold_before", 0), ("hold_after", 1)])
def test_a_held_request_waits_for_the_release(http, emulator, kind, created):
    emulator.post_faults([{"match": "POST *", "kind": kind}])
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(http.post, ECHO, json={})
        until(lambda: emulator.stats()["held"] == 1)
        assert emulator.stats()["runs_created"] == created
        assert not answer.done()

        assert emulator.release() == 1

        assert answer.result(timeout=60).status_code == 200
    assert emulator.stats()["runs_created"] == 1
    assert emulator.stats()["held"] == 0


def test_a_held_request_is_acted_on_although_its_client_has_gone(http, emulator):
    emulator.post_faults([{"match": "POST *", "kind": "hold_before"}])
    with pytest.raises(httpx.ReadTimeout):
        http.post(ECHO, json={}, timeout=0.2)

    emulator.release()

    until(lambda: emulator.stats()["runs_created"] == 1)


def test_a_timed_out_request_was_acted_on(http, emulator):
    emulator.post_faults([{"match": "POST *", "kind": "timeout_after", "seconds": 30}])

    with pytest.raises(httpx.ReadTimeout):
        http.post(ECHO, json={}, timeout=0.2)

    assert emulator.stats()["runs_created"] == 1


def test_a_time_out_ends_in_a_closed_connection(http, emulator):
    emulator.post_faults([{"match": "POST *", "kind": "timeout_after", "seconds": 0.1}])

    with pytest.raises(httpx.ReadError):
        http.post(ECHO, json={})


def test_the_control_plane_meets_no_fault(http, emulator):
    emulator.post_faults([{"match": "*", "times": 99, "kind": "http_500"}])

    assert http.get("/_emulator/stats").json()["runs_created"] == 0
    assert http.post("/_emulator/reset").status_code == 200


def test_a_slow_answer_comes(http, emulator):
    emulator.post_faults([{"match": "GET *", "kind": "slow", "seconds": 0.3}])
    begun = time.monotonic()

    assert http.get("/v1/workflows").status_code == 200

    assert time.monotonic() - begun >= 0.3


def test_answers_in_place_of_the_real_one(http, emulator):
    emulator.post_faults(
        [
            {"match": "POST *", "kind": "http_429", "retry_after": 3},
            {"match": "POST *", "nth": 2, "kind": "garbage"},
        ]
    )

    limited, garbage = http.post(ECHO, json={}), http.post(ECHO, json={})

    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert garbage.text == "<html>not JSON</html>"
    assert emulator.stats()["runs_created"] == 0


def test_every_status_can_be_answered(http, emulator, caplog):
    seen = {}
    for status in range(300, 600):
        emulator.post_faults([{"match": "GET *", "kind": f"http_{status}"}])
        seen[status] = http.get("/v1/workflows").status_code

    assert seen == {status: status for status in range(300, 600)}
    assert not [record for record in caplog.records if record.exc_info]


def test_faults_that_make_no_sense_are_refused_in_the_caller(emulator):
    with pytest.raises(ValueError, match="Input should be one of"):
        emulator.post_faults([{"match": "*", "kind": "explode"}])


def test_large_bodies_are_taken_to_the_limit_and_refused_beyond(http, emulator):
    text = "x" * (31 * 1024 * 1024)
    taken = http.post(ECHO, json={"text_inputs": {"text-node-1": text}})
    refused = http.post(ECHO, json={"text_inputs": {"text-node-1": text + "x" * 1024 * 1024}})

    assert taken.status_code == 200
    assert (refused.status_code, refused.text) == (413, "Request Entity Too Large")
    assert http.get("/v1/workflows").status_code == 200


def test_many_requests_at_once(http, emulator):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: http.post(ECHO, json={}), range(100)))

    assert len({answer.json()["id"] for answer in answers}) == 100
    assert emulator.stats()["runs_created"] == 100


def test_an_emulator_stops_although_it_holds_requests():
    with Emulator() as emulator, ThreadPoolExecutor() as pool:
        emulator.post_faults([{"match": "GET *", "kind": "hold_before"}])
        held = pool.submit(httpx.get, f"{emulator.url}/v1/workflows", timeout=20)
        until(lambda: emulator.stats()["held"] == 1)
        begun = time.monotonic()
        emulator.__exit__(None, None, None)
        assert time.monotonic() - begun < 5
        held.exception(timeout=60)
    assert not emulator._thread.is_alive()


def test_an_emulator_remembers_after_it_has_stopped():
    with Emulator() as emulator:
        httpx.post(f"{emulator.url}{ECHO}", headers={"Api-Key": "k"})

    assert emulator.stats()["runs_created"] == 1


def test_a_taken_port_is_refused_with_what_to_do(emulator):
    port = int(emulator.url.rpartition(":")[2])

    with pytest.raises(OSError, match="choose another port"), Emulator(port=port):
        pass


def test_answers_are_sent_without_delay():
    with closing(listen("127.0.0.1", 0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at before it sets TCP_NODELAY


def test_a_defect_is_a_server_error_and_the_server_goes_on(http, emulator, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(emulator._service.state, "workflows", None)
        assert http.get("/v1/workflows").json() == {"error": "the emulator itself failed with AttributeError"}

    assert http.get("/v1/workflows").status_code == 200


def test_workflows_come_from_a_file(tmp_path):
    path = tmp_path / "workflows.yaml"
    path.write_text("workflows: [{id: wf_mine, like: wf_echo}]")

    with Emulator(workflows=path, api_key="right") as emulator:
        url = f"{emulator.url}/v1/workflows/wf_mine"
        assert httpx.get(url, headers={"Authorization": "Bearer right"}).json()["id"] == "wf_mine"
        assert httpx.get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_its_key_can_be_rotated_while_it_runs():
    with Emulator(api_key="old") as emulator:
        emulator.set_key("new")
        with pytest.raises(ValueError, match="non-empty"):
            emulator.set_key("")

        statuses = [
            httpx.get(f"{emulator.url}/v1/workflows", headers={"Api-Key": key}).status_code
            for key in ("old", "new")
        ]

    assert statuses == [401, 200]


def test_an_approval_over_http_may_be_told_not_to_resume(http, emulator):
    run = http.post("/v1/workflows/runs", json={"workflow_id": "wf_invoice_review"}).json()
    until(lambda: http.get("/v1/workflows/reviews").json()["data"])
    (review,) = http.get("/v1/workflows/reviews").json()["data"]
    (seed,) = http.get("/v1/workflows/reviews/versions", params={"review_id": review["id"]}).json()["data"]
    emulator.post_faults([{"match": "POST */approve", "kind": "no_resume"}])

    path = f"/v1/workflows/reviews/{review['id']}/approve"
    answer = http.post(path, json={"version_id": seed["id"]}).json()

    assert answer["resume_status"] == "pending"
    assert "already completed" in answer["resume_error"]
    assert http.get(f"/v1/workflows/runs/{run['id']}").json()["lifecycle"]["status"] == "awaiting_review"


def test_the_fixture_gives_a_running_emulator(retab_emulator):
    assert httpx.get(f"{retab_emulator.url}/v1/workflows", headers={"Api-Key": "any"}).status_code == 200


@pytest.fixture
def command():
    started = []

    def start(*options):
        process = subprocess.Popen(
            with_default_signals([sys.executable, "-m", "retab_orchestration.emulator", *options]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=30)


def test_the_command_prints_one_line_and_nothing_else(command):
    process = command("--port", "0", "--api", "current", "--speed", "5")
    line = process.stdout.readline()
    assert line.startswith("retab-emulator listening on http://127.0.0.1:")
    url = line.split()[-1]
    assert httpx.get(f"{url}/v1/workflows/steps", headers={"Authorization": "Bearer k"}).status_code == 200
    assert httpx.get(f"{url}/v1/nowhere").status_code == 401

    process.send_signal(2)
    out, err = process.communicate(timeout=60)

    assert (out, err, process.returncode) == ("", "", 0)


def test_the_command_can_be_each_of_the_servers_that_exist(command):
    process = command("--idempotency", "honoured", "--metadata", "dropped", "--list-lag", "60")
    url = f"{process.stdout.readline().split()[-1]}/v1/workflows/runs"
    with httpx.Client(headers={"Api-Key": "k", "Idempotency-Key": "once"}) as http:
        first = http.post(url, json={"workflow_id": "wf_echo"}).json()
        second = http.post(url, json={"workflow_id": "wf_invoice"}).json()
        listed = http.get(url).json()["data"]

    assert second["id"] == first["id"]
    assert "metadata" not in first
    assert listed == []


def test_the_command_logs_requests_when_asked_to(command):
    process = command("--verbose")
    url = process.stdout.readline().split()[-1]
    httpx.get(f"{url}/v1/workflows")

    process.terminate()
    out, err = process.communicate(timeout=60)

    assert out == ""
    assert "GET /v1/workflows" in err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--workflows", "nowhere.yaml"], "nowhere.yaml"),
        (["--speed", "0"], "speed is 0.0"),
        (["--host", "192.0.2.1"], "choose another port"),
        (["--list-lag", "-1"], "list_lag is -1.0"),
    ],
)
def test_the_command_says_what_is_wrong(command, options, complaint):
    process = command(*options)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert out == ""
    assert complaint in err
