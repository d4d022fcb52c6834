"""What a caller sees, in both colours, on both route families, against the emulator's core."""

import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from retab_orchestration import (
    ApiConnectionError,
    ApiStatusError,
    FileReference,
    InvalidInputError,
    NotFoundError,
    PollPolicy,
    ReviewConflictError,
    RunCancelledError,
    RunFailedError,
    RunStatus,
    ServerError,
    UnreadableAnswerError,
    WaitTimeoutError,
)
from retab_orchestration.emulator import Node, Workflow
from tests.retab_orchestration.conftest import ok, refused

PDF = Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf"


@pytest.fixture
def retab(connect, family):
    """A client that found out by itself what the server speaks, and its runtime."""
    return connect(server=family)


def sent_json(runtime, index=-1):
    return json.loads(b"".join(runtime.sent[index].body.chunks()))


# ---- one run


def test_a_document_goes_in_and_outputs_come_out(retab):
    client, runtime = retab

    created = client.create_run("wf_invoice", documents={"start-node-1": PDF})
    assert created.status in {RunStatus.RUNNING, RunStatus.PENDING}
    assert created.workflow_id == "wf_invoice"

    run = client.wait_for_run(created.id)

    assert run.raise_for_status() is run
    output = run.final_outputs["end-node-1"]
    assert set(output) == {"label", "json_data"}
    assert output["json_data"] == run.outputs["end-node-1"]
    assert isinstance(run.outputs["end-node-1"]["total_amount"], float)
    assert runtime.service.stats()["runs_created"] == 1


def test_every_way_to_give_a_document_sends_the_same(retab):
    client, runtime = retab
    bodies = []
    with PDF.open("rb") as stream:
        for given in (PDF, ("invoice.pdf", PDF.read_bytes()), stream):
            client.create_run("wf_invoice", documents={"start-node-1": given})
            bodies.append(sent_json(runtime))
            bodies[-1].get("metadata", {}).pop("retab-orchestration.identity", None)
            bodies[-1].get("metadata", {}).pop("retab-orchestration.family", None)

    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["documents"]["start-node-1"]["filename"] == "invoice.pdf"


def test_a_run_is_looked_at_and_its_steps_are_all_read(retab):
    client, _ = retab
    run = client.wait_for_run(client.create_run("wf_invoice", documents={"start-node-1": PDF}).id)

    assert client.get_run(run.id).final_outputs == run.final_outputs
    steps = client.list_steps(run.id)

    assert [step.node_id for step in steps] == ["start-node-1", "extract-node-1", "end-node-1"]
    assert steps[1].handle_outputs["output-json-0"].data == run.outputs["end-node-1"]


def test_outputs_are_not_fetched_unless_they_are_wanted(connect):
    client, runtime = connect(server="current", api="current", auth="bearer")
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"a": 1}})

    looked = client.wait_for_run(run.id, outputs=False)

    assert looked.status is RunStatus.COMPLETED
    assert {name for name in runtime.requests if name.startswith("GET")} == {
        f"GET /v1/workflows/runs/{run.id}"
    }


def test_other_nodes_outputs_come_for_the_asking(retab):
    client, _ = retab
    run = client.wait_for_run(client.create_run("wf_invoice", documents={"start-node-1": PDF}).id)

    named = client.get_run(run.id, output_nodes=["extract-node-1"])

    assert list(named.final_outputs) == ["extract-node-1"]
    assert named.outputs["extract-node-1"] == run.outputs["end-node-1"]
    assert client.get_run(run.id, output_nodes=["end-node-1"]).final_outputs == run.final_outputs


def test_a_node_that_the_run_does_not_have_is_named_with_those_it_has(retab):
    client, _ = retab
    run = client.wait_for_run(client.create_run("wf_echo").id)

    with pytest.raises(InvalidInputError, match=r"nope.*end-node-1"):
        client.get_run(run.id, output_nodes=["nope"])


@pytest.mark.parametrize(
    "early",
    [[], [("a", "completed"), ("b", "running")], [("a", "completed"), ("end-1", "running")]],
    ids=["none", "one goes on", "one is missing"],
)
def test_outputs_of_named_nodes_are_read_once_the_list_of_steps_shows_the_end(script, early):
    def steps(states):
        rows = [
            {
                "block_id": node,
                "block_type": "end" if node == "end-1" else "extract",
                "lifecycle": {"status": status},
                "output": node if status == "completed" else None,
            }
            for node, status in states
        ]
        return ok({"data": rows})

    ended = ok({"id": "run_1", "status": "completed"})
    whole = steps([("a", "completed"), ("b", "completed"), ("end-1", "completed")])
    client, _ = script(ended, steps(early), whole, api="current")

    assert client.wait_for_run("run_1", output_nodes=["a", "b"]).outputs == {"a": "a", "b": "b"}


EDGES = ok({"data": [{"source": f, "target": t} for f, t in (("start", "a"), ("a", "b"), ("a", "c"))]})


def steps_of(**states):
    """Return the list of steps of a run, each of which gave its own name, and a file of that name."""
    rows = [
        {
            "block_id": node,
            "block_type": "start" if node == "start" else "extract",
            "lifecycle": {"status": status},
            "handle_outputs": {
                "output-json-0": {"data": node},
                "output-file-0": {"type": "file", "document": {"id": f"file_{node}"}},
            },
        }
        for node, status in states.items()
    ]
    return ok({"data": rows})


