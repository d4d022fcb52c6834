"""docs/api.md names everything that five pages of Retab document, and the client and the emulator have it there."""

import base64
import copy

import pytest

from retab_orchestration import Document
from retab_orchestration.models import RunPage, Step, WorkflowRun, WorkflowTestRun
from tests.retab_orchestration import api_emulated
from tests.retab_orchestration.api_emulated import INVOICE, example
from tests.retab_orchestration.api_tables import (
    PAGE,
    carries,
    changed,
    documented,
    is_shown,
    place_of,
    resolve,
    rows_of,
    same_parts,
    steps_of,
    values_at,
)

ROWS = rows_of(PAGE.read_text())
TAKEN = [row for row in ROWS if row.place != "answer"]
ANSWERED = [row for row in ROWS if row.place == "answer"]
FIELDS = {(row.page, row.name): row.client for row in ANSWERED if row.value is None}

# What a parameter becomes on the wire, where that is not what was given.
SENT = {
    "documents": {
        "start-node-1": {
            "filename": "invoice.pdf",
            "mime_type": "application/pdf",
            "content": base64.b64encode(INVOICE).decode(),
        }
    },
    "documents[].content": base64.b64encode(INVOICE).decode(),
    "target": {"type": "block", "block_id": "extract-node-1"},
    "target.type": "block",
}
# What an operation cannot be called without.
BASE = {
    "create_run": ("workflow_id",),
    "create_test_run": ("workflow_id",),
    "get_run": ("run_id",),
    "list_runs": (),
    "list_steps": ("run_id",),
}
MODELS = {
    "create_run": WorkflowRun,
    "get_run": WorkflowRun,
    "create_test_run": WorkflowTestRun,
    "list_runs": RunPage,
    "list_steps": Step,
}
LEAST = {
    WorkflowRun: {"id": "run_1", "status": "error"},
    WorkflowTestRun: {"id": "wftestrun_1", "lifecycle": {"status": "pending"}},
    Step: {"node_id": "node-1", "status": "completed"},
}


@pytest.fixture(scope="module")
def driven():
    return api_emulated.drive()


def test_tables_have_a_row_for_everything_that_is_documented_and_no_other():
    assert [row.key for row in ROWS] == documented()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_name_in_the_client_exists_or_its_absence_has_a_reason(row):
    if row.client is None:
        assert row.columns["remark"]
    else:
        resolve(row.client)
    assert row.columns["emulator"] == "yes" or row.columns["emulator"].startswith("no: ")


@pytest.mark.parametrize("row", [row for row in TAKEN if row.client], ids=str)
def test_what_the_client_is_given_is_what_the_emulator_takes(driven, row):
    reference = resolve(row.client)
    taken = []
    # The page's sample of a sort is one that only the servers before it take.
    servers = driven[row.page] if row.value == "created_at" else driven[row.page][:2]
    for each in servers:
        given = example(each, reference.parameter) if reference.given is None else reference.given
        taken += [(given, exchange) for exchange in exchanges(each, row, reference, given)]

    is_taken = any(is_sent(row, given, exchange) for given, exchange in taken)
    assert is_taken == row.is_emulated, f"the emulator {'took' if is_taken else 'did not take'} {row}"


def exchanges(driven, row, reference, given):
    """Call the operation with one parameter, and return what was said at the endpoint of the page."""
    operation = reference.steps[-1] if reference.steps else row.page
    arguments = {name: example(driven, name) for name in BASE.get(operation, ())}
    if reference.root is Document:
        document = {"source": INVOICE, "filename": "a.pdf", reference.parameter: given}
        arguments["documents"] = {"start-node-1": Document(**document)}
    elif reference.steps and reference.parameter:
        arguments[reference.parameter] = given
    before = len(driven.runtime.exchanges)
    driven.call(operation, **arguments)
    return [exchange for exchange in driven.runtime.exchanges[before:] if exchange.page == row.page]


def is_sent(row, given, exchange):
    """Return whether a request has what its caller gave, in the place and under the name that the page has for it."""
    if row.place == "operation":
        return True
    if row.place == "path":
        return given in exchange.path
    sent = exchange.taken(row.place)
    if row.place == "header":
        return sent.get(row.name.lower()) == given
    wanted = row.value or SENT.get(row.name, given)
    found = [sent.get(row.name)] if row.place == "query" else values_at(sent, steps_of("." + row.name))
    return any(each == wanted or str(each) == str(wanted) for each in found)


@pytest.mark.parametrize("page", BASE)
def test_nothing_is_sent_that_the_page_does_not_name(driven, page):
    requests = [each for each in driven[page][0].runtime.exchanges if each.page == page]
    names = {
        place: {row.name for row in TAKEN if (row.page, row.place) == (page, place)}
        for place in ("query", "body")
    }

    assert requests
    assert {name for each in requests for name in each.taken("query")} <= names["query"]
    assert {name for each in requests for name in each.taken("body")} <= names["body"]


@pytest.mark.parametrize("page", api_emulated.SAME_OBJECT.items(), ids=" and ".join)
def test_two_operations_answer_with_the_same_object(driven, page):
    each = driven["create_test_run" if "create_test_run" in page else "get_run"][0]
    keys = {
        name: {frozenset(exchange.body) for exchange in each.runtime.exchanges if exchange.page == name}
        for name in page
    }

    assert len(keys[page[0]]) == 1
    assert keys[page[0]] == keys[page[1]]


