"""Servers of one generation: their routes, and how they write runs, steps, reviews, test runs and files."""

import base64
from dataclasses import replace

import pytest

from retab_orchestration.emulator.__main__ import Api
from retab_orchestration.emulator.generations import BY_NAME, GENERATIONS, span
from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from tests.emulator.conftest import NEW, OLD, VALUES, Caller, Server, status_of

RUN, STEP = "/v1/workflows/runs/run_none", "/v1/workflows/runs/run_none/steps/none"
OVERLAY = "/v1/workflows/reviews/run_none/none"

# What a server answers is another thing; these are the generations that have the route.
ROUTES = {
    "POST /v1/workflows/wf_echo/run": OLD,
    "POST /v1/workflows/runs": NEW,
    "GET /v1/workflows/runs": GENERATIONS,
    f"GET {RUN}": GENERATIONS,
    f"DELETE {RUN}": GENERATIONS,
    f"POST {RUN}/cancel": GENERATIONS,
    f"POST {RUN}/restart": OLD,
    f"GET {RUN}/steps": OLD,
    f"GET {STEP}": OLD,
    f"POST {RUN}/steps/batch": span("g1a", "g1b"),
    "GET /v1/workflows/steps": NEW,
    "GET /v1/workflows/steps/none": NEW,
    f"POST {RUN}/resume": ("g1a",),
    f"POST {RUN}/hil-decisions": span("g1b", "g2b"),
    f"GET {RUN}/hil-decisions/none": span("g1b", "g2b"),
    f"GET {RUN}/agent-hil-reviews/none": ("g2b",),
    f"GET {OVERLAY}": ("g2c",),
    f"POST {OVERLAY}/versions": ("g2c",),
    f"POST {OVERLAY}/decision": ("g2c",),
    f"POST {OVERLAY}/claim": ("g2c",),
    f"POST {OVERLAY}/release": ("g2c",),
    "GET /v1/workflows/reviews": ("g2c", *NEW),
    "GET /v1/workflows/reviews/rev_none": NEW,
    "POST /v1/workflows/reviews/rev_none/approve": NEW,
    "POST /v1/workflows/reviews/rev_none/reject": NEW,
    "GET /v1/workflows/reviews/versions": NEW,
    "POST /v1/workflows/wf_echo/tests/runs": ("g2c",),
    "POST /v1/workflows/tests/runs": span("g3a", "g3b"),
    "GET /v1/workflows/tests/runs": span("g2c", "g3b"),
    "GET /v1/workflows/tests/runs/none": span("g2c", "g3b"),
    "GET /v1/workflows/tests/runs/none/results": ("g2c",),
    "GET /v1/workflows/tests/results": span("g3a", "g3b"),
    "POST /v1/workflows/evals/runs": ("g3c",),
    "GET /v1/workflows/evals/runs/none": ("g3c",),
    "GET /v1/workflows/evals/results": ("g3c",),
    "GET /v1/workflows/wf_echo/entities": OLD,
    "GET /v1/workflows/wf_echo/blocks": OLD,
    "GET /v1/workflows/blocks": NEW,
    "GET /v1/workflows/edges": NEW,
    "POST /v1/files/upload": GENERATIONS,
    "GET /v1/files/none/download-link": GENERATIONS,
}


def is_absent(answer):
    return answer.status == 405 or (answer.status == 404 and answer.json() == {"detail": "Not Found"})


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_is_on_the_servers_that_had_it(clock, route):
    method, path = route.split()

    has_it = {api for api in GENERATIONS if not is_absent(Server(clock, api)(method, path))}

    assert has_it == set(ROUTES[route])


@pytest.mark.parametrize("api", GENERATIONS)
@pytest.mark.parametrize("word", ["steps", "reviews", "tests", "evals"])
def test_an_absent_route_may_be_taken_for_a_workflow(clock, api, word):
    plain, taking = Server(clock, api), Server(clock, api, absent_routes="workflow")
    path = f"/v1/workflows/{word}"

    if is_absent(plain("GET", path)):
        assert "Workflow not found" in str(taking("GET", path).json())
    else:
        assert taking("GET", path).status == plain("GET", path).status