def completed(runtime, seconds=0):
    """Return a run that completed so many seconds ago."""
    moment = runtime.utc() - timedelta(seconds=seconds)
    return ok(
        {"id": "run_1", "workflow_id": "wf_1", "status": "completed", "completed_at": moment.isoformat()}
    )


EARLY = [
    {},
    {"start": "completed"},
    {"start": "completed", "a": "completed"},
    {"start": "completed", "a": "completed", "b": "pending"},
    {"start": "completed", "a": "completed", "b": "running"},
    {"start": "completed", "a": "completed", "b": "completed", "c": "queued"},
    {"start": "completed", "a": "running", "b": "completed"},
]
WHOLE = {"start": "completed", "a": "completed", "b": "completed", "c": "completed"}


@pytest.mark.parametrize("early", EARLY)
def test_outputs_are_read_once_the_list_of_steps_shows_where_the_graph_ends(script, early):
    client, runtime = script(api="current")
    runtime.answers += [completed(runtime), steps_of(**early), EDGES, steps_of(**WHOLE), EDGES]
    if not any(status == "completed" for status in early.values()):
        runtime.answers.remove(EDGES)

    assert client.wait_for_run("run_1").outputs == {"b": "b", "c": "c"}


@pytest.mark.parametrize("early", EARLY[2:4])
def test_a_named_node_that_the_list_of_steps_does_not_show_yet_is_waited_for(script, early):
    client, runtime = script(api="current")
    runtime.answers += [completed(runtime), steps_of(**early), EDGES, steps_of(**WHOLE)]

    assert client.wait_for_run("run_1", output_nodes=["c"]).outputs == {"c": "c"}


@pytest.mark.parametrize("early", EARLY)
def test_documents_are_not_listed_by_half(script, early):
    client, runtime = script(api="current")
    runtime.answers += [completed(runtime), steps_of(**early), EDGES]
    with pytest.raises(UnreadableAnswerError, match="does not show it yet"):
        client.list_documents("run_1")

    runtime.answers[:] = [completed(runtime), steps_of(**WHOLE), EDGES]
    assert [made.node_id for made in client.list_documents("run_1")] == ["a", "b", "c"]


@pytest.mark.parametrize("seconds", [60, 10**6])
def test_a_workflow_that_goes_on_behind_what_has_run_leaves_a_run_its_outputs(script, seconds):
    client, runtime = script(api="current")
    runtime.answers += [completed(runtime, seconds), steps_of(start="completed", a="completed"), EDGES]

    assert client.get_run("run_1").outputs == {"a": "a"}


def test_an_end_that_was_skipped_has_no_outputs(script):
    client, runtime = script(api="current")
    runtime.answers += [completed(runtime), steps_of(start="completed", a="completed", b="skipped"), EDGES]

    assert client.get_run("run_1").outputs == {}


def test_a_run_that_goes_on_has_no_outputs_of_named_nodes_yet(retab):
    client, _ = retab
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 60}})

    assert client.get_run(run.id, output_nodes=["end-node-1"]).final_outputs == {}


def test_json_and_text_go_in_where_the_routes_take_them(connect):
    client, _ = connect(server="classic")
    run = client.create_run(
        "wf_echo", json_inputs={"json-node-1": {"a": [1]}}, text_inputs={"text-node-1": "hello"}
    )

    echoed = client.wait_for_run(run.id).outputs["end-node-1"]

    assert "hello" in json.dumps(echoed)
    assert "[1]" in json.dumps(echoed)


def test_version_and_metadata_reach_current_routes(connect):
    client, runtime = connect(server="current")

    run = client.create_run("wf_echo", version="draft", metadata={"batch": "b1"})

    assert run.metadata["batch"] == "b1"
    assert sent_json(runtime)["version"] == "draft"
    assert [found.id for found in client.iter_runs(metadata={"batch": "b1"})] == [run.id]


def test_a_stored_file_is_sent_as_current_routes_want_it(script):
    link = ok(
        {"download_url": "x", "mime_data": {"filename": "a.pdf", "url": "https://storage.retab.com/f1"}}
    )
    client, runtime = script(link, ok({"id": "run_1", "status": "running"}), api="current")

    client.create_run("wf_1", documents={"start-node-1": {"file_id": "file_1"}})

    assert runtime.requests == ["GET /v1/files/file_1/download-link", "POST /v1/workflows/runs"]
    sent = json.loads(runtime.bodies[1])["documents"]["start-node-1"]
    assert sent == {"filename": "a.pdf", "url": "https://storage.retab.com/f1"}


def test_a_stored_file_is_sent_by_its_id_on_classic_routes(script):
    client, runtime = script(ok({"id": "run_1", "status": "running"}))

    client.create_run("wf_1", documents={"n": FileReference(id="file_1", filename="a", mime_type="b/c")})

    assert json.loads(runtime.bodies[0])["documents"]["n"] == {
        "id": "file_1",
        "filename": "a",
        "mime_type": "b/c",
    }


# ---- what is not there


@pytest.mark.parametrize("operation", ["get_run", "list_steps", "cancel_run", "wait_for_run"])
def test_a_run_that_is_not_there(retab, operation):
    client, _ = retab

    with pytest.raises(NotFoundError, match="run_unheard_of"):
        getattr(client, operation)("run_unheard_of")


