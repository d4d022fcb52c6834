"""Every field of the five API pages that this library follows, and where it is read or sent.

The names are written down here once per page; the tables below say where each is found, and a test holds the two
together.
"""

import json
from datetime import UTC, date, datetime
from operator import attrgetter

import pytest

from retab_orchestration import InvalidInputError, RunStatus, StepStatus
from retab_orchestration.models import RunPage, Step, StepPage, TriggerType, WorkflowRun, WorkflowTestRun
from tests.retab_orchestration.conftest import ok

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_TEXT = "2026-03-01T12:00:00Z"
REF = {"file_id": "file_1", "filename": "a.pdf", "mime_type": "application/pdf"}
SPAN = {"name": "extract", "children": []}

# --- the pages, transcribed -------------------------------------------------------------------------------------


def names(text):
    return set(text.split())


CREATE_RUN = {
    "header": names("Api-Key"),
    "path": names("workflow_id"),
    "query": names("access_token"),
    "body": names("documents json_inputs text_inputs"),
    "document": names("filename mime_type content"),
    "response": names("""
        workflow_id workflow_name organization_id config_snapshot_id id dataset_id status trigger_type
        started_at completed_at duration_ms steps input_documents input_json_data input_text_data final_outputs
        error error_stage error_details cost_summary trace_spans created_at updated_at waiting_for_node_ids
        pending_node_outputs dag_snapshot executed_node_ids resume_queue active_resume run_resume_status
    """),
}
GET_RUN = {
    "header": names("Api-Key"),
    "path": names("run_id"),
    "query": names("access_token"),
    "response": CREATE_RUN["response"]
    | names("""
        execution_phase trigger_email human_waiting_started_at human_waiting_duration_ms
        cancel_signal_error cancel_signal_failed_at cancel_native_error cancel_confirmation_error
        cancel_confirmation_pending cancel_requested_at parallel_completion_counters hil_signal_states
    """),
    "step in steps": names("node_id node_type node_label status started_at completed_at duration_ms output"),
    "document in input_documents": names("file_id filename mime_type"),
    "output in final_outputs": names("label json_data"),
}
CREATE_TEST_RUN = {
    "header": names("Api-Key"),
    "path": names("workflow_id"),
    "body": names("test_id target target.type target.block_id n_consensus"),
    "response": names("id workflow trigger lifecycle timing total_tests target test_id counts"),
    "inside": names("""
        workflow.workflow_id workflow.version_id workflow.name_at_run_time workflow.requested_version
        trigger.type lifecycle.status timing.created_at timing.started_at timing.completed_at
        target.type target.block_id counts.queued counts.running counts.passed counts.failed counts.blocked
        counts.error counts.cancelled
    """),
}
LIST_RUNS = {
    "header": names("Api-Key"),
    "query": names("""
        workflow_id status exclude_status trigger_type from_date to_date min_duration_ms max_duration_ms search
        before after limit order sort_by
    """),
    "response": names("data list_metadata list_metadata.before list_metadata.after"),
    "run in data": names("""
        id workflow.workflow_id workflow.version_id trigger.type lifecycle.status lifecycle.message
        lifecycle.stage lifecycle.category lifecycle.details lifecycle.failing_step_id
        timing.created_at timing.started_at timing.completed_at inputs.documents inputs.json_data
    """),
}
LIST_STEPS = {
    "header": names("Api-Key"),
    "path": names("run_id"),
    "query": names("access_token"),
    "response": names("""
        node_id node_type node_label status run_id organization_id step_id started_at completed_at duration_ms
        error error_stage error_category error_details model cost tokens trace_spans output handle_outputs
        handle_inputs input_document output_document split_documents requires_human_review human_reviewed_at
        human_review_approved retry_count loop_id iteration iteration_context created_at updated_at
    """),
    "payload in handles": names("type data document"),
}

RUN_STATES = names("pending queued running completed error waiting_for_human cancelled")
FILTER_STATES = names("pending queued running completed error failed awaiting_review cancelled")
STEP_STATES = names("pending queued running completed skipped error waiting_for_human cancelled")
TRIGGERS = names("manual api schedule webhook email restart")
STAGES = names("""
    input_collection registry_lookup document_fetch execution output_storage routing history_payload
""")
CATEGORIES = names("transient permanent quota")
PHASES = names("created dispatching started running")
RESUMES = names("idle waiting_for_human partially_resumed resuming fully_resumed")
NODE_TYPES = names("""
    start start_json end note parse edit extract split classifier conditional hil api_call functions reshape
    while_loop for_each merge_pdf merge_dicts while_loop_sentinel_start while_loop_sentinel_end
    for_each_sentinel_start for_each_sentinel_end
""")