def test_one_header_carries_the_key(clock):
    for api in GENERATIONS:
        call = Caller(clock, api=api)
        by_header = {
            "api-key": call("GET", "/v1/workflows/runs", headers={"api-key": "k"}).status,
            "bearer": call("GET", "/v1/workflows/runs", headers={"authorization": "Bearer k"}).status,
        }
        assert by_header == (
            {"api-key": 401, "bearer": 200} if api == "g3c" else {"api-key": 200, "bearer": 401}
        )


def test_both_headers_may_be_allowed(clock):
    call = Caller(clock, api="g1a", auth="both")

    assert call("GET", "/v1/workflows/runs", headers={"authorization": "Bearer k"}).status == 200


def test_a_run_says_where_it_stands(server, clock, invoice):
    run = server.run("wf_invoice_review", content=invoice)
    assert status_of(run, server.api) == "running"
    clock.tick(60)

    waiting = server.read(run)

    assert status_of(waiting, server.api) == ("awaiting_review" if server.api in NEW else "waiting_for_human")
    place = waiting if server.api in span("g1a", "g1b") else waiting["lifecycle"]
    word = "node" if server.api == "g1a" else "block"
    assert place[f"waiting_for_{word}_ids"] == ["hil-node-1"]


def test_a_run_names_its_workflow(server):
    run = server.run("wf_echo")
    named = {"workflow_id", "version_id", "name_at_run_time", "requested_version"}
    keys = {"g2a": named | {"snapshot_id"}, "g2b": named, "g2c": named, "g3a": named}

    assert ("workflow" in run) is (server.api in keys)
    assert set(run.get("workflow", ())) == keys.get(server.api, set())
    assert run.get("workflow", run)["workflow_id"] == "wf_echo"
    assert ("workflow_version_id" in run) is (server.api in span("g3b", "g3c"))
    assert ("organization_id" in run) is (server.api in OLD)


def test_a_run_says_how_long_it_took_and_waited(server, clock, invoice):
    run = server.run("wf_invoice_review", content=invoice)
    clock.tick(60)
    timing = server.read(run).get("timing", {})
    more = {
        "g2a": {
            "human_waiting_started_at",
            "accumulated_human_waiting_ms",
            "duration_ms",
            "active_duration_ms",
        },
        "g2b": {"human_waiting_started_at", "accumulated_human_waiting_ms"},
        "g2c": {"human_waiting_started_at", "accumulated_human_waiting_ms"},
        "g3a": {"review_waiting_started_at", "accumulated_review_waiting_ms", "duration_ms"},
    }

    assert set(timing) - {"created_at", "started_at", "completed_at"} == more.get(server.api, set())
    waited = [value for key, value in timing.items() if key.startswith("accumulated")]
    assert all(value > 50_000 for value in waited)


def test_steps_come_as_an_array_or_in_an_envelope(server, clock, invoice):
    run = server.run("wf_invoice", content=invoice)
    clock.tick(60)
    answer = server.steps(run)

    assert isinstance(answer, list) is (server.api in span("g1a", "g2a"))
    steps = answer if isinstance(answer, list) else answer["data"]
    word = "node" if server.api == "g1a" else "block"
    types = [step[f"{word}_type"] for step in steps]
    first = "start" if server.api in span("g1a", "g2b") else "start_document"
    assert types == [first, "extract", "function" if server.api in NEW else "end"]
    assert {status_of(step, server.api) for step in steps} == {"completed"}
    assert steps[1]["handle_outputs"]["output-json-0"]["data"] == VALUES
    other = "block" if server.api == "g1a" else "node"
    assert not [key for step in steps for key in step if key.startswith(f"{other}_")]


def test_a_step_that_ended_badly_says_so_as_in_its_time(server, clock):
    run = server.run("wf_fail", json_input={"message": "No toner"})
    clock.tick(60)
    failed = server.listed(run)[-1]

    assert status_of(failed, server.api) == "error"
    key = "error" if server.api in span("g1a", "g1b") else "terminal" if server.api == "g2a" else "lifecycle"
    said = failed if key == "error" else failed[key]
    assert said.get("error", said.get("message")) == "No toner"
    assert {"error", "terminal", "lifecycle"} & set(failed) == {key}
    if server.api == "g2a":
        assert server.listed(run)[0]["terminal"] is None