# ---- lists


def test_runs_are_listed_page_by_page_and_iterated_to_the_end(retab):
    client, _ = retab
    created = [client.create_run("wf_echo").id for _ in range(5)]

    first = client.list_runs(limit=2)
    assert len(first.data) == 2
    assert first.after == first.data[-1].id

    assert [run.id for run in client.iter_runs(limit=2)] == created[::-1]
    assert [run.id for run in client.iter_runs(limit=2, order="asc")] == created
    assert [run.id for run in client.iter_runs(limit=2, after=first.after)] == created[2::-1]


@pytest.mark.parametrize("metadata", ["kept", "unfiltered", "dropped"])
def test_no_run_is_listed_without_the_metadata_that_was_asked_for(connect, metadata):
    client, _ = connect(server="current", traits={"metadata": metadata})
    created = [client.create_run("wf_echo", metadata={"batch": f"b{n % 2}"}).id for n in range(6)]
    of_batch = {"metadata": {"batch": "b1"}, "limit": 2}

    if metadata == "dropped":
        for call in (lambda: client.list_runs(**of_batch), lambda: list(client.iter_runs(**of_batch))):
            with pytest.raises(InvalidInputError, match="keeps no run metadata"):
                call()
    else:
        assert [run.id for run in client.iter_runs(**of_batch)] == created[5:0:-2]
        assert {run.id for run in client.list_runs(**of_batch).data} <= set(created[1::2])


def test_a_state_in_any_spelling_narrows_the_list(retab):
    client, _ = retab
    waiting = client.create_run("wf_invoice_review", documents={"start-node-1": PDF}).id
    client.wait_for_run(waiting)
    client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 60}})

    for spelling in ("awaiting_review", "waiting_for_human"):
        assert [run.id for run in client.iter_runs(status=spelling)] == [waiting]


@pytest.mark.parametrize(
    "last",
    [
        {"data": [{"id": "run_2", "status": "running"}], "list_metadata": {"after": None}},
        {"data": [{"id": "run_2", "status": "running"}]},
        {"data": [], "list_metadata": {"after": "run_2"}},
    ],
)
def test_a_listing_ends_without_a_cursor_or_on_an_empty_page(script, last):
    first = {"data": [{"id": "run_1", "status": "running"}], "list_metadata": {"after": "run_1"}}
    client, runtime = script(ok(first), ok(last))

    assert len(list(client.iter_runs())) == 1 + len(last["data"])
    assert runtime.sent[1].query == (("after", "run_1"),)


def test_a_server_that_does_not_page_is_read_once(script):
    page = {"data": [{"id": "run_1", "status": "running"}], "list_metadata": {"after": "run_1"}}
    client, _ = script(ok(page), ok(page))
    assert [run.id for run in client.iter_runs()] == ["run_1"]

    steps = {"data": [{"node_id": "a", "status": "completed"}], "list_metadata": {"after": "a"}}
    client, _ = script(ok(steps), ok(steps))
    assert [step.node_id for step in client.list_steps("run_1")] == ["a"]


def test_paging_back_goes_back_to_the_first_page(script):
    def page(*ids, before):
        rows = [{"id": each, "status": "running"} for each in ids]
        return ok({"data": rows, "list_metadata": {"before": before, "after": ids[-1]}})

    client, runtime = script(page("run_7", "run_8", before="run_7"), page("run_5", "run_6", before=None))

    assert [run.id for run in client.iter_runs(before="run_9")] == ["run_8", "run_7", "run_6", "run_5"]
    assert [request.query for request in runtime.sent] == [(("before", "run_9"),), (("before", "run_7"),)]


def test_pages_are_read_when_they_are_needed(script):
    client, runtime = script(
        ok({"data": [{"id": "run_1", "status": "running"}], "list_metadata": {"after": "run_1"}})
    )

    assert next(iter(client.iter_runs())).id == "run_1"
    assert len(runtime.sent) == 1


def test_steps_are_read_to_the_last_page(script):
    def page(node, after):
        return ok(
            {
                "data": [{"block_id": node, "lifecycle": {"status": "completed"}}],
                "list_metadata": {"after": after},
            }
        )

    client, runtime = script(page("a", "a"), page("b", None), api="current")

    assert [step.node_id for step in client.list_steps("run_1")] == ["a", "b"]
    assert dict(runtime.sent[1].query) == {"run_id": "run_1", "limit": "200", "after": "a"}


# ---- waiting


def test_every_change_of_state_is_told_once(retab):
    client, _ = retab
    seen = []
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 30}})

    client.wait_for_run(run.id, on_change=lambda changed: seen.append(changed.status))

    assert seen == [RunStatus.RUNNING, RunStatus.COMPLETED]


def test_a_short_run_is_noticed_soon_and_a_long_one_costs_few_looks(connect):
    client, runtime = connect(server="classic", api="classic", auth="bearer")
    short = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 3}}).id
    client.wait_for_run(short)
    assert runtime.now() <= 3 + 1

    looks = len(runtime.sent)
    started = runtime.now()
    long = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 3600}}).id
    client.wait_for_run(long)

    assert runtime.now() - started <= 3600 + 30
    assert len(runtime.sent) - looks <= 3600 / 5 / 5