# --- answers: field -> (what the server sends, the attribute, what it reads) ------------------------------------

REF_READ = {"id": "file_1", "filename": "a.pdf", "mime_type": "application/pdf", "url": None}
RUN = {
    "id": ("run_9", "id", "run_9"),
    "workflow_id": ("wf_9", "workflow_id", "wf_9"),
    "workflow_name": ("Invoices", "workflow_name", "Invoices"),
    "organization_id": ("org_9", "organization_id", "org_9"),
    "config_snapshot_id": ("snap_9", "version_id", "snap_9"),
    "dataset_id": ("ds_9", "dataset_id", "ds_9"),
    "status": ("queued", "status", RunStatus.QUEUED),
    "execution_phase": ("dispatching", "execution_phase", "dispatching"),
    "trigger_type": ("email", "trigger.type", TriggerType.EMAIL),
    "trigger_email": ("a@example.org", "trigger.email", "a@example.org"),
    "started_at": (NOON_TEXT, "timing.started_at", NOON),
    "completed_at": (NOON_TEXT, "timing.completed_at", NOON),
    "duration_ms": (1234, "timing.duration_ms", 1234),
    "human_waiting_started_at": (NOON_TEXT, "timing.human_waiting_started_at", NOON),
    "human_waiting_duration_ms": (77, "timing.human_waiting_duration_ms", 77),
    "steps": ([{"node_id": "n1", "status": "running"}], "steps.node_id", ["n1"]),
    "input_documents": ({"start-1": REF}, "inputs.documents", {"start-1": REF_READ}),
    "input_json_data": ({"json-1": {"k": 1}}, "inputs.json_data", {"json-1": {"k": 1}}),
    "input_text_data": ({"text-1": "hello"}, "inputs.text", {"text-1": "hello"}),
    "final_outputs": (
        {"end-1": {"label": "Output", "json_data": {"total": 1}}},
        "final_outputs",
        {"end-1": {"label": "Output", "json_data": {"total": 1}}},
    ),
    "error": ("boom", "error.message", "boom"),
    "error_stage": ("routing", "error.stage", "routing"),
    "error_details": ({"error_code": "E1"}, "error.details", {"error_code": "E1"}),
    "cost_summary": ({"total": 0.5}, "cost", {"total": 0.5}),
    "trace_spans": ([SPAN], "trace_spans", (SPAN,)),
    "cancel_signal_error": ("no worker", "cancellation.signal_error", "no worker"),
    "cancel_signal_failed_at": (NOON_TEXT, "cancellation.signal_failed_at", NOON),
    "cancel_native_error": ("gone", "cancellation.native_error", "gone"),
    "cancel_confirmation_error": ("late", "cancellation.confirmation_error", "late"),
    "cancel_confirmation_pending": (True, "cancellation.confirmation_pending", True),
    "cancel_requested_at": (NOON_TEXT, "cancellation.requested_at", NOON),
    "created_at": (NOON_TEXT, "timing.created_at", NOON),
    "updated_at": (NOON_TEXT, "timing.updated_at", NOON),
    "waiting_for_node_ids": (["hil-1"], "waiting_for_node_ids", ("hil-1",)),
    "run_resume_status": ("resuming", "resume_status", "resuming"),
}
# The engine's own state is of no use to a caller: it stays in `raw`.
ENGINE_STATE = {
    "pending_node_outputs": {"n1": {"a": 1}},
    "dag_snapshot": {"nodes": ["n1"]},
    "executed_node_ids": ["n1"],
    "parallel_completion_counters": {"mr1": 2},
    "resume_queue": [{"item": 1}],
    "active_resume": {"item": 2},
    "hil_signal_states": {"hil-1": "sent"},
}
SUMMARY = {
    "node_id": ("n9", "node_id", "n9"),
    "node_type": ("extract", "node_type", "extract"),
    "node_label": ("Extract", "node_label", "Extract"),
    "status": ("skipped", "status", StepStatus.SKIPPED),
    "started_at": (NOON_TEXT, "started_at", NOON),
    "completed_at": (NOON_TEXT, "completed_at", NOON),
    "duration_ms": (12, "duration_ms", 12),
    "output": ({"k": 2}, "output", {"k": 2}),
}
HANDLE = {
    "output-json-0": {"type": "json", "data": {"k": 3}},
    "output-file-0": {"type": "file", "document": REF},
}
HANDLE_READ = {
    "output-json-0": {"type": "json", "data": {"k": 3}, "document": None},
    "output-file-0": {"type": "file", "data": None, "document": REF_READ},
}
STEP = SUMMARY | {
    "run_id": ("run_9", "run_id", "run_9"),
    "organization_id": ("org_9", "organization_id", "org_9"),
    "step_id": ("mr1_iter_0_n9", "step_id", "mr1_iter_0_n9"),
    "error": ("boom", "error", "boom"),
    "error_stage": ("document_fetch", "error_stage", "document_fetch"),
    "error_category": ("quota", "error_category", "quota"),
    "error_details": ({"error_code": "E1"}, "error_details", {"error_code": "E1"}),
    "model": ("gpt-5.4", "model", "gpt-5.4"),
    "cost": ({"total": 0.5}, "cost", {"total": 0.5}),
    "tokens": ({"input": 5}, "tokens", {"input": 5}),
    "trace_spans": ([SPAN], "trace_spans", (SPAN,)),
    "handle_outputs": (HANDLE, "handle_outputs", HANDLE_READ),
    "handle_inputs": (HANDLE, "handle_inputs", HANDLE_READ),
    "input_document": (REF, "input_document", REF_READ),
    "output_document": (REF, "output_document", REF_READ),
    "split_documents": ({"Invoice": REF}, "split_documents", {"Invoice": REF_READ}),
    "requires_human_review": (True, "requires_human_review", True),
    "human_reviewed_at": (NOON_TEXT, "human_reviewed_at", NOON),
    "human_review_approved": (False, "human_review_approved", False),
    "retry_count": (2, "retry_count", 2),
    "loop_id": ("loop-1", "loop_id", "loop-1"),
    "iteration": (4, "iteration", 4),
    "iteration_context": ({"depth": 1}, "iteration_context", {"depth": 1}),
    "created_at": (NOON_TEXT, "created_at", NOON),
    "updated_at": (NOON_TEXT, "updated_at", NOON),
}
RUN_IN_LIST = {
    "id": ("run_9", "id", "run_9"),
    "workflow.workflow_id": ("wf_9", "workflow_id", "wf_9"),
    "workflow.version_id": ("ver_9", "version_id", "ver_9"),
    "trigger.type": ("schedule", "trigger.type", TriggerType.SCHEDULE),
    "lifecycle.status": ("awaiting_review", "status", RunStatus.WAITING_FOR_HUMAN),
    "lifecycle.message": ("boom", "error.message", "boom"),
    "lifecycle.stage": ("execution", "error.stage", "execution"),
    "lifecycle.category": ("transient", "error.category", "transient"),
    "lifecycle.details": ({"error_code": "E1"}, "error.details", {"error_code": "E1"}),
    "lifecycle.failing_step_id": ("step_9", "error.failing_step_id", "step_9"),
    "timing.created_at": (NOON_TEXT, "timing.created_at", NOON),
    "timing.started_at": (NOON_TEXT, "timing.started_at", NOON),
    "timing.completed_at": (NOON_TEXT, "timing.completed_at", NOON),
    "inputs.documents": ({"start-1": REF}, "inputs.documents", {"start-1": REF_READ}),
    "inputs.json_data": ({"json-1": [1]}, "inputs.json_data", {"json-1": [1]}),
}
CURSORS = ("before", "after")
TEST_RUN = {
    "id": ("wftestrun_9", "id", "wftestrun_9"),
    "total_tests": (7, "total_tests", 7),
    "test_id": ("wfnodetest_9", "test_id", "wfnodetest_9"),
    "workflow": ({"workflow_id": "wf_9"}, "workflow_id", "wf_9"),
    "trigger": ({"type": "api"}, "trigger.type", TriggerType.API),
    "lifecycle": ({"status": "running"}, "status", RunStatus.RUNNING),
    "timing": ({"created_at": NOON_TEXT}, "timing.created_at", NOON),
    "target": ({"type": "block", "block_id": "b9"}, "target.block_id", "b9"),
    "counts": ({"passed": 3}, "counts.passed", 3),
    "workflow.workflow_id": ("wf_9", "workflow_id", "wf_9"),
    "workflow.version_id": ("draft_9", "version_id", "draft_9"),
    "workflow.name_at_run_time": ("Invoices", "workflow_name", "Invoices"),
    "workflow.requested_version": ("draft", "requested_version", "draft"),
    "trigger.type": ("manual", "trigger.type", TriggerType.MANUAL),
    "lifecycle.status": ("completed", "status", RunStatus.COMPLETED),
    "timing.created_at": (NOON_TEXT, "timing.created_at", NOON),
    "timing.started_at": (NOON_TEXT, "timing.started_at", NOON),
    "timing.completed_at": (NOON_TEXT, "timing.completed_at", NOON),
    "target.type": ("block", "target.type", "block"),
    "target.block_id": ("b9", "target.block_id", "b9"),
    **{
        f"counts.{name}": (place, f"counts.{name}", place)
        for place, name in enumerate(
            ("queued", "running", "passed", "failed", "blocked", "error", "cancelled"), 1
        )
    },
}