def test_a_page_of_steps_is_as_long_as_it_was(clock):
    pages = {}
    for api in NEW:
        server = Server(clock, api)
        for _ in range(30):
            server.run("wf_echo", json_input={})
        clock.tick(60)
        pages[api] = len(server.get("/v1/workflows/steps")["data"])

    assert pages == {"g3a": 60, "g3b": 20, "g3c": 20}


def test_metadata_is_kept_by_the_newest_alone(server):
    run = server.run("wf_echo", metadata={"a": "1"})

    assert run.get("metadata", "no key") == ({"a": "1"} if server.api == "g3c" else "no key")
    listed = server("GET", "/v1/workflows/runs", metadata='{"a": "2"}')
    assert len(listed.json()["data"]) == (0 if server.api == "g3c" else 1)


def test_a_version_is_read_where_it_was_sent(server):
    body, path = {"version": "ver_none"}, "/v1/workflows/wf_echo/run"
    if server.api in NEW:
        body, path = {**body, "workflow_id": "wf_echo"}, "/v1/workflows/runs"

    assert server("POST", path, body).status == (200 if server.api in span("g1a", "g2a") else 404)


@pytest.mark.parametrize(
    ("query", "has_it"),
    [
        ({"statuses": "completed,error"}, span("g1a", "g3a")),
        ({"trigger_types": "email,webhook"}, span("g1a", "g3a")),
        ({"min_duration": "999999"}, span("g1a", "g1b")),
        ({"min_duration_ms": "999999"}, span("g2a", "g3c")),
    ],
)
def test_a_filter_is_read_where_it_was_known(server, query, has_it):
    server.run("wf_echo", json_input={"seconds": 60})

    rows = server("GET", "/v1/workflows/runs", **query).json()["data"]

    # A run that has not ended is not filtered out by a time that is unknown.
    assert (rows == []) is (server.api in has_it)


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ({"status": "waiting_for_human"}, OLD),
        ({"status": "awaiting_review"}, NEW),
        ({"status": "failed"}, NEW),
        ({"sort_by": "created_at"}, OLD),
        ({"sort_by": "timing.created_at"}, NEW),
    ],
)
def test_a_list_takes_the_values_of_its_time(server, query, allowed):
    assert (server("GET", "/v1/workflows/runs", **query).status == 200) is (server.api in allowed)


def document(kind, file_id):
    content = base64.b64encode(b"Vendor: Nobody").decode()
    return {
        "content": {"filename": "a.txt", "mime_type": "text/plain", "content": content},
        "reference": {"id": file_id, "filename": "a.txt", "mime_type": "text/plain"},
        "url": {"filename": "a.txt", "url": f"data:text/plain;base64,{content}"},
    }[kind]


@pytest.mark.parametrize(
    ("kind", "taken"),
    [("content", OLD), ("reference", span("g2c", "g3b")), ("url", NEW)],
)
def test_a_document_is_taken_in_the_forms_of_its_time(server, kind, taken):
    file_id = uploaded(server)
    documents = {"start-node-1": document(kind, file_id)}
    if server.api in OLD:
        answer = server("POST", "/v1/workflows/wf_invoice/run", {"documents": documents})
    else:
        answer = server("POST", "/v1/workflows/runs", {"workflow_id": "wf_invoice", "documents": documents})

    assert answer.status == (422 if server.api not in taken else 202 if server.api in NEW else 200)


def uploaded(server):
    """The id of a file that was uploaded the way of the server's clients."""
    if server.api in span("g1a", "g1b"):
        data = {"filename": "a.txt", "url": "data:text/plain;base64,VmVuZG9yOiBOb2JvZHk="}
        return server.post("/v1/files/upload", {"mimeData": data})["fileId"]
    session = server.post("/v1/files/upload", {"filename": "a.txt", "size_bytes": 3})
    path, _, query = session["uploadUrl"].removeprefix("http://retab.test").partition("?")
    signed = {name.lower(): value for name, value in session["uploadHeaders"].items()}
    signature = query.partition("=")[2]
    sent = Caller.__call__(server, "PUT", path, b"abc", headers=signed, signature=signature)
    assert sent.status == 200
    server.post(f"/v1/files/upload/{session['fileId']}/complete")
    return session["fileId"]