def test_a_wait_ticks_every_second_and_polls_when_it_would_anyway(retab):
    client, runtime = retab
    ticks, polls = [], []

    for on_tick in (None, lambda: ticks.append(runtime.now())):
        run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}})
        began, sent = runtime.now(), len(runtime.sent_at)
        client.wait_for_run(run.id, on_tick=on_tick)
        polls.append([round(at - began, 3) for at in runtime.sent_at[sent:]])

    assert polls[0] == polls[1]
    assert max(later - earlier for earlier, later in pairwise(ticks)) <= 1 + 1e-6
    assert len(ticks) > 600


class Stopped(BaseException):
    """As hosts raise it to stop what they run."""


def test_what_a_tick_raises_ends_the_wait_and_the_run_goes_on(retab):
    client, runtime = retab
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}})
    stops_at = runtime.now() + 100.5

    def tick():
        if runtime.now() > stops_at:
            raise Stopped

    with pytest.raises(Stopped):
        client.wait_for_run(run.id, on_tick=tick)

    assert runtime.now() <= stops_at + 1
    assert client.get_run(run.id).status is RunStatus.RUNNING


def test_a_wait_ends_at_its_deadline_and_the_run_goes_on(retab):
    client, runtime = retab
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}})
    started = runtime.now()

    with pytest.raises(WaitTimeoutError, match="goes on") as expired:
        client.wait_for_run(run.id, timeout=10)

    assert runtime.now() - started == pytest.approx(10)
    assert (expired.value.run_id, expired.value.run.status) == (run.id, RunStatus.RUNNING)
    assert client.wait_for_run(run.id).status is RunStatus.COMPLETED


def test_a_deadline_names_a_state_that_nobody_knows(script):
    client, _ = script(*[ok({"id": "run_1", "status": "hibernating"})] * 50)

    with pytest.raises(WaitTimeoutError, match="hibernating"):
        client.wait_for_run("run_1", timeout=20)


def test_a_run_that_waits_for_a_human_ends_a_wait_unless_it_is_to_go_on(retab):
    client, _ = retab
    run = client.create_run("wf_invoice_review", documents={"start-node-1": PDF})

    waiting = client.wait_for_run(run.id)
    assert (waiting.status, waiting.waiting_for_node_ids) == (RunStatus.WAITING_FOR_HUMAN, ("hil-node-1",))
    assert waiting.final_outputs == {}
    assert waiting.raise_for_status() is waiting

    def decide(changed):
        if changed.is_waiting:
            client.decide_review(run.id, "hil-node-1", approved=True)

    done = client.wait_for_run(run.id, on_review="wait", on_change=decide)
    assert done.status is RunStatus.COMPLETED
    assert done.outputs["end-node-1"]["invoice_number"]


def test_a_deadline_does_not_run_while_a_human_is_asked(retab):
    client, runtime = retab
    run = client.create_run("wf_invoice_review", documents={"start-node-1": PDF})
    client.wait_for_run(run.id)
    started = runtime.now()
    asked = []

    def much_later(changed):
        if changed.is_waiting:
            asked.append(changed.id)
            runtime.clock.time += 3 * 86400
            client.decide_review(run.id, "hil-node-1", approved=True)

    done = client.wait_for_run(run.id, timeout=60, on_review="wait", on_change=much_later)

    assert done.status is RunStatus.COMPLETED
    assert runtime.now() - started > 3 * 86400


def test_looks_that_fail_now_and_then_do_not_end_a_wait(script):
    bad = [refused(500), refused(429), refused(404, {"detail": "Workflow run not found"})]
    running = ok({"id": "run_1", "status": "running"})
    client, runtime = script(
        *bad, running, *bad, ok({"id": "run_1", "status": "completed", "final_outputs": {}})
    )

    assert client.wait_for_run("run_1").status is RunStatus.COMPLETED
    assert len(runtime.sent) == 8


def test_a_run_that_is_not_found_for_a_minute_and_three_looks_ends_a_wait(script):
    client, runtime = script(*[refused(404, {"detail": "Workflow run not found"})] * 20)

    with pytest.raises(NotFoundError):
        client.wait_for_run("run_1", poll=PollPolicy(interval=20.0, jitter=0.0))

    assert runtime.now() >= 60.5
    assert len([at for at in runtime.sent_at if at >= 60.5]) == 3


@pytest.mark.parametrize("bad", [503, 500, 429])
def test_looks_that_fail_for_ten_minutes_end_a_wait_and_not_before(script, bad):
    client, runtime = script(*[refused(bad)] * 200)

    with pytest.raises(ApiStatusError):
        client.wait_for_run("run_1")

    assert 600.0 <= runtime.now() - 0.5 < 610.0


def test_an_answer_about_another_run_is_none(script):
    other, own = (ok({"id": name, "status": "completed", "final_outputs": {}}) for name in ("run_2", "run_1"))
    client, _ = script(other, own)

    assert client.wait_for_run("run_1").id == "run_1"


def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends(script):
    running = ok({"id": "run_1", "status": "running"})
    client, _ = script(
        running,
        *[refused(503)] * 4,
        running,
        refused(404, {"detail": "Workflow run not found"}),
        ok({"id": "run_1", "status": "completed", "final_outputs": {}}),
    )
    told = []

    client.wait_for_run("run_1", on_outage=told.append)

    assert [type(each) for each in told] == [ServerError, type(None)]


