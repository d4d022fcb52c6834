"""`soft_fail`, `never_fail` and `silent_fail` of a sensor: one outcome for one state of its run, in each mode."""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import product

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseHook,
    TaskDeferred,
)

from airflow_provider._waiting.events import OUT_OF_TIME, WAIT_FAILED
from airflow_provider._waiting.failing import Effect, Failure, effect_of
from airflow_provider.sensors import RetabRunSensor
from retab_orchestration.policies import ErrorBudget, Trouble

FLAGS = ("", "soft_fail", "never_fail", "silent_fail", "soft_fail silent_fail", "never_fail silent_fail")
MODES = ("poke", "reschedule", "before it defers", "resumed", "given up by Airflow")
GET = "GET /v1/workflows/runs/*"
# Seconds: what a sensor sleeps for that goes on poking.
POKE_INTERVAL = 77.0

ENDED = dict(
    zip(
        FLAGS,
        (
            "fails for good",
            "is skipped",
            "is skipped",
            "fails for good",
            "is skipped",
            "is skipped",
        ),
        strict=True,
    )
)
MAY_PASS = dict(zip(FLAGS, ("fails", "fails", "is skipped", "polls on", "polls on", "polls on"), strict=True))
SUCCEEDS, SKIPPED, FAILS, POLLS_ON = (
    dict.fromkeys(FLAGS, outcome) for outcome in ("succeeds", "is skipped", "fails", "polls on")
)

# The state of a run -> what becomes of the task, by its flags.
OUTCOMES = {
    "completed": SUCCEEDS,
    "failed": ENDED,
    "cancelled": ENDED,
    "in review, which fails": ENDED,
    "in review, which skips": SKIPPED,
    "goes on too long": ENDED,
    "refused": ENDED,
    "not found": ENDED,
    "in an outage that is too long": MAY_PASS,
    "past execution_timeout": FAILS,
}
# Where an outage is never too long: only the sensor's timeout ends it.
OTHERS = {("reschedule", "in an outage that is too long"): POLLS_ON}
# What is no failure yet before the first poll, or is not known to who ends a deferral.
NEVER = {
    *product(("before it defers",), ("goes on too long", "not found")),
    *product(("given up by Airflow",), ("refused", "not found", "in an outage that is too long")),
}


class PolledOnError(BaseException):
    """A sensor that pokes goes on doing so."""


@dataclass
class State:
    """A state of a run, and how a sensor meets it."""

    run_id: str
    event: dict
    settings: dict = field(default_factory=dict)
    errors: ErrorBudget | None = None
    clocks: dict = field(default_factory=dict)


@pytest.fixture(autouse=True)
def sleeping(monkeypatch):
    """Let no time pass."""
    sleep = time.sleep

    def shorter(seconds):
        if seconds == POKE_INTERVAL:
            raise PolledOnError
        sleep(min(seconds, 0.01))

    monkeypatch.setattr(time, "sleep", shorter)


class States:
    """Brings runs into states."""

    def __init__(self, client, settle, invoice, emulator, first_poked, monkeypatch):
        self._client, self._settle, self._invoice, self._emulator = client, settle, invoice, emulator
        self._first_poked, self._patch = first_poked, monkeypatch
        first_poked(None)

    def __call__(self, name, mode):
        return {
            "completed": lambda: State(self._settled("wf_echo"), {"status": "completed"}),
            "failed": lambda: State(self._settled("wf_fail"), {"status": "error"}),
            "cancelled": self._cancelled,
            "in review, which fails": lambda: self._in_review("fail"),
            "in review, which skips": lambda: self._in_review("skip"),
            "goes on too long": lambda: self._late(mode),
            "refused": lambda: State(self._failing(403), {"status": WAIT_FAILED, "is_final": True}),
            "not found": self._not_found,
            "in an outage that is too long": self._away,
            "past execution_timeout": lambda: self._past_execution_timeout(mode),
        }[name]()

    def _create(self, workflow="wf_echo", seconds=3600):
        return self._client.create_run(workflow, json_inputs={"json-node-1": {"seconds": seconds}}).id

    def _settled(self, workflow):
        return self._settle(self._create(workflow, seconds=0)).id

    def _cancelled(self):
        return State(self._client.cancel_run(self._create()).id, {"status": "cancelled"})

    def _in_review(self, on_review):
        run = self._client.create_run("wf_invoice_review", documents={"start-node-1": self._invoice})
        return State(self._settle(run.id).id, {"status": "waiting_for_human"}, {"on_review": on_review})

    def _failing(self, code):
        run_id = self._create()
        self._emulator.post_faults([{"match": GET, "kind": f"http_{code}", "times": 9999}])
        return run_id

    def _late(self, mode):
        timeout = {"timeout": 0} if mode in {"poke", "reschedule"} else {}
        return State(self._create(), {"status": OUT_OF_TIME}, timeout)

    def _not_found(self):
        self._first_poked(600)
        errors = ErrorBudget(600.0, not_found_grace=0.0)
        for _ in range(2):
            errors.failed(Trouble.MISSING, time.monotonic())
        return State("run_nowhere", {"status": WAIT_FAILED, "is_final": True}, errors=errors)

    def _away(self):
        clocks = {"failing_since": time.time() - 601}
        return State(self._failing(503), {"status": "running"}, errors=ErrorBudget(0.0), clocks=clocks)

    def _past_execution_timeout(self, mode):
        limit = {"execution_timeout": timedelta(seconds=1)}
        if mode not in {"resumed", "given up by Airflow"}:
            self._patch.setattr(BaseHook, "get_connection", staticmethod(strike))
        return State(self._create(), {"status": OUT_OF_TIME}, limit)