def test_a_file_says_whose_it_is_and_links_to_its_document(server):
    file_id = uploaded(server)

    assert ("organization_id" in server.get(f"/v1/files/{file_id}")) is (server.api in OLD)
    link = server.get(f"/v1/files/{file_id}/download-link")
    assert link["download_url"].startswith("http://retab.test/_storage/download/")
    assert ("mime_data" in link) is (server.api in NEW)


def test_a_reference_to_a_file_has_the_id_of_its_time(server, invoice):
    run = server.run("wf_invoice", content=invoice)
    documents = run.get("input_documents") or run["inputs"]["documents"]

    assert ("file_id" in documents["start-node-1"]) is (server.api == "g1a")
    assert documents["start-node-1"]["id"].startswith("file_")


@pytest.fixture(params=GENERATIONS)
def api(request):
    return request.param


def waiting(server, clock, invoice):
    run = server.run("wf_invoice_review", content=invoice)
    clock.tick(60)
    return run["id"]


def test_a_decision_lets_a_run_go_on_in_every_generation(server, clock, invoice):
    edited = {**VALUES, "total_amount": 1.0}
    run_id = waiting(server, clock, invoice)

    decide(server, run_id, edited)
    clock.tick(60)

    assert status_of(server.get(f"/v1/workflows/runs/{run_id}"), server.api) == "completed"
    answer = server.steps({"id": run_id})
    steps = answer if isinstance(answer, list) else answer["data"]
    assert steps[-1]["handle_outputs"]["output-json-0"]["data"] == edited


def decide(server, run_id, edited):
    """Approve with an edit, the way of the server's clients."""
    asked = {"approved": True, "modified_data": edited}
    if server.api == "g1a":
        server.post(f"/v1/workflows/runs/{run_id}/resume", {"node_id": "hil-node-1", **asked})
    elif server.api in span("g1b", "g2b"):
        server.post(f"/v1/workflows/runs/{run_id}/hil-decisions", {"block_id": "hil-node-1", **asked})
    elif server.api == "g2c":
        path = f"/v1/workflows/reviews/{run_id}/hil-node-1"
        stamp = server.get(path)["rev"]
        asked = {"verdict": "approved", "edited_output": edited, "version_stamp": stamp}
        answer = server.post(f"{path}/decision", asked)
        assert answer["submission_status"] == "accepted"
        assert answer["overlay"]["status"] == "approved"
    else:
        [review] = server.get("/v1/workflows/reviews")["data"]
        assert review["workflow_run_id" if server.api == "g3a" else "run_id"] == run_id
        [seed] = server.get("/v1/workflows/reviews/versions", review_id=review["id"])["data"]
        new = {"review_id": review["id"], "parent_id": seed["id"], "snapshot": edited}
        version = server.post("/v1/workflows/reviews/versions", new, status=201)
        path = f"/v1/workflows/reviews/{review['id']}/approve"
        decision = server.post(path, {"version_id": version["id"]})["review"]["decision"]
        assert ("decided_at" in decision, "created_at" in decision) == (
            (True, False) if server.api == "g3a" else (False, True)
        )


def reject(server, run_id, reason):
    """Reject with a reason, where the server's routes have room for one, the way of its clients."""
    asked = {"approved": False}
    if server.api == "g1a":
        server.post(f"/v1/workflows/runs/{run_id}/resume", {"node_id": "hil-node-1", **asked})
    elif server.api in span("g1b", "g2b"):
        server.post(f"/v1/workflows/runs/{run_id}/hil-decisions", {"block_id": "hil-node-1", **asked})
    elif server.api == "g2c":
        path = f"/v1/workflows/reviews/{run_id}/hil-node-1"
        asked = {"verdict": "rejected", "reason": reason, "version_stamp": server.get(path)["rev"]}
        server.post(f"{path}/decision", asked)
    else:
        [review] = server.get("/v1/workflows/reviews")["data"]
        [seed] = server.get("/v1/workflows/reviews/versions", review_id=review["id"])["data"]
        path = f"/v1/workflows/reviews/{review['id']}/reject"
        assert server.post(path, {"version_id": seed["id"], "reason": reason})["resume_status"] == "resumed"