def test_the_last_failure_is_told_with_a_deadline(script):
    client, _ = script(ok({"id": "run_1", "status": "running"}), *[refused(503)] * 20)

    with pytest.raises(WaitTimeoutError, match="HTTP 503") as expired:
        client.wait_for_run("run_1", timeout=10, poll=PollPolicy())

    assert isinstance(expired.value.__cause__, ServerError)


def test_a_look_may_not_take_longer_than_is_left(script):
    running = ok({"id": "run_1", "status": "running"})
    client, runtime = script(*[running] * 40)

    with pytest.raises(WaitTimeoutError):
        client.wait_for_run("run_1", timeout=14)

    limits = [request.timeout for request in runtime.sent]
    assert limits[0] == pytest.approx(13.5)
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] == 5.0


def test_a_look_is_not_repeated_by_itself(script):
    client, runtime = script(refused(500), ok({"id": "run_1", "status": "completed", "final_outputs": {}}))

    client.wait_for_run("run_1", poll=PollPolicy(jitter=0.0))

    assert len(runtime.sent) == 2
    assert runtime.now() == pytest.approx(0.5 + 1.0)


def test_two_reviews_in_one_run_both_stop_the_clock(script):
    def at(status):
        return ok({"id": "run_1", "status": status})

    looks = [at("waiting_for_human"), at("running"), at("waiting_for_human"), at("running"), at("completed")]
    client, _ = script(*looks)

    done = client.wait_for_run("run_1", timeout=3, on_review="wait", outputs=False)

    assert done.status is RunStatus.COMPLETED


def test_failures_up_to_the_deadline_say_that_the_run_could_not_be_looked_at(script):
    client, _ = script(*[refused(500)] * 9)

    with pytest.raises(WaitTimeoutError, match="could not be polled"):
        client.wait_for_run("run_1", timeout=3, poll=PollPolicy())


def test_a_run_that_failed_says_why(retab):
    client, _ = retab
    run = client.create_run(
        "wf_fail", json_inputs={"json-node-1": {"message": "the scan is blank", "category": "permanent"}}
    )

    failed = client.wait_for_run(run.id)

    assert failed.status is RunStatus.ERROR
    with pytest.raises(RunFailedError, match="the scan is blank") as error:
        failed.raise_for_status()
    assert error.value.run is failed


def test_a_run_that_does_not_say_why_takes_it_from_the_step_that_failed(script):
    steps = [
        {"node_id": "a", "status": "completed"},
        {
            "node_id": "b",
            "status": "error",
            "error": "quota used up",
            "error_category": "quota",
            "error_stage": "execution",
        },
    ]
    client, _ = script(ok({"id": "run_1", "status": "error", "error": "step failed"}), ok(steps))

    error = client.get_run("run_1").error

    assert (error.category, error.stage, error.failing_step_id) == ("quota", "execution", "b")
    assert error.message == "step failed"


@pytest.mark.parametrize("steps", [ok([]), refused(403), ok([{"node_id": "a", "status": "completed"}])])
def test_a_run_whose_steps_do_not_say_why_either_failed_all_the_same(script, steps):
    client, _ = script(ok({"id": "run_1", "status": "error"}), steps)

    with pytest.raises(RunFailedError):
        client.get_run("run_1").raise_for_status()


def test_a_run_that_says_why_costs_no_request(script):
    body = {"id": "run_1", "lifecycle": {"status": "error", "message": "m", "category": "permanent"}}
    client, runtime = script(ok(body), api="current")

    failed = client.get_run("run_1")

    assert len(runtime.sent) == 1
    with pytest.raises(RunFailedError) as error:
        failed.raise_for_status()
    assert error.value.retryable is False


def done(node, ended):
    handles = {"output-json-0": {"type": "json", "data": node}}
    times = {"started_at": ended, "completed_at": ended}
    return {
        "block_id": node,
        "block_type": "extract",
        "lifecycle": {"status": "completed"},
        "handle_outputs": handles,
        **times,
    }


STEPS = ok(
    {
        "data": [
            done("a", "2026-01-01T00:00:01Z"),
            done("b", "2026-01-01T00:00:02Z"),
            done("c", "2026-01-01T00:00:03Z"),
        ]
    }
)
COMPLETED = {"id": "run_1", "workflow_id": "wf_1", "lifecycle": {"status": "completed"}}


@pytest.mark.parametrize(
    ("edges", "ends"),
    [
        (
            ok(
                {
                    "data": [
                        {"source_block": "a", "target_block": "b"},
                        {"source_block": "a", "target_block": "c"},
                    ]
                }
            ),
            ["b", "c"],
        ),
        (ok([{"source": "a", "target": "b"}, {"source": "b", "target": "c"}]), ["c"]),
        (refused(403), ["c"]),
        (refused(404, {"detail": "Not Found"}), ["c"]),
    ],
)
def test_outputs_are_those_of_the_nodes_where_the_graph_ends(script, edges, ends):
    client, _ = script(ok(COMPLETED), STEPS, edges, api="current")

    assert client.get_run("run_1").outputs == {node: node for node in ends}


def test_a_run_is_cancelled_and_says_so(retab):
    client, _ = retab
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 60}})

    assert client.cancel_run(run.id).cancellation.status in {"cancelled", "cancellation_requested"}

    cancelled = client.wait_for_run(run.id)
    assert cancelled.status is RunStatus.CANCELLED
    with pytest.raises(RunCancelledError, match=run.id):
        cancelled.raise_for_status()
    assert client.cancel_run(run.id).status is RunStatus.CANCELLED