def body_with(field, value, **required):
    """A body with only what is required and this field, which may be a dotted path."""
    *parents, name = field.split(".")
    body = dict(required)
    place = body
    for parent in parents:
        place[parent] = dict(place.get(parent) or {})
        place = place[parent]
    place[name] = value
    return body


def plain(value):
    """Models as plain data, so that a table can be written in JSON's words."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.model_dump(exclude_unset=False) if hasattr(value, "model_dump") else value


def assert_read(model, field, row, **required):
    sent, attribute, expected = row
    read = model.model_validate(body_with(field, sent, **required))

    assert plain(attrgetter(attribute)(read)) == expected
    assert read.raw[field.split(".")[0]] is not None


def test_tables_name_every_field_of_the_pages():
    assert CREATE_RUN["response"] <= RUN.keys() | ENGINE_STATE.keys()
    assert GET_RUN["response"] == RUN.keys() | ENGINE_STATE.keys()
    assert GET_RUN["step in steps"] == SUMMARY.keys()
    assert LIST_STEPS["response"] == STEP.keys()
    assert LIST_RUNS["run in data"] == RUN_IN_LIST.keys()
    assert CREATE_TEST_RUN["response"] | CREATE_TEST_RUN["inside"] == TEST_RUN.keys()
    assert LIST_RUNS["response"] == {"data", *(f"list_metadata.{name}" for name in CURSORS), "list_metadata"}
    assert LIST_RUNS["query"] == FILTERS.keys()
    assert GET_RUN["document in input_documents"] == REF.keys()
    assert GET_RUN["output in final_outputs"] == RUN["final_outputs"][0]["end-1"].keys()
    assert LIST_STEPS["payload in handles"] == {name for payload in HANDLE.values() for name in payload}
    assert CREATE_TEST_RUN["body"] == {
        *(name for _, sent in TARGETS for name in sent),
        *(f"target.{name}" for _, sent in TARGETS for name in sent.get("target", {})),
    }


def test_pages_ask_for_the_same_key_and_for_ids_in_the_path():
    pages = (CREATE_RUN, GET_RUN, CREATE_TEST_RUN, LIST_RUNS, LIST_STEPS)

    assert {name for page in pages for name in page["header"]} == {"Api-Key"}
    assert {name for page in pages for name in page.get("path", ())} == {"workflow_id", "run_id"}


@pytest.mark.parametrize("field", sorted(RUN.keys() - {"steps"}))
def test_field_of_a_run_is_read(field):
    assert_read(WorkflowRun, field, RUN[field], id="run_1", status="running")


def test_steps_in_a_run_are_read():
    sent, _, nodes = RUN["steps"]
    run = WorkflowRun.model_validate({"id": "run_1", "status": "running", "steps": sent})

    assert [step.node_id for step in run.steps] == nodes


@pytest.mark.parametrize("field", sorted(GET_RUN["step in steps"]))
def test_field_of_a_step_in_a_run_is_read(field):
    sent, attribute, expected = SUMMARY[field]
    step = {"node_id": "n1", "node_type": "t", "node_label": "l", "status": "running", field: sent}
    run = WorkflowRun.model_validate({"id": "run_1", "status": "running", "steps": [step]})

    assert plain(getattr(run.steps[0], attribute)) == expected


@pytest.mark.parametrize("field", ENGINE_STATE)
def test_engine_state_stays_in_the_raw_body(field):
    state = ENGINE_STATE[field]
    run = WorkflowRun.model_validate({"id": "run_1", "status": "running", field: state})
    without = WorkflowRun.model_validate({"id": "run_1", "status": "running"})

    assert run.raw[field] == state
    assert run.model_dump() == without.model_dump()
    assert repr(run) == repr(without)


@pytest.mark.parametrize("field", RUN_IN_LIST)
def test_field_of_a_run_in_a_list_is_read(field):
    sent, attribute, expected = RUN_IN_LIST[field]
    run = body_with(field, sent, id="run_1", lifecycle={"status": "error"})
    page = RunPage.model_validate({"data": [run], "list_metadata": {"before": "run_1", "after": None}})

    assert plain(attrgetter(attribute)(page.data[0])) == expected


@pytest.mark.parametrize("name", sorted(CURSORS))
def test_cursor_of_a_page_is_read(name):
    page = RunPage.model_validate({"data": [], "list_metadata": {name: "run_9"}})

    assert getattr(page, name) == "run_9"


@pytest.mark.parametrize("field", STEP)
def test_field_of_a_step_is_read(field):
    assert_read(Step, field, STEP[field], node_id="n1", node_type="t", node_label="l", status="completed")


@pytest.mark.parametrize("field", TEST_RUN)
def test_field_of_a_test_run_is_read(field):
    assert_read(WorkflowTestRun, field, TEST_RUN[field], id="wftestrun_1", lifecycle={"status": "pending"})


# --- the values of the enums ------------------------------------------------------------------------------------


@pytest.mark.parametrize("literal", sorted({*RUN_STATES, *FILTER_STATES}))
def test_state_of_a_run_is_known(literal):
    run = WorkflowRun.model_validate({"id": "run_1", "status": literal})

    assert run.status is not RunStatus.UNKNOWN
    assert run.status_name == literal


@pytest.mark.parametrize("literal", sorted(STEP_STATES))
def test_state_of_a_step_is_known(literal):
    step = Step.model_validate({"node_id": "n1", "status": literal})

    assert step.status == literal


@pytest.mark.parametrize("literal", sorted(TRIGGERS))
def test_trigger_is_known(literal):
    run = WorkflowRun.model_validate({"id": "run_1", "status": "running", "trigger_type": literal})

    assert run.trigger.type == literal


@pytest.mark.parametrize(
    ("field", "attribute", "literal"),
    [
        *(("error_stage", "error.stage", literal) for literal in sorted(STAGES)),
        *(("execution_phase", "execution_phase", literal) for literal in sorted(PHASES)),
        *(("run_resume_status", "resume_status", literal) for literal in sorted(RESUMES)),
    ],
)
def test_open_word_of_a_run_is_passed_on(field, attribute, literal):
    run = WorkflowRun.model_validate({"id": "run_1", "status": "error", field: literal})

    assert attrgetter(attribute)(run) == literal


@pytest.mark.parametrize(
    ("field", "literal"),
    [
        *(("error_stage", literal) for literal in sorted(STAGES)),
        *(("error_category", literal) for literal in sorted(CATEGORIES)),
        *(("node_type", literal) for literal in sorted(NODE_TYPES)),
    ],
)
def test_open_word_of_a_step_is_passed_on(field, literal):
    step = Step.model_validate({"node_id": "n1", "status": "error", field: literal})

    assert getattr(step, field) == literal


# --- requests: what a caller gives, and what is sent ------------------------------------------------------------

# Filter -> (what the caller gives, what stands in the query).
FILTERS = {
    "workflow_id": ("wf_9", "wf_9"),
    "status": ("waiting_for_human", "awaiting_review"),
    "exclude_status": ("failed", "error"),
    "trigger_type": ("webhook", "webhook"),
    "from_date": (date(2026, 4, 24), "2026-04-24"),
    "to_date": ("2026-05-01", "2026-05-01"),
    "min_duration_ms": (10, "10"),
    "max_duration_ms": (99, "99"),
    "search": ("run_ab", "run_ab"),
    "before": ("run_8", "run_8"),
    "after": ("run_7", "run_7"),
    "limit": (55, "55"),
    "order": ("asc", "asc"),
    "sort_by": ("created_at", "timing.created_at"),
}

# What the caller of create_test_run gives, and the body.
TARGETS = [
    ({"test_id": "wfnodetest_9"}, {"test_id": "wfnodetest_9"}),
    ({"block_id": "b9"}, {"target": {"type": "block", "block_id": "b9"}}),
    ({"n_consensus": 5}, {"n_consensus": 5}),
    ({}, {}),
]


@pytest.fixture
def create(script):
    """Create a run on classic routes and return the request and its body."""

    def send(workflow_id="wf_1", **inputs):
        client, runtime = script(ok({"id": "run_1", "status": "running"}), api="classic", auth="api-key")
        client.create_run(workflow_id, **inputs)
        return runtime.sent[0], json.loads(runtime.bodies[0])

    return send


@pytest.mark.parametrize("name", FILTERS)
def test_filter_of_the_run_list_is_sent(script, name):
    client, runtime = script(ok({"data": []}), api="current")
    given, sent = FILTERS[name]

    client.list_runs(**{name: given})

    assert dict(runtime.sent[0].query) == {name: sent}


def test_fields_which_the_page_tells_of_but_does_not_list_is_refused(script):
    client, runtime = script(api="current")

    with pytest.raises(InvalidInputError, match="no filter fields"):
        client.list_runs(fields="id,lifecycle")

    assert runtime.sent == []


@pytest.mark.parametrize("name", ["status", "exclude_status"])
@pytest.mark.parametrize("literal", sorted(FILTER_STATES))
def test_state_to_filter_by_is_accepted(script, name, literal):
    client, runtime = script(ok({"data": []}), api="current")

    client.list_runs(**{name: literal})

    assert dict(runtime.sent[0].query) == {name: "error" if literal == "failed" else literal}


@pytest.mark.parametrize("literal", sorted(TRIGGERS))
def test_trigger_to_filter_by_is_accepted(script, literal):
    client, runtime = script(ok({"data": []}), api="current")

    client.list_runs(trigger_type=literal)

    assert dict(runtime.sent[0].query) == {"trigger_type": literal}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_order_of_the_run_list_is_accepted(script, order):
    client, runtime = script(ok({"data": []}), api="current")

    client.list_runs(order=order)

    assert dict(runtime.sent[0].query) == {"order": order}


def test_create_names_the_workflow_in_its_path_and_the_key_in_its_header(create):
    request, _ = create("wf_9")

    assert (request.method, request.path) == ("POST", "/v1/workflows/wf_9/run")
    assert request.headers["Api-Key"] == "key-1"


def test_create_sends_every_kind_of_input(create):
    _, body = create(
        documents={"start-1": ("a.pdf", b"%PDF")},
        json_inputs={"json-1": {"k": 1}},
        text_inputs={"text-1": "hello"},
    )

    document = {"filename": "a.pdf", "mime_type": "application/pdf", "content": "JVBERg=="}
    assert body == {
        "documents": {"start-1": document},
        "json_inputs": {"json-1": {"k": 1}},
        "text_inputs": {"text-1": "hello"},
    }
    assert body.keys() == CREATE_RUN["body"]
    assert document.keys() == CREATE_RUN["document"]


@pytest.mark.parametrize(("given", "sent"), TARGETS)
def test_create_of_a_test_run_sends_its_target(script, given, sent):
    client, runtime = script(ok({"id": "wftestrun_1", "status": "pending"}), api="classic")

    client.create_test_run("wf_9", **given)

    assert runtime.sent[0].path == "/v1/workflows/wf_9/tests/runs"
    assert json.loads(runtime.bodies[0] or b"{}") == sent


@pytest.mark.parametrize(
    ("operation", "answer", "path"),
    [
        ("get_run", {"id": "run_9", "status": "running"}, "/v1/workflows/runs/run_9"),
        ("list_steps", [], "/v1/workflows/runs/run_9/steps"),
    ],
)
def test_run_is_named_in_the_path(script, operation, answer, path):
    client, runtime = script(ok(answer), api="classic", auth="api-key")

    getattr(client, operation)("run_9")

    assert runtime.sent[0].path == path
    assert runtime.sent[0].headers["Api-Key"] == "key-1"


def test_access_token_is_never_sent(script, create):
    request, body = create()
    client, runtime = script(ok({"id": "run_9", "status": "running"}), ok([]), api="classic")
    client.get_run("run_9")
    client.list_steps("run_9")

    sent = [request, *runtime.sent]
    assert all(name != "access_token" for each in sent for name, _ in each.query)
    assert "access_token" not in body


def test_steps_are_read_from_a_bare_array():
    page = StepPage.model_validate(
        [{"node_id": "n1", "node_type": "t", "node_label": "l", "status": "running"}]
    )

    assert [step.node_id for step in page.data] == ["n1"]
    assert page.after is None


@pytest.mark.parametrize("name", ["type", "data", "document"])
def test_part_of_a_handle_is_typed(name):
    step = Step.model_validate({"node_id": "n1", "status": "completed", "handle_outputs": HANDLE})
    handle = step.handle_outputs["output-file-0" if name == "document" else "output-json-0"]

    expected = {"type": "json", "data": {"k": 3}, "document": REF_READ}[name]
    assert plain(getattr(handle, name)) == expected