@pytest.mark.parametrize("ends", ["cancelled", "completed", "error"])
def test_a_rejection_ends_a_run_as_its_workflow_says(clock, invoice, api, ends):
    server = Server(clock, api, workflows=[replace(BUILT_IN[1], on_reject=ends)])
    run_id = waiting(server, clock, invoice)

    reject(server, run_id, "unreadable")

    run = server.get(f"/v1/workflows/runs/{run_id}")
    assert status_of(run, api) == ends
    if ends == "error":
        failure = run if api in span("g1a", "g1b") else run["lifecycle"]
        message = "Human Review was rejected" + (": unreadable" if api in span("g2c", "g3c") else "")
        assert failure.get("message", failure.get("error")) == message
        [failed] = [step for step in server.listed(run) if status_of(step, api) == "error"]
        assert failed["step_id"].endswith("hil-node-1")


@pytest.fixture
def overlay(clock, invoice):
    server = Server(clock, "g2c")
    return server, f"/v1/workflows/reviews/{waiting(server, clock, invoice)}/hil-node-1"


def test_an_overlay_shows_what_is_under_review(overlay):
    server, path = overlay

    shown = server.get(path)

    assert (shown["status"], shown["rev"], shown["head_seq"]) == ("awaiting_review", 1, 1)
    assert [version["snapshot"] for version in shown["versions"]] == [VALUES]
    queue = server.get("/v1/workflows/reviews", status="awaiting_review")
    assert queue == {"data": [shown], "has_more": False}


def test_an_overlay_takes_no_change_of_somebody_who_has_not_read_it(overlay):
    server, path = overlay
    edited = {"snapshot": {"total_amount": 1.0}, "origin": "human_edit"}
    assert server.post(f"{path}/versions", {**edited, "version_stamp": 1})["rev"] == 2

    for action, body in {
        "versions": edited,
        "decision": {"verdict": "approved"},
        "claim": {},
        "release": {},
    }.items():
        assert server("POST", f"{path}/{action}", {**body, "version_stamp": 1}).status == 409


def test_a_decision_of_an_overlay_stands(overlay):
    server, path = overlay
    approval = {"verdict": "approved", "version_stamp": 1}
    assert server.post(f"{path}/decision", approval)["submission_status"] == "accepted"
    assert server.post(f"{path}/decision", approval)["submission_status"] == "already_applied"

    rejection = {"verdict": "rejected", "reason": "unreadable", "version_stamp": 2}
    assert server("POST", f"{path}/decision", rejection).status == 409


def test_a_rejection_of_an_overlay_needs_a_reason_and_ends_the_run(overlay):
    server, path = overlay
    rejection = {"verdict": "rejected", "version_stamp": 1}
    assert server("POST", f"{path}/decision", rejection).status == 422

    server.post(f"{path}/decision", {**rejection, "reason": "unreadable"})

    [run] = server.get("/v1/workflows/runs")["data"]
    assert run["lifecycle"] == {"status": "cancelled", "reason": "unreadable"}


def test_a_claim_of_an_overlay_is_shown_until_it_is_released(overlay):
    server, path = overlay

    claimed = server.post(f"{path}/claim", {"version_stamp": 1, "ttl_seconds": 60})
    released = server.post(f"{path}/release", {"version_stamp": 1})

    assert claimed["claim"]["expires_at"] > claimed["claim"]["claimed_at"]
    assert released["claim"] is None


def test_the_command_takes_every_generation_and_mixture():
    assert [api.value for api in Api] == ["both", "classic", "current", *GENERATIONS]
    assert {api.value for api in Api} == BY_NAME.keys()