# ---- reviews


@pytest.fixture
def waiting(retab):
    client, runtime = retab
    run = client.create_run("wf_invoice_review", documents={"start-node-1": PDF})
    client.wait_for_run(run.id)
    return client, runtime, run.id


def test_an_approval_lets_the_run_go_on_as_it_is(waiting):
    client, _, run_id = waiting

    decision = client.decide_review(run_id, "hil-node-1", approved=True)

    assert (decision.outcome, decision.approved, decision.run_id, decision.node_id) == (
        "accepted",
        True,
        run_id,
        "hil-node-1",
    )
    assert client.wait_for_run(run_id).outputs["end-node-1"]["vendor_name"]


def test_an_approval_with_changes_lets_the_run_go_on_with_them(waiting):
    client, _, run_id = waiting
    changed = {"invoice_number": "INV-CHANGED", "total_amount": 1.5}

    client.decide_review(run_id, "hil-node-1", approved=True, modified_data=changed, reason="the scan misled")

    assert client.wait_for_run(run_id).outputs["end-node-1"] == changed


def test_a_rejection_ends_the_run(waiting):
    client, _, run_id = waiting

    decision = client.decide_review(run_id, "hil-node-1", approved=False, reason="not an invoice")

    assert decision.approved is False
    assert client.wait_for_run(run_id).status is RunStatus.CANCELLED


@pytest.mark.parametrize(
    "decided",
    [{"approved": True}, {"approved": False, "reason": "no"}, {"approved": True, "modified_data": {"a": 1}}],
)
def test_the_same_decision_again_does_no_harm(waiting, decided):
    client, _, run_id = waiting
    client.decide_review(run_id, "hil-node-1", **decided)
    client.wait_for_run(run_id)

    again = client.decide_review(run_id, "hil-node-1", **decided)

    assert again.outcome in {"already_applied", "already_received"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"approved": True}, {"approved": False, "reason": "no"}),
        ({"approved": False, "reason": "no"}, {"approved": True}),
        ({"approved": True, "modified_data": {"a": 1}}, {"approved": True, "modified_data": {"a": 2}}),
    ],
)
def test_another_decision_conflicts_and_changes_nothing(waiting, first, second):
    client, _, run_id = waiting
    client.decide_review(run_id, "hil-node-1", **first)
    outcome = client.wait_for_run(run_id)

    with pytest.raises(ReviewConflictError, match=run_id):
        client.decide_review(run_id, "hil-node-1", **second)

    assert client.get_run(run_id).outputs == outcome.outputs


def test_a_rejection_on_current_routes_needs_a_reason(connect):
    client, runtime = connect(server="current", api="current", auth="bearer")

    with pytest.raises(InvalidInputError, match="reason"):
        client.decide_review("run_1", "hil-node-1", approved=False)

    assert runtime.sent == []


def test_a_node_without_a_review_is_named_with_the_one_that_has_it(connect):
    client, _ = connect(server="current")
    run = client.create_run("wf_invoice_review", documents={"start-node-1": PDF})
    client.wait_for_run(run.id)

    with pytest.raises(InvalidInputError, match="waits for hil-node-1"):
        client.decide_review(run.id, "extract-node-1", approved=True)


def test_an_older_server_is_asked_to_resume_with_the_same_command(script):
    answer = {"run": {"id": "run_1", "status": "running"}, "resume_status": "processing"}
    client, runtime = script(refused(404, {"detail": "Not Found"}), ok(answer))

    decision = client.decide_review("run_1", "hil-1", approved=True, modified_data={"a": 1})

    first, second = map(json.loads, runtime.bodies)
    assert decision.outcome == "accepted"
    assert first["command_id"] == second["command_id"]
    assert (first["block_id"], second["node_id"]) == ("hil-1", "hil-1")
    assert runtime.requests[1] == "POST /v1/workflows/runs/run_1/resume"


def test_a_lost_answer_to_a_decision_is_asked_for_again(waiting):
    client, runtime, run_id = waiting
    runtime.service.faults.post([{"match": "POST /v1/workflows/*", "kind": "reset_after", "times": 1}])

    decision = client.decide_review(run_id, "hil-node-1", approved=True)

    assert decision.outcome in {"accepted", "already_received", "already_applied"}
    assert client.wait_for_run(run_id).status is RunStatus.COMPLETED


REVIEW = {"id": "rev_1", "run_id": "run_1", "block_id": "n", "decision": None}


def version(identity, parent=None, snapshot=None, created_at="2026-05-01T14:30:00Z"):
    return {"id": identity, "parent_id": parent, "snapshot": snapshot or {"a": 1}, "created_at": created_at}


def test_a_review_is_decided_in_the_routes_that_a_server_has_by_now(connect):
    now, later = connect(server="current", api="current", auth="bearer")
    waiting = now.create_run("wf_invoice_review", documents={"start-node-1": PDF})
    now.wait_for_run(waiting.id)
    client, runtime = connect(server="classic", auth="bearer")
    client.create_run("wf_echo")  # it has seen the routes before
    runtime.service = later.service

    assert client.decide_review(waiting.id, "hil-node-1", approved=True).outcome == "accepted"


