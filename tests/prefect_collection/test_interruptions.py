"""What a wait hears of its flow run where Prefect does not observe it: the state is read, and nobody waits for that."""

import threading
from contextvars import copy_context
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Cancelling, Completed, Crashed, Failed, Running, Suspended

from prefect_collection._interruptions import READ_INTERVAL, StateReader, interruption_here


class Prefect:
    """Answers with one state after the other, on a clock that stands still."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.time = 1000.0
        self.reader = StateReader(self.read, lambda: self.time)

    def read(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def after(self, seconds):
        """Return what is known after some seconds, and after whatever was begun then."""
        self.time += seconds
        self.reader.state()
        for thread in threading.enumerate():
            if thread.name == "retab-state":
                thread.join(10)
        return self.reader.state()


def test_the_state_is_read_every_ten_seconds():
    running, suspended = Running(), Suspended(timeout_seconds=60)
    prefect = Prefect(running, suspended)

    assert prefect.after(READ_INTERVAL - 1) is None
    assert len(prefect.answers) == 2
    assert prefect.after(2) is running
    assert prefect.after(READ_INTERVAL - 1) is running
    assert prefect.after(2) is suspended


def test_an_outage_of_prefect_leaves_the_state_as_it_was():
    running, suspended = Running(), Suspended(timeout_seconds=60)
    prefect = Prefect(running, OSError("no connection"), suspended)

    assert [prefect.after(READ_INTERVAL) for _ in range(3)] == [running, running, suspended]


def test_a_read_that_hangs_is_the_only_one_and_holds_up_nobody():
    begun, answer = [], threading.Event()
    prefect = Prefect()

    def read():
        begun.append(1)
        answer.wait(10)
        return Running()

    prefect.reader = StateReader(read, lambda: prefect.time)
    for _ in range(5):
        prefect.time += 100
        assert prefect.reader.state() is None
    answer.set()

    assert prefect.after(0).is_running()
    assert begun == [1]


def test_the_thread_that_reads_sends_no_log_records_to_prefect():
    prefect = Prefect()
    sends = []

    def read():
        sends.append(PREFECT_LOGGING_TO_API_ENABLED.value())
        return Running()

    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        prefect.reader = StateReader(read, lambda: prefect.time)
        prefect.after(READ_INTERVAL)

    assert sends == [False]


@pytest.mark.parametrize("where", ["here", "a thread"])
def test_a_wait_outside_of_flows_asks_nobody(where):
    found = []

    def ask():
        found.append(interruption_here())

    if where == "here":
        ask()
    else:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(10)

    assert found == [None]


@pytest.mark.parametrize(
    ("ended", "stops"),
    [(Running(), False), (Completed(), False), (Failed(), False), (Crashed(), True), (Cancelling(), True)],
    ids=lambda given: getattr(given, "name", ""),
)
def test_a_wait_in_a_thread_of_the_users_ends_where_its_flow_run_was_stopped(ended, stops):
    flow_run, raised = FlowRun(flow_id=uuid4(), state=Running()), []

    def wait():
        heard = interruption_here() or bool
        heard()
        flow_run.state = ended
        try:
            heard()
        except TerminationSignal:
            raised.append(True)

    with FlowRunContext.model_construct(flow_run=flow_run, task_runner=None):
        thread = threading.Thread(target=copy_context().run, args=[wait])
        thread.start()
        thread.join(10)

    assert bool(raised) is stops