def strike(_):
    raise AirflowTaskTimeout


@pytest.fixture
def state(connect, client, settle, invoice, emulator, first_poked, monkeypatch):
    return States(client, settle, invoice, emulator, first_poked, monkeypatch)


def sensor(state, flags, **settings):
    task = RetabRunSensor(
        task_id="run",
        run_id=state.run_id,
        poke_interval=POKE_INTERVAL,
        **dict.fromkeys(flags.split(), True),
        **state.settings,
        **settings,
    )
    if state.errors is not None:
        task._errors = state.errors
    return task


def attempt(state, flags, mode, context):
    """Return what Airflow calls of a sensor in this mode."""
    if mode in {"poke", "reschedule"}:
        return partial(sensor(state, flags, mode=mode).execute, context)
    task = sensor(state, flags, deferrable=True)
    if mode == "before it defers":
        return partial(task.execute, context)
    if mode == "given up by Airflow":
        return partial(task.resume_execution, "__fail__", {"error": "Trigger timeout"}, context)
    event = {"run_id": state.run_id, "message": "gone", **state.event}
    kwargs = {"event": event, "run_id": state.run_id, "strict_deadline": time.time() + 60, **state.clocks}
    return partial(task.resume_execution, "execute_complete", kwargs, context)


def outcome_of(call):
    try:
        call()
    except AirflowSkipException:
        return "is skipped"
    except (AirflowFailException, AirflowSensorTimeout):
        return "fails for good"
    except (PolledOnError, TaskDeferred):
        return "polls on"
    except AirflowTaskTimeout:
        return "fails"
    except Exception as error:  # noqa: BLE001
        return "polls on" if type(error).__name__ == "AirflowRescheduleException" else "fails"
    return "succeeds"


CASES = [case for case in product(MODES, OUTCOMES) if case not in NEVER]


@pytest.mark.parametrize(("mode", "name"), CASES, ids=[f"{name}-{mode}" for mode, name in CASES])
def test_a_sensor_ends_in_every_mode_as_its_flags_say(state, context, mode, name):
    met = state(name, mode)

    outcomes = {flags: outcome_of(attempt(met, flags, mode, context)) for flags in FLAGS}

    assert outcomes == OTHERS.get((mode, name), OUTCOMES[name])


@pytest.mark.parametrize(
    ("failure", "flags", "effect"),
    [
        *((Failure.FINAL, flags, Effect.RAISE) for flags in ("", "silent_fail")),
        *((Failure.FINAL, flags, Effect.SKIP) for flags in FLAGS if flags not in {"", "silent_fail"}),
        *((Failure.PASSING, flags, Effect.RAISE) for flags in ("", "soft_fail")),
        (Failure.PASSING, "never_fail", Effect.SKIP),
        *((Failure.PASSING, flags, Effect.POLL_ON) for flags in FLAGS if "silent_fail" in flags),
        *((Failure.NONE, flags, Effect.RAISE) for flags in FLAGS),
    ],
)
def test_what_each_flag_makes_of_each_failure(failure, flags, effect):
    given = {flag: flag in flags.split() for flag in ("soft_fail", "never_fail", "silent_fail")}

    assert effect_of(failure, **given) is effect


def test_execution_timeout_between_two_pokes_is_as_one_in_a_poke(state, context, monkeypatch):
    """Which it is, is chance; Airflow skips the task after the second only."""
    met = state("goes on too long", "resumed")
    monkeypatch.setattr(time, "sleep", strike)

    for flags in FLAGS:
        assert outcome_of(attempt(met, flags, "poke", context)) == "fails"


@pytest.mark.parametrize(
    ("flags", "outcome"), [("", "fails"), ("soft_fail", "is skipped"), ("never_fail", "is skipped")]
)
def test_a_trigger_that_broke_is_what_airflow_says_it_is(state, context, flags, outcome):
    task = sensor(state("completed", "resumed"), flags, deferrable=True)

    assert (
        outcome_of(partial(task.resume_execution, "__fail__", {"error": "Trigger failure"}, context))
        == outcome
    )


@pytest.mark.parametrize(
    ("flags", "outcome"), [("silent_fail", "fails for good"), ("soft_fail silent_fail", "is skipped")]
)
def test_a_silent_sensor_polls_on_no_longer_than_its_timeout(state, context, flags, outcome):
    met = state("in an outage that is too long", "resumed")
    met.clocks["strict_deadline"] = time.time() - 1

    assert outcome_of(attempt(met, flags, "resumed", context)) == outcome


def test_a_silent_sensor_logs_what_it_passes_over(state, context, caplog):
    met = state("in an outage that is too long", "resumed")

    outcome_of(attempt(met, "silent_fail", "resumed", context))

    assert "The poll failed, polling on (silent_fail): " in caplog.text