@pytest.mark.parametrize("row", [row for row in TAKEN if row.client is None], ids=str)
def test_what_the_client_leaves_out_is_never_sent(driven, row):
    queries = [exchange.taken("query") for each in driven[row.page] for exchange in each.runtime.exchanges]

    assert queries
    assert row.place == "query"
    assert [query for query in queries if row.name in query] == []
    assert not row.is_emulated


def page_of(row):
    """The page whose object a row's page answers with."""
    return api_emulated.SAME_OBJECT.get(row.page, row.page)


def bodies_and_reads(driven, row):
    return driven[row.page][0].pairs[page_of(row)]


def in_body(row):
    return steps_of("." + row.name)


def in_model(row):
    return resolve(FIELDS[row.page, row.name]).steps


def has_parts(row):
    """Whether the tables have rows for the parts of a value."""
    return any(name.startswith((row.name + "[", row.name + ".")) for page, name in FIELDS if page == row.page)


def sent_and_read(driven, row):
    """Yield each value of a row that was sent, with what the client read for it."""
    for body, read in bodies_and_reads(driven, row):
        pairs = zip(values_at(body, in_body(row)), values_at(read, in_model(row)), strict=True)
        yield from ((sent, each) for sent, each in pairs if sent is not None)


@pytest.mark.parametrize("row", [row for row in ANSWERED if row.client], ids=str)
def test_what_the_emulator_sends_is_what_the_client_has(driven, row):
    found = list(sent_and_read(driven, row))

    if row.value is not None:
        found = [(sent, read) for sent, read in found if str(sent) == row.value]
        assert {read for _, read in found} <= {resolve(row.client).leaf}
    same = same_parts if has_parts(row) else carries
    assert [(sent, read) for sent, read in found if not same(sent, read)] == []
    shown = any(is_shown(sent) for sent, _ in found)
    assert shown == row.is_emulated, f"the emulator {'sends' if shown else 'does not send'} {row}"


@pytest.mark.parametrize("row", [row for row in ANSWERED if row.client is None], ids=str)
def test_what_the_client_has_only_in_parts_is_sent(driven, row):
    sent = [value for body, _ in bodies_and_reads(driven, row) for value in values_at(body, in_body(row))]

    assert has_parts(row)
    assert any(map(is_shown, sent)) == row.is_emulated


ENGINE_STATE = sorted({row.name for row in ANSWERED if (row.client or "").startswith("WorkflowRun.raw")})

# Values of fields that the emulator does not send, or the client does not read.
EXAMPLES = {
    "pending_node_outputs": {"node-1": {"a": 1}},
    "dag_snapshot": {"nodes": ["node-1"]},
    "executed_node_ids": ["node-1"],
    "parallel_completion_counters": {"node-1": 2},
    "resume_queue": [{"item": 1}],
    "active_resume": {"item": 2},
    "hil_signal_states": {"node-1": "sent"},
    "counts.error": 3,
}


def test_there_is_an_example_of_each_such_field_and_no_other():
    fields = {row.name for row in ANSWERED if row.client and row.value is None and not row.is_emulated}

    assert EXAMPLES.keys() == fields | set(ENGINE_STATE)


def bodies_to_change(driven, row):
    """Yield bodies in which a field is, the longest first; if the emulator does not send it, one that has only that."""
    if row.is_emulated:
        bodies = [body for body, _ in bodies_and_reads(driven, row)]
        yield from (body for body in bodies if any(map(is_shown, values_at(body, in_body(row)))))
    else:
        body = EXAMPLES[row.name]
        for name in reversed(in_body(row)):
            body = {name: body}
        yield LEAST[MODELS[row.page]] | body


@pytest.mark.parametrize("row", [row for row in ANSWERED if row.client and row.value is None], ids=str)
def test_attribute_follows_its_field_and_no_other(driven, row):
    if has_parts(row):
        return
    body = copy.deepcopy(next(bodies_to_change(driven, row)))
    model = MODELS[row.page]
    holder, name = place_of(body, in_body(row))
    if name == "file_id":
        del holder["id"]  # which the emulator sends as well
    before = [*values_at(model.model_validate(body), in_model(row))]
    read = next(
        each for each, sent in zip(before, values_at(body, in_body(row)), strict=True) if is_shown(sent)
    )
    holder[name] = another = changed(holder[name], read)

    after = [*values_at(model.model_validate(body), in_model(row))]

    different = [new for new, old in zip(after, before, strict=True) if new != old]
    assert len(different) == 1, f"{row.client} is not read from {row.name}"
    assert carries(another, different[0])


@pytest.mark.parametrize("row", [row for row in ANSWERED if row.value and not row.is_emulated], ids=str)
def test_value_that_the_emulator_does_not_send_is_known(row):
    body = row.value
    for name in reversed(in_body(row)):
        body = {name: body}
    model = MODELS[row.page]

    assert [*values_at(model.model_validate(LEAST[model] | body), in_model(row))] == [
        resolve(row.client).leaf
    ]


@pytest.mark.parametrize("name", ENGINE_STATE)
def test_engine_state_stays_in_the_raw_body(name):
    least = LEAST[WorkflowRun]
    run, without = (WorkflowRun.model_validate(body) for body in ({**least, name: EXAMPLES[name]}, least))

    assert run.model_dump() == without.model_dump()
    assert repr(run) == repr(without)
