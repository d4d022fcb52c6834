"""An Airflow of its own for these tests, and a Retab on loopback; without Airflow, nothing is collected."""

import asyncio
import atexit
import importlib.util
import json
import os
import shutil
import signal
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dev.hosts.processes import wait_until

collect_ignore_glob = [] if importlib.util.find_spec("airflow") else ["*"]

# Airflow reads these when it is first imported, which is after this file and before any fixture.
_HOME = Path(tempfile.mkdtemp(prefix="airflow-unit-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).with_name("dags")),
    "AIRFLOW__CORE__FERNET_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
}

KEY = "rt_test_3b1c9f"


@pytest.fixture(scope="session")
def airflow_database():
    """Airflow's tables, which take seconds to make."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture(scope="session")
def running_emulator():
    from retab_orchestration.emulator import Emulator

    with Emulator(api_key=KEY, speed=20, idempotency="ignored") as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator):
    running_emulator.reset()
    return running_emulator


@pytest.fixture
def connect(emulator, monkeypatch):
    """Write the connection `retab_default`, which leads to the emulator; arguments change it."""

    def write(conn_id="retab_default", *, extra=None, **changes):
        connection = {
            "conn_type": "retab",
            "password": KEY,
            "host": emulator.url,
            "extra": extra or {},
            **changes,
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    write()
    return write


@pytest.fixture
def client(connect, emulator):
    from retab_orchestration import RetabClient

    with RetabClient(KEY, emulator.url) as client:
        yield client


@pytest.fixture
def settle(client):
    """Wait until a run has settled, looking often."""
    from retab_orchestration import PollPolicy

    poll = PollPolicy(first=0.02, shortest=0.02, interval=0.05)
    return lambda run_id: client.wait_for_run(run_id, poll=poll)


class FakeTaskInstance:
    """As much of a task instance as an operator sees."""

    dag_id = "dag"
    run_id = "manual"
    task_id = "run"
    map_index = -1

    def __init__(self):
        self.xcoms = {}
        self.history = []
        self.try_number = 1
        self.max_tries = 0

    def xcom_push(self, key, value):
        self.xcoms[key] = json.loads(json.dumps(value))
        self.history.append((key, value))

    def xcom_pull(self, *, task_ids, key, map_indexes):
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)


@pytest.fixture
def new_ti():
    return FakeTaskInstance


@pytest.fixture
def ti():
    return FakeTaskInstance()


@pytest.fixture
def context(ti):
    return {"ti": ti}


@pytest.fixture
def first_poked(ti, monkeypatch):
    """Let Airflow say how many seconds ago the sensor poked first; None where this is the first poke."""

    from airflow.providers.common.compat.sdk import BaseHook

    def say(seconds):
        date = None if seconds is None else datetime.now(UTC) - timedelta(seconds=seconds)
        if hasattr(BaseHook, "aget_connection"):
            ti.get_first_reschedule_date = lambda context: date
        else:
            monkeypatch.setattr("airflow.sensors.base._orig_start_date", lambda **_: date)

    return say


@pytest.fixture
def fire():
    """Run a trigger as a triggerer does, rebuilt from what it serialises to, and return its events' payloads.

    It does not wait for the shortest deferral, which only a real Airflow needs.
    """
    from importlib import import_module

    def run(trigger):
        path, kwargs = trigger.serialize()
        module, _, name = path.rpartition(".")
        rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps({**kwargs, "not_before": 0})))

        async def collect():
            return [event.payload async for event in rebuilt.run()]

        return asyncio.run(collect())

    return run


@pytest.fixture
def resume(context, fire):
    """Take a deferred task to its end: fire its trigger, wake it, and again if it defers again."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    def run(operator, deferred):
        while True:
            [payload] = fire(deferred.trigger)
            method = getattr(operator, deferred.method_name)
            try:
                return method(context, event=payload, **deferred.kwargs)
            except TaskDeferred as again:
                deferred = again

    return run


@pytest.fixture
def execute(context, resume):
    """Execute a task to its end, in the triggerer's part too."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    def run(operator):
        try:
            return operator.execute(context)
        except TaskDeferred as deferred:
            return resume(operator, deferred)

    return run


@pytest.fixture
def review(invoice):
    """A task whose run waits for a human, who never answers."""
    from airflow_provider.operators import RetabRunWorkflowOperator

    def build(**settings):
        return RetabRunWorkflowOperator(
            task_id="run",
            workflow_id="wf_invoice_review",
            documents={"start-node-1": invoice},
            on_review="wait",
            **settings,
        )

    return build


@pytest.fixture
def invoice(tmp_path):
    """A PDF that the emulator's wf_invoice reads."""
    lines = [
        "Invoice number: INV-7",
        "Invoice date: 2026-03-04",
        "Vendor: Northwind",
        "Currency: EUR",
        "Total amount: 12.50",
    ]
    path = tmp_path / "invoice.pdf"
    path.write_bytes(_pdf(lines))
    return path


def _pdf(lines):
    text = "BT /F1 12 Tf 72 720 Td 16 TL " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
    font = "<< /Font << /F1 5 0 R >> >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources {font} >>",
        f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    trailer += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + trailer.encode()


@pytest.fixture
def interrupt():
    """Call `act` in the main thread, in the middle of whatever it does, as a SIGTERM would, once `condition` holds."""
    main = threading.main_thread().ident
    threads = []

    def watch(condition, then):
        wait_until(condition, timeout=30, what="the moment to interrupt", interval=0.01)
        signal.pthread_kill(main, signal.SIGUSR1)
        then()

    def begin(condition, act, then=lambda: None):
        signal.signal(signal.SIGUSR1, lambda *_: act())
        threads.append(threading.Thread(target=watch, args=(condition, then)))
        threads[-1].start()

    yield begin
    for thread in threads:
        thread.join(60)
