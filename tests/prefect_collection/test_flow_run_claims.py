"""The claim of a process on all creates of a flow run, and what it tells the next process."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_collection._create_once import claims, flow_run_claim
from prefect_collection._create_once.announcements import announce, read_announced
from prefect_collection._create_once.claims import LEASE, RENEWAL_INTERVAL
from prefect_collection._create_once.creates import Creates, creates_of
from prefect_collection._create_once.flow_run_claim import Entry, FlowRunClaim
from prefect_collection._prefect_server import inputs_of, write_input
from prefect_collection._state import runs_in

PREFIX = "retab-claim-all-"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LONG_AGO, JUST_NOW = NOW - 2 * LEASE, NOW - timedelta(seconds=1)
SENT = timedelta(seconds=RENEWAL_INTERVAL)
ONE, TWO = {"id": "run_1", "note": "n", "account": ""}, {"id": "run_2", "note": "n", "account": ""}


def claim(number, whose="other", at=LONG_AGO):
    return {"key": f"{PREFIX}{number}", "value": whose, "created": at.isoformat()}


def left(number, runs, at=LONG_AGO):
    return {"key": f"{PREFIX}{number}-left", "value": json.dumps({"runs": runs}), "created": at.isoformat()}


@pytest.mark.parametrize(
    ("inputs", "creates"),
    [
        ([], Creates()),
        ([claim(1), left(1, {"a": ONE})], Creates({"a": ONE})),
        # Several claims, each with what was created in it, and the newest of two.
        ([claim(1), left(1, {"a": ONE}), claim(2), left(2, {"b": TWO})], Creates({"a": ONE, "b": TWO})),
        (
            [claim(2, at=JUST_NOW), left(2, {"a": TWO}, JUST_NOW), claim(1), left(1, {"a": ONE})],
            Creates({"a": TWO}),
        ),
        # One that goes on, and one that has died.
        ([claim(1, at=JUST_NOW)], Creates(cut_off=NOW, is_held=True)),
        ([claim(1)], Creates(cut_off=LONG_AGO + SENT)),
        ([claim(1), claim(2, at=LONG_AGO + SENT)], Creates(cut_off=LONG_AGO + 2 * SENT)),
        # One that has died, and its successor.
        ([claim(1), claim(2, "third"), left(2, {"a": ONE})], Creates({"a": ONE}, cut_off=LONG_AGO + SENT)),
        ([claim(1), claim(2, "own", JUST_NOW)], Creates(cut_off=LONG_AGO + SENT)),
        # Renewed before it was left.
        ([claim(1), claim(2), left(2, {})], Creates()),
        ([claim(1, "own")], Creates()),
        # What is left cannot be read.
        ([claim(1), {**left(1, {}), "value": "["}], Creates()),
        ([claim(1), {**left(1, {}), "value": '{"runs": {"a": 5}}'}], Creates()),
    ],
)
def test_what_the_claims_tell_of_other_processes(inputs, creates):
    assert creates_of(inputs, "own", NOW) == creates


@pytest.fixture
def processes(inputs):
    """Two processes of one flow run."""
    flow_run_id = uuid4()
    both = FlowRunClaim(flow_run_id), FlowRunClaim(flow_run_id)
    yield both
    for process in both:
        process.tick(is_exit=True)


def begin(process, *, is_alone=True):
    entry = Entry()
    return entry if process.enter(entry, is_alone=is_alone) else None


def numbers(inputs):
    return [key.removeprefix(PREFIX) for key in inputs if key.startswith(PREFIX)]


def test_creates_at_once_share_the_claim_of_their_process(processes, inputs):
    one, _ = processes
    entries = [begin(one) for _ in range(100)]
    for number, entry in enumerate(entries):
        one.leave(entry, str(number), ONE, is_known=True)

    assert all(entry.epoch == 1 for entry in entries)
    assert numbers(inputs) == ["1"]

    one.tick(is_exit=True)
    assert numbers(inputs) == ["1", "1-left"]
    assert json.loads(inputs[f"{PREFIX}1-left"]["value"])["runs"] == {str(n): ONE for n in range(100)}


def test_a_claim_that_was_left_is_taken_again_without_asking(processes, inputs, monkeypatch):
    one, _ = processes
    for _ in range(2):
        one.leave(begin(one), "a", ONE, is_known=True)
        one.tick(is_exit=True)

    assert numbers(inputs) == ["1", "1-left", "2", "2-left"]
    assert not one.news


def test_a_process_that_wants_the_claim_waits_for_what_was_begun_in_it_and_then_all_share(processes, inputs):
    one, other = processes
    entry = begin(one)
    assert begin(other) is None
    one.tick()

    # What is begun from here on has a claim of its own.
    assert begin(one).epoch == 0
    assert begin(other) is None

    one.leave(entry, "a", ONE, is_known=True)
    assert begin(other).epoch == 0
    assert other.news
    assert other.others.runs == {"a": ONE}
    assert begin(one).epoch == 0


def test_a_process_whose_tasks_are_in_other_processes_shares_from_the_first_create_on(processes, inputs):
    one, other = processes

    assert begin(one, is_alone=False).epoch == 0
    assert begin(other).epoch == 0
    assert begin(one).epoch == 0


def test_a_create_whose_outcome_is_not_known_is_that_of_a_process_that_has_died(
    processes, inputs, monkeypatch
):
    one, other = processes
    one.leave(begin(one), "a", None, is_known=False)
    one.leave(begin(one), "b", TWO, is_known=True)
    one.tick(is_exit=True)

    assert begin(other) is None
    monkeypatch.setattr(claims, "LEASE", timedelta(0))
    assert begin(other) is not None
    assert other.others.cut_off is not None


def test_a_create_that_was_stopped_before_it_has_entered_holds_nobody_up(processes, inputs):
    one, other = processes
    entry = Entry()
    one.leave(entry, "a", None, is_known=True)
    one.enter(entry, is_alone=True)
    one.tick(is_exit=True)

    assert numbers(inputs) == ["1", "1-left"]
    assert begin(other) is not None


def test_a_claim_is_left_a_moment_after_the_last_create(processes, inputs, monkeypatch):
    one, _ = processes
    one.leave(begin(one), "a", ONE, is_known=True)
    one.tick()
    assert numbers(inputs) == ["1"]

    monkeypatch.setattr(flow_run_claim, "_TICK", 0.0)
    one.tick()
    assert numbers(inputs) == ["1", "1-left"]


def test_a_create_notices_that_the_claim_was_lost_since_although_it_was_taken_again(
    processes, inputs, monkeypatch
):
    one, _ = processes
    entry = begin(one)
    assert not one.has_lost(entry)

    with monkeypatch.context() as expired:
        expired.setattr(claims, "LEASE", timedelta(0))
        assert one.has_lost(entry)
        again = begin(one)

    assert one.has_lost(entry)
    assert not one.has_lost(again)


# ---- what is announced beside the claims


def test_what_is_announced_is_read_again_for_each_account(inputs):
    flow_run_id, outermost = uuid4(), uuid4()

    assert all(announce(flow_run_id, account, ("owner", outermost)) for account in (None, "other", None))

    assert read_announced(flow_run_id) == {None: {("owner", outermost)}, "other": {("owner", outermost)}}
    assert runs_in({}, read_announced(flow_run_id))["other"].families == {("owner", outermost)}
    assert len(inputs) == 2


@pytest.mark.parametrize("value", ["", "null", "[]", '{"account": null, "owner": "o", "outermost": "none"}'])
def test_an_input_of_somebody_else_announces_nothing(inputs, value):
    write_input(uuid4(), "retab-tagged-by-hand", value)

    assert read_announced(uuid4()) == {}


@pytest.mark.parametrize(("status", "is_written"), [(409, True), (403, False), (404, False), (422, False)])
def test_a_server_that_takes_no_inputs_announces_nothing(monkeypatch, status, is_written):
    refused = httpx.Response(status, request=httpx.Request("POST", "http://prefect.test"))

    def refuse(*_, **__):
        raise PrefectHTTPStatusError("refused", request=refused.request, response=refused)

    monkeypatch.setattr(SyncPrefectClient, "request", refuse)
    with temporary_settings({PREFECT_API_URL: "http://prefect.test/api"}):
        assert announce(uuid4(), None, ("owner", uuid4())) is is_written
        assert read_announced(uuid4()) == {}


def test_inputs_are_read_to_the_last_also_where_a_server_repeats_them(monkeypatch):
    pages = [[{"key": f"a-{number}"} for number in range(200)], [{"key": "a-200"}]]
    asked = []

    def request(_, method, path, *, path_params, json):
        asked.append(len(json["exclude_keys"]))
        page = pages[0 if is_repeating else len(asked) - 1]
        return httpx.Response(200, json=page, request=httpx.Request(method, "http://prefect.test"))

    monkeypatch.setattr(SyncPrefectClient, "request", request)
    with temporary_settings({PREFECT_API_URL: "http://prefect.test/api"}):
        is_repeating = False
        assert len(inputs_of(uuid4(), "a-")[0]) == 201
        is_repeating = True
        assert len(inputs_of(uuid4(), "a-")[0]) == 200
    assert asked == [0, 200, 0, 200]
