"""An upload to a signed address, of any size: on a real socket, and how much memory it takes."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dev.hosts.processes import with_default_signals
from retab_orchestration.emulator import Emulator
from tests.emulator.conftest import VALUES
from tests.emulator.test_server import until

MIB = 1024 * 1024
KEY = {"Authorization": "Bearer k"}


@pytest.fixture(scope="module")
def running():
    with Emulator(api="current", speed=20) as emulator:
        yield emulator


@pytest.fixture
def emulator(running):
    running.reset()
    return running


@pytest.fixture
def http():
    with httpx.Client(timeout=60) as client:
        yield client


def pieces(number):
    return (bytes(MIB) for _ in range(number))


def opened(http, url, size, **more):
    asked = {"filename": "a.pdf", "size_bytes": size, **more}
    return http.post(f"{url}/v1/files/upload", json=asked, headers=KEY).json()


def put(http, session, content, size, **more):
    headers = {**session["uploadHeaders"], "Content-Length": str(size), **more}
    return http.put(session["uploadUrl"], content=content, headers=headers)


def completed(http, url, session, **body):
    return http.post(f"{url}/v1/files/upload/{session['fileId']}/complete", json=body, headers=KEY)


def test_an_invoice_that_is_uploaded_is_read(http, emulator, invoice):
    session = opened(http, emulator.url, len(invoice))
    assert put(http, session, invoice, len(invoice)).status_code == 200
    stored = completed(http, emulator.url, session, sha256=hashlib.sha256(invoice).hexdigest()).json()

    create = {"workflow_id": "wf_invoice", "documents": {"start-node-1": stored}}
    run = http.post(f"{emulator.url}/v1/workflows/runs", json=create, headers=KEY).json()

    def steps():
        listed = f"{emulator.url}/v1/workflows/steps"
        return http.get(listed, params={"run_id": run["id"]}, headers=KEY).json()["data"]

    until(lambda: [step["lifecycle"]["status"] for step in steps()] == ["completed"] * 3)
    assert steps()[-1]["handle_outputs"]["output-json-0"]["data"] == VALUES


def test_a_large_upload_is_checked_like_a_small_one(http, emulator):
    session = opened(http, emulator.url, 40 * MIB)

    assert put(http, session, pieces(40), 40 * MIB, authorization="Bearer k").status_code == 403
    assert put(http, session, pieces(39), 39 * MIB).status_code == 200
    assert completed(http, emulator.url, session).status_code == 422
    assert put(http, session, pieces(40), 40 * MIB).status_code == 200
    assert completed(http, emulator.url, session, sha256="0" * 64).status_code == 422
    digest = hashlib.sha256(bytes(40 * MIB)).hexdigest()
    assert completed(http, emulator.url, session, sha256=digest).status_code == 200


@pytest.mark.parametrize("kind", ["http_403", "http_410", "http_422", "http_500", "garbage", "reset_before"])
@pytest.mark.parametrize("place", ["PUT /_storage/*", "POST /v1/files/upload", "POST */complete"])
def test_every_request_of_an_upload_can_meet_a_fault(http, emulator, kind, place):
    session = opened(http, emulator.url, 3)
    steps = {
        "POST /v1/files/upload": lambda: http.post(f"{emulator.url}/v1/files/upload", json={}, headers=KEY),
        "PUT /_storage/*": lambda: put(http, session, b"abc", 3),
        "POST */complete": lambda: completed(http, emulator.url, session),
    }
    emulator.post_faults([{"match": place, "kind": kind}])

    if kind == "reset_before":
        with pytest.raises(httpx.TransportError):
            steps[place]()
    else:
        expected = 200 if kind == "garbage" else int(kind.removeprefix("http_"))
        assert steps[place]().status_code == expected


def test_who_runs_an_emulator_sees_uploads_arrive(http):
    seen = []
    with Emulator(on_upload=lambda *news: seen.append(news)) as emulator:
        session = opened(http, emulator.url, 2 * MIB)
        assert put(http, session, pieces(2), 2 * MIB).status_code == 200
        assert http.put(f"{emulator.url}/_storage/upload/file_unknown", content=b"x").status_code == 403

    assert {(name, size) for name, _, size in seen} == {("a.pdf", 2 * MIB)}
    assert [arrived for _, arrived, _ in seen] == sorted({arrived for _, arrived, _ in seen})
    assert seen[-1][1] == 2 * MIB


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak of memory"
)
def test_the_memory_of_an_emulator_does_not_grow_with_an_upload(http):
    command = with_default_signals([sys.executable, "-m", "retab_orchestration.emulator"])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().split()[-1]
        assert urlsplit(url).port
        small = opened(http, url, MIB)
        assert put(http, small, pieces(1), MIB).status_code == 200
        before = peak(process.pid)
        session = opened(http, url, 64 * MIB)
        assert put(http, session, pieces(64), 64 * MIB).status_code == 200
        assert completed(http, url, session).status_code == 200
        assert peak(process.pid) - before < 8 * MIB
    finally:
        process.kill()
        process.communicate(timeout=30)


def peak(pid):
    """The most memory that a process has had at a time, in bytes."""
    [kib] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kib) * 1024
