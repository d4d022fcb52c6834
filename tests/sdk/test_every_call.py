"""Every call of eleven releases of the official SDK, each against an emulator of its own age."""

import json
import subprocess
from pathlib import Path

import pytest

from retab_orchestration.emulator import Emulator, Node, NodeTest, Workflow
from tests.sdk.releases import FAILURES, RELEASES
from tests.sdk.venvs import python_of

pytestmark = pytest.mark.system
WALK = Path(__file__).parent / "walk"
LEAST = 0.95
# A run of all of its tests takes long enough to be cancelled.
LONG_TESTS = Workflow(
    "wf_long_tests",
    "Many tests",
    (Node("extract-node-1", "extract", "Extract"),),
    tests=tuple(NodeTest(f"wfnodetest_long_{number}", "extract-node-1") for number in range(200)),
)


@pytest.mark.parametrize("release", RELEASES)
def test_every_call_works_but_those_with_a_reason(release, passed_calls):
    python = python_of(release)
    with Emulator(
        api=RELEASES[release], api_key="rt_test_right", speed=50, workflows=[LONG_TESTS]
    ) as emulator:
        walk = subprocess.run(
            [python, WALK, emulator.url], capture_output=True, text=True, timeout=300, check=False
        )
    assert walk.returncode == 0, walk.stdout + walk.stderr

    calls = json.loads(walk.stdout)["calls"]
    failures = {call: failure for call, failure in calls.items() if failure is not None}
    passed = len(calls) - len(failures)
    passed_calls[release] = (RELEASES[release], passed, len(calls))
    expected = {call: begin for (of, call), (begin, _) in FAILURES.items() if of == release}

    new = {call: text for call, text in failures.items() if not text.startswith(expected.get(call, "\0"))}
    assert new == {}, "calls that fail, and have no such entry in FAILURES"
    assert expected.keys() - failures.keys() == set(), "entries of FAILURES that pass: delete them"
    assert passed >= LEAST * len(calls)


def test_every_failure_has_a_release_and_a_reason():
    assert {release for release, _ in FAILURES} <= RELEASES.keys()
    assert all(begin and reason for begin, reason in FAILURES.values())
