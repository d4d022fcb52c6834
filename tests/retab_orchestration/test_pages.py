"""Pages of lists that repeat rows, have none although others follow, or are refused."""

import pytest

from retab_orchestration import RequestRejectedError
from tests.retab_orchestration.conftest import ok, refused

ENDED = ok({"id": "run_1", "status": "completed"})


def step(node, node_type="extract", **more):
    handles = {"output-json-0": {"type": "json", "data": {"of": node}}}
    row = {"step_id": f"step_{node}", "block_id": node, "block_type": node_type, "run_id": "run_1"}
    return {**row, "lifecycle": {"status": "completed"}, "handle_outputs": handles, **more}


def page(*rows, after=None):
    return ok({"data": rows, "list_metadata": {"after": after}})


STEPS = [step("extract-1"), step("end-1", "end")]
# What a list has twice, of the steps that there are.
REPEATED = {
    "a cursor that is ignored": [page(*STEPS, after=f"c{number}") for number in range(9)],
    "a cursor that names the first row of a page": [page(*STEPS, after="c"), page(STEPS[1])],
    "rows that are twice on a page": [page(*STEPS, *STEPS)],
}


@pytest.mark.parametrize("pages", REPEATED.values(), ids=REPEATED)
def test_a_step_that_a_list_repeats_has_given_its_output_once(script, pages):
    client, _ = script(ENDED, *pages, api="current")

    assert client.get_run("run_1").outputs == {"end-1": {"of": "end-1"}}


def test_the_passes_of_a_loop_are_no_repetition_where_their_steps_have_one_id(script):
    passes = [step("end-1", "end", loop_containers=[{"iteration": number}]) for number in range(3)]
    client, _ = script(ENDED, page(*passes, after="c"), page(passes[2]), api="current")

    assert client.get_run("run_1").outputs == {"end-1": [{"of": "end-1"}] * 3}


def test_a_page_without_rows_does_not_end_a_list_that_goes_on(script):
    pages = [page(*STEPS, after="c1"), page(after="c2"), page(step("end-2", "end"))]
    client, _ = script(ENDED, *pages, api="current")

    assert set(client.get_run("run_1").outputs) == {"end-1", "end-2"}


def test_a_list_of_pages_without_rows_ends(script):
    client, runtime = script(*[page(after=f"c{number}") for number in range(99)], api="current")

    assert client.list_steps("run_1") == []
    assert len(runtime.sent) < 5


def test_a_run_that_moves_onto_the_next_page_comes_once(script):
    rows = [{"id": f"run_{number}", "status": "running"} for number in range(4)]
    client, _ = script(page(*rows[:3], after="c"), page(*rows[2:]), api="current")

    assert [run.id for run in client.iter_runs()] == [row["id"] for row in rows]


def test_a_server_that_refuses_both_words_for_a_failed_run_refuses_something_else(script):
    client, _ = script(*[refused(422, {"detail": "from_date is too old"})] * 2, api="current")

    with pytest.raises(RequestRejectedError, match="from_date is too old"):
        list(client.iter_runs(status="error"))


def test_a_list_of_failed_runs_whose_next_page_is_refused_has_not_ended(script):
    failed = page({"id": "run_1", "status": "error"}, after="c")
    goes_on = ok({"id": "run_1", "status": "error"})
    client, _ = script(failed, refused(422), refused(400, {"detail": "stale cursor"}), goes_on, api="current")

    with pytest.raises(RequestRejectedError, match="stale cursor"):
        list(client.iter_runs(status="error"))


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("server", ["classic", "current", "both"])
def test_all_runs_of_a_state_are_listed_although_each_leaves_the_list(connect, server, order):
    client, _ = connect(server=server)
    runs = [client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}}) for _ in range(50)]

    stopped = [client.cancel_run(run.id).id for run in client.iter_runs(status="running", order=order)]

    assert sorted(stopped) == sorted(run.id for run in runs)
