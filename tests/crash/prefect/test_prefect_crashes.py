"""The crash matrix on a real Prefect: whatever is killed, one flow run owns one run, and a user's cancel ends it."""

from collections import Counter

import pytest

from tests.crash.account import SERVERS
from tests.crash.prefect.cases import ASIDE, CASES
from tests.crash.record import repetitions

pytestmark = pytest.mark.system

TIMES = repetitions() * len(SERVERS)


@pytest.mark.parametrize("name", CASES)
def test_a_flow_run_owns_one_run(results, name):
    found = results[name]

    assert [result.error for result in found if result.error] == []
    assert {result.seen for result in found} == {CASES[name].expected}
    assert Counter(result.server for result in found) == dict.fromkeys(SERVERS, repetitions())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.asks])
def test_a_crash_was_injected_and_cancelled_nothing(results, name):
    found = results[name]

    assert [len(result.killed) for result in found] == [1] * TIMES
    assert [result.cancels for result in found] == [0] * TIMES


@pytest.mark.parametrize("name", ASIDE)
def test_what_the_page_does_not_tell_goes_as_well(results, name):
    found = results[name]

    assert [result.error for result in found if result.error] == []
    assert [result.seen for result in found] == [ASIDE[name].expected] * len(SERVERS)
    assert ASIDE[name].asks or [result.cancels for result in found] == [0] * len(SERVERS)