def test_the_newest_version_is_decided_and_an_edit_keeps_its_form(script):
    versions = [version("rvr_1", None, {"output": {"a": 1}}), version("rvr_2", "rvr_1", {"output": {"a": 2}})]
    accepted = {
        "submission_status": "accepted",
        "review": REVIEW,
        "resume_status": "pending",
        "resume_error": "later",
    }
    client, runtime = script(
        ok({"data": [REVIEW]}),
        ok({"data": versions}),
        ok(version("rvr_3", "rvr_2")),
        ok(accepted),
        api="current",
    )

    decision = client.decide_review("run_1", "n", approved=True, modified_data={"a": 3})

    assert json.loads(runtime.bodies[2]) == {
        "review_id": "rev_1",
        "parent_id": "rvr_2",
        "snapshot": {"output": {"a": 3}},
    }
    assert json.loads(runtime.bodies[3]) == {"version_id": "rvr_3"}
    assert (decision.outcome, decision.resume_status, decision.resume_error) == (
        "accepted",
        "pending",
        "later",
    )


@pytest.mark.parametrize(
    "standing",
    [ok({"submission_status": "conflict", "review": REVIEW}), refused(409, {"detail": "newer versions"})],
)
def test_a_conflict_is_the_same_error_however_the_server_says_it(script, standing):
    undecided = ok({"data": [REVIEW]})
    client, _ = script(undecided, ok({"data": [version("rvr_1")]}), standing, undecided, api="current")

    with pytest.raises(ReviewConflictError):
        client.decide_review("run_1", "n", approved=True)


@pytest.mark.parametrize(
    ("verdict", "asked"), [("approved", {"approved": True}), ("rejected", {"approved": False, "reason": "r"})]
)
def test_a_conflict_with_the_same_decision_is_none(script, verdict, asked):
    decided = {**REVIEW, "decision": {"verdict": verdict, "version_id": "rvr_1"}}
    answers = [
        ok({"data": [REVIEW]}),
        ok({"data": [version("rvr_1")]}),
        ApiConnectionError("lost"),
        refused(409),
    ]
    client, _ = script(*answers, ok({"data": [decided]}), api="current")

    decision = client.decide_review("run_1", "n", **asked)

    assert (decision.outcome, decision.approved) == ("already_received", asked["approved"])
    assert (decision.run_id, decision.node_id, decision.version_id) == ("run_1", "n", "rvr_1")


@pytest.mark.parametrize(
    "standing",
    [{"verdict": "rejected", "version_id": "rvr_1"}, {"verdict": "approved", "version_id": "rvr_2"}],
)
def test_a_conflict_with_another_decision_is_one(script, standing):
    decided = {**REVIEW, "decision": standing}
    answers = [
        ok({"data": [REVIEW]}),
        ok({"data": [version("rvr_1")]}),
        refused(409),
        ok({"data": [decided]}),
    ]
    client, _ = script(*answers, api="current")

    with pytest.raises(ReviewConflictError):
        client.decide_review("run_1", "n", approved=True)


@pytest.mark.parametrize("newest_first", [False, True])
def test_of_the_passes_of_a_loop_the_one_that_has_waited_longest_is_decided(script, newest_first):
    reviews = [{**REVIEW, "id": f"rev_{n}", "created_at": f"2026-05-01T00:00:0{n}Z"} for n in range(3)]
    accepted = {"submission_status": "accepted", "review": reviews[0]}
    answers = [ok({"data": reviews[::-1] if newest_first else reviews}), ok({"data": [version("rvr_1")]})]
    client, runtime = script(*answers, ok(accepted), api="current")

    client.decide_review("run_1", "n", approved=True)

    assert runtime.requests[-1] == "POST /v1/workflows/reviews/rev_0/approve"


def test_an_edit_that_is_there_already_is_not_made_again(script):
    versions = [version("rvr_1", None, {"a": 1}), version("rvr_2", "rvr_1", {"a": 3})]
    accepted = {"submission_status": "accepted", "review": REVIEW}
    client, runtime = script(ok({"data": [REVIEW]}), ok({"data": versions}), ok(accepted), api="current")

    client.decide_review("run_1", "n", approved=True, modified_data={"a": 3})

    assert json.loads(runtime.bodies[2]) == {"version_id": "rvr_2"}


def test_of_two_edits_of_the_same_version_the_later_one_is_decided(script):
    versions = [
        version("rvr_2", "rvr_1", {"a": 2}, "2026-05-02T00:00:00Z"),
        version("rvr_3", "rvr_1", {"a": 3}, "2026-05-01T00:00:00Z"),
        version("rvr_1"),
    ]
    accepted = {"submission_status": "accepted", "review": REVIEW}
    client, runtime = script(ok({"data": [REVIEW]}), ok({"data": versions}), ok(accepted), api="current")

    client.decide_review("run_1", "n", approved=True)

    assert json.loads(runtime.bodies[2]) == {"version_id": "rvr_2"}


def test_a_review_that_was_cancelled_with_its_run_is_none(script):
    cancelled = {**REVIEW, "cancelled_at": "2026-05-01T00:00:00Z"}
    run = {"id": "run_1", "lifecycle": {"status": "cancelled"}}
    client, _ = script(ok({"data": [cancelled]}), ok(run), api="current")

    with pytest.raises(InvalidInputError, match="cancelled"):
        client.decide_review("run_1", "n", approved=True)


