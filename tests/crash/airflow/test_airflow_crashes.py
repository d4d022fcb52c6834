"""The crash matrix on a real Airflow: whatever is killed, one task owns one run, and a user's kill ends it."""

import pytest

from tests.crash.account import SERVERS
from tests.crash.airflow.cases import ALONE
from tests.crash.airflow.matrix import outages
from tests.crash.airflow.outages import OUTAGES
from tests.crash.record import repetitions

pytestmark = pytest.mark.system

CASES = {**ALONE, **OUTAGES}


@pytest.mark.parametrize("name", CASES)
def test_a_task_owns_one_run(results, name):
    found = results[name]

    assert [result.error for result in found if result.error] == []
    assert {result.seen for result in found} == {CASES[name].expected}
    assert {result.server for result in found} == {*SERVERS}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.asks])
def test_a_crash_was_injected_and_cancelled_nothing(results, name):
    found = results[name]

    # An outage strikes tasks on all kinds of servers at once.
    times = outages(repetitions()) if name in OUTAGES else repetitions() * len(SERVERS)
    assert sum(len(result.killed) for result in found) == times
    assert [result.cancels for result in found] == [0] * len(found)