def test_the_decision_that_stands_is_asked_for_by_its_own_version(script):
    decided = {**REVIEW, "decision": {"verdict": "approved", "version_id": "rvr_1"}}
    again = {"submission_status": "already_applied", "review": decided}
    versions = [version("rvr_1"), version("rvr_2", "rvr_1")]
    client, runtime = script(ok({"data": [decided]}), ok({"data": versions}), ok(again), api="current")

    assert client.decide_review("run_1", "n", approved=True).outcome == "already_applied"
    assert json.loads(runtime.bodies[2]) == {"version_id": "rvr_1"}


def test_a_review_without_a_version_cannot_be_decided(script):
    client, _ = script(ok({"data": [REVIEW]}), ok({"data": []}), api="current")

    with pytest.raises(UnreadableAnswerError, match="no version"):
        client.decide_review("run_1", "n", approved=True)


def test_a_receipt_that_says_nothing_is_no_success(script):
    client, _ = script(ok({}))

    with pytest.raises(UnreadableAnswerError, match="receipt"):
        client.decide_review("run_1", "n", approved=True)


def test_a_run_that_is_not_there_is_not_taken_for_a_missing_route(script):
    client, _ = script(refused(404, {"detail": "Workflow run not found"}), refused(405))

    with pytest.raises(NotFoundError, match="Workflow run not found"):
        client.decide_review("run_1", "n", approved=True)


# ---- runs of tests


def test_a_run_of_tests_that_is_not_found_yet_is_waited_for(script):
    missing = refused(404, {"detail": "Workflow eval run not found"})
    done_run = ok({"id": "wfevalrun_1", "lifecycle": {"status": "completed"}, "counts": {"passed": 1}})
    client, _ = script(missing, missing, done_run, api="current")

    assert client.wait_for_test_run("wfevalrun_1").passed is True


def test_a_run_of_tests_passes_or_does_not(retab):
    client, _ = retab

    created = client.create_test_run("wf_invoice")
    assert created.passed is None

    done = client.wait_for_test_run(created.id)

    assert done.status is RunStatus.COMPLETED
    assert isinstance(done.passed, bool)
    results = client.list_test_results(done.id)
    assert len(results) == done.total_tests > 0
    result = client.get_test_result(done.id, results[0].test_id)
    assert result.test_id == results[0].test_id
    assert client.get_test_run(done.id).id == done.id


def test_one_test_or_one_node_can_be_run(retab):
    client, _ = retab
    every = client.create_test_run("wf_invoice")
    client.wait_for_test_run(every.id)
    test_id = client.list_test_results(every.id)[0].test_id

    assert client.create_test_run("wf_invoice", test_id=test_id).total_tests == 1
    assert client.create_test_run("wf_invoice", block_id="extract-node-1").target.block_id == "extract-node-1"


def test_a_result_that_is_not_there(retab):
    client, _ = retab
    run = client.create_test_run("wf_invoice")

    with pytest.raises(NotFoundError):
        client.get_test_result(run.id, "test_unheard_of")


def test_a_server_that_says_tests_instead_of_evals_is_understood(script):
    no_route = refused(404, {"detail": "Not Found"})
    run = {"id": "wftestrun_1", "lifecycle": {"status": "pending"}}
    client, runtime = script(no_route, ok(run), ok(run), api="current")

    client.create_test_run("wf_1", test_id="t1")
    client.get_test_run("wftestrun_1")

    assert runtime.requests[-2:] == [
        "POST /v1/workflows/tests/runs",
        "GET /v1/workflows/tests/runs/wftestrun_1",
    ]
    assert json.loads(runtime.bodies[-2])["scope"] == {"type": "single", "test_id": "t1"}


def test_an_approval_that_resumes_nothing_says_so(connect):
    client, runtime = connect(server="current", api="current", auth="bearer")
    run = client.create_run("wf_invoice_review", documents={"start-node-1": PDF})
    waiting = client.wait_for_run(run.id)
    runtime.service.faults.post([{"match": "POST */approve", "kind": "no_resume"}])

    receipt = client.decide_review(run.id, waiting.waiting_for_node_ids[0], approved=True)

    assert (receipt.outcome, receipt.will_resume) == ("accepted", False)
    assert receipt.resume_error


TWO_REVIEWS = Workflow(
    "wf_two_reviews",
    "Two reviews",
    (
        Node("json-node-1", "start_json", "JSON"),
        Node("hil-node-1", "hil", "First", ("json-node-1",)),
        Node("hil-node-2", "hil", "Second", ("hil-node-1",)),
        Node("end-node-1", "end", "Output", ("hil-node-2",)),
    ),
)


def test_a_review_that_follows_another_at_once_is_told(connect, family):
    client, _ = connect(server=family, workflows=[TWO_REVIEWS])
    run = client.create_run("wf_two_reviews", json_inputs={"json-node-1": {}})
    told = []

    def decide(changed):
        told.append((changed.status.value, changed.waiting_for_node_ids))
        if changed.is_waiting:
            client.decide_review(run.id, changed.waiting_for_node_ids[0], approved=True)

    done = client.wait_for_run(run.id, on_review="wait", on_change=decide)

    assert done.status is RunStatus.COMPLETED
    assert [nodes for _, nodes in told if nodes] == [("hil-node-1",), ("hil-node-2",)]
    assert told == list(dict.fromkeys(told))
