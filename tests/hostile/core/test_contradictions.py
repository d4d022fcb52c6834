"""Answers that are well formed and about something else, that contradict each other, or that change their mind."""

import inspect
import json

import pytest

from retab_orchestration import FileReference, RunIdentity, Step, WorkflowRun, errors
from retab_orchestration._arguments import NewRun
from retab_orchestration.identity import FINGERPRINT
from tests.hostile.answers import said
from tests.hostile.core.clients import (
    CLASSIC,
    CREATE,
    IDENTITY,
    OR_GOOD,
    SOON,
    UNREADABLE,
    UPLOAD,
    Operation,
    each,
    of,
)
from tests.hostile.retab import (
    FILE,
    NODE,
    RESULT,
    REVIEW,
    RUN_ID,
    SIGNED,
    STEP,
    TEST_RUN,
    VERSION,
    page,
    run,
)

OTHERS = {**STEP, "run_id": "run_2", "handle_outputs": {"output-json-0": {"type": "json", "data": 666}}}
WITHOUT_OUTPUTS = {**run(), "final_outputs": None}
OF_ANOTHER = {**run("running"), "workflow_id": "wf_2"}
NO_RUN = said(404, {"detail": "Run not found"})
NO_ROUTE = said(404, {"detail": "Not Found"})
UNKNOWN = (*UNREADABLE, errors.CreateOutcomeUnknownError)
# Requests that a create may take which the server answers in no good way, again and again.
FEW = 25

OUTPUTS = Operation("get_run with outputs", "steps", lambda client: client.get_run(RUN_ID))
WAIT = Operation(
    "wait_for_run with outputs", "steps", lambda c: c.wait_for_run(RUN_ID, timeout=1, poll=SOON, outputs=True)
)
STEPS = Operation("list_steps", "steps", lambda client: client.list_steps(RUN_ID), each(Step))
DECIDE = Operation("decide_review", "reviews", lambda c: c.decide_review(RUN_ID, NODE, approved=True))
DECIDE_CLASSIC = Operation("decide_review, classic", "decide", DECIDE.call, settings=CLASSIC)
RESULTS = Operation("list_test_results", "results", lambda client: client.list_test_results("trun_1"))
ONE_RESULT = Operation(
    "get_test_result", "result", lambda client: client.get_test_result("trun_1", "test_1"), settings=CLASSIC
)
ADOPT = Operation(
    "create_run, adopt", "create", lambda c: c.create_run("wf_1", identity=IDENTITY, adopt=True)
)
ONCE_MORE = RunIdentity.of("once more")
RESTART = Operation("restart_run", "look", lambda client: client.restart_run(RUN_ID))
RESTART_CLASSIC = Operation(
    "restart_run, classic",
    "restart",
    lambda client: client.restart_run("run_0", identity=IDENTITY),
    settings=CLASSIC,
)
TEST = Operation("create_test_run", "test", lambda client: client.create_test_run("wf_1"))
TEST_CLASSIC = Operation("create_test_run, classic", "test", TEST.call, settings=CLASSIC)
LINK = Operation(
    "create_run with a file",
    "link",
    lambda client: client.create_run("wf_1", documents={"start-1": FileReference(id="file_1")}),
)
FIND = Operation("find_runs", "list", lambda client: client.find_runs(IDENTITY))


def twice(identity):
    """Create a run of an identity, and once more."""

    def call(client):
        def create():
            return client.create_run("wf_1", identity=identity, adopt=True)

        first = create()
        if not inspect.isawaitable(first):
            return create()

        async def both():
            await first
            return await create()

        return both()

    return call


def dead(_, earlier):
    """Answer each create with another run that failed long after it was created."""
    times = {"created_at": "2020-01-01T00:00:00Z", "completed_at": "2020-01-01T01:00:00Z"}
    return said(200, {**run("error"), "id": f"run_{earlier}", "timing": times})


def timeless(_, earlier):
    """Answer with a run that has failed at once, and that was created at no time."""
    times = {"created_at": "1970-01-01T00:00:00Z", "completed_at": "2026-01-01T01:00:00Z"}
    return said(200, {**run("error"), "id": f"run_{earlier}", "timing": times})


def with_edges(edge):
    steps = said(200, page({**STEP, "node_type": "extract"}))
    return lambda _: {"look": said(200, WITHOUT_OUTPUTS), "steps": steps, "edges": said(200, page(edge))}


def without_outputs(steps):
    return lambda _: {"look": said(200, WITHOUT_OUTPUTS), "steps": said(200, steps)}


def decided(role, body):
    return lambda _: {role: said(200, body)}


def signed(role, status, text, *lines):
    """Refuse with a text that has the address which was signed."""

    def refused(request, _):
        address = f"http://{request.header('host')}/storage/file_1?sig={SIGNED}&x=1"
        told = [line.format(address=address) for line in lines]
        return said(status, text.format(address=address).encode(), *told)

    return lambda _: {role: refused}


def changing(role, body, period):
    """Know a route for so many requests, and then not for as many."""
    return lambda _: {
        "create": NO_ROUTE,
        role: lambda _, earlier: NO_ROUTE if earlier // period % 2 else said(200, body),
    }


REJECTED = {"verdict": "rejected", "version_id": "rvr_1"}
# Answers about something else than was asked for; they are no answers.
ABOUT_OTHERS = [
    (OUTPUTS, "steps of another run", without_outputs(page(STEP, OTHERS)), UNREADABLE),
    (STEPS, "steps of another run", said(200, page(STEP, OTHERS)), UNREADABLE),
    (DECIDE, "a review of another run", said(200, page({**REVIEW, "run_id": "run_2"})), UNREADABLE),
    (DECIDE, "a review of another node", said(200, page({**REVIEW, "block_id": "end-2"})), UNREADABLE),
    (
        DECIDE,
        "versions of another review",
        decided("versions", page({**VERSION, "review_id": "rev_2"})),
        UNREADABLE,
    ),
    (
        DECIDE,
        "a receipt of another run",
        decided("approve", {"submission_status": "accepted", "review": {**REVIEW, "run_id": "run_2"}}),
        UNREADABLE,
    ),
    (
        DECIDE,
        "a receipt that says rejected",
        decided("approve", {"submission_status": "accepted", "review": {**REVIEW, "decision": REJECTED}}),
        (errors.ReviewConflictError,),
    ),
    (
        DECIDE_CLASSIC,
        "a receipt of another run",
        said(200, {"submission_status": "accepted", "decision": {"approved": True, "run_id": "run_2"}}),
        UNREADABLE,
    ),
    (
        DECIDE_CLASSIC,
        "a receipt of another node",
        said(200, {"submission_status": "accepted", "block_id": "end-2"}),
        UNREADABLE,
    ),
    (
        DECIDE_CLASSIC,
        "a receipt that says rejected",
        said(200, {"submission_status": "accepted", "decision": {"approved": False}}),
        (errors.ReviewConflictError,),
    ),
    (DECIDE_CLASSIC, "a receipt with a secret", said(200, {"submission_status": SIGNED}), UNREADABLE),
    (RESULTS, "results of another test run", said(200, page({**RESULT, "run_id": "trun_2"})), UNREADABLE),
    (ONE_RESULT, "of another test run", said(200, {**RESULT, "run_id": "trun_2"}), UNREADABLE),
    (ONE_RESULT, "of another test", said(200, {**RESULT, "test_id": "test_2"}), UNREADABLE),
    (
        ADOPT,
        "a run of another identity",
        lambda _: {
            "create": said(200, run("running", metadata=RunIdentity.of("another").tags)),
            "list": said(200, page()),
        },
        UNKNOWN,
    ),
    (
        ADOPT,
        "a run of another workflow",
        lambda _: {"create": said(200, OF_ANOTHER), "list": said(200, page())},
        UNKNOWN,
    ),
    (CREATE, "a run of another workflow", said(200, OF_ANOTHER), UNKNOWN),
    (TEST, "a test run of another workflow", said(200, {**TEST_RUN, "workflow_id": "wf_2"}), UNKNOWN),
    (TEST_CLASSIC, "a test run of another workflow", said(200, {**TEST_RUN, "workflow_id": "wf_2"}), UNKNOWN),
    (RESTART_CLASSIC, "the run that is restarted", said(200, {**run(), "id": "run_0"}), UNKNOWN),
    (UPLOAD, "the completion of another file", decided("complete", {**FILE, "fileId": "file_2"}), UNREADABLE),
]
# What contradicts itself, or would go on for ever.
CONTRADICTIONS = [
    (OUTPUTS, "completed, without a step", without_outputs(page()), UNREADABLE),
    (
        OUTPUTS,
        "completed, and an end is running",
        without_outputs(page(STEP, {**STEP, "step_id": "step_2", "node_id": "end-2", "status": "running"})),
        UNREADABLE,
    ),
    *(
        (OUTPUTS, f"edges whose ids are {kind}", with_edges({"id": odd}), (*UNREADABLE, OR_GOOD))
        for kind, odd in (("lists", []), ("objects", {"a": 1}))
    ),
    *(
        (OUTPUTS, f"a workflow id of {kind}", lambda _, odd=odd: {
            "look": said(200, {**WITHOUT_OUTPUTS, "workflow_id": odd}),
        }, (*UNREADABLE, OR_GOOD))
        for kind, odd in (("half a surrogate", "\ud800"), ("3 MiB", "w" * 3 * 2**20), ("dots", ".."))
    ),
    (LINK, "a file without a url", said(200, {"mime_data": {**FILE, "url": None}}), UNREADABLE),
    (RESTART, "a run of no workflow", said(200, {**run(), "workflow_id": None}), UNREADABLE),
    (RESTART, "a run of a workflow that is a path", said(200, {**run(), "workflow_id": "../x"}), UNREADABLE),
    (
        RESTART,
        "documents with neither id nor url",
        said(200, run(inputs={"documents": {"start-1": {"filename": "a.pdf"}}})),
        UNREADABLE,
    ),
]  # fmt: skip
# Where the server repeats an address that it has signed, in whatever it says.
SIGNATURES = [
    (UPLOAD, "in a text", signed("complete", 422, "no object at {address}")),
    (UPLOAD, "in JSON", signed("complete", 422, '{{"detail": "no object at {address} yet"}}')),
    (
        UPLOAD,
        "in details",
        signed("complete", 400, '{{"code": "x", "message": "m", "details": {{"a": ["<{address}>"]}}}}'),
    ),
    (UPLOAD, "of a create", signed("create", 400, '{{"detail": "cannot read {address}"}}')),
    (LINK, "in Location", signed("link", 302, "", "Location: {address}")),
    (LINK, "in a Location that is a path", signed("link", 302, "", f"Location: /x?sig={SIGNED}")),
]


def few(value, world):
    return len(world.site.requests) <= FEW


def has_no_constants(value, _):
    """Whether there is nothing that no JSON has, which would get no further than to a host's database."""
    return bool(json.dumps(value.final_outputs, allow_nan=False))


def no_stranger(value, world):
    """Nobody takes a run for ours, or cancels it, that a server names where another was asked for."""
    asked = [request.target for request in world.site.requests if "stranger" in request.target]
    return value.id != "run_stranger" and not asked


def twins(_world):
    """Two runs of the identity are listed; whoever asks for the second one hears of a stranger's."""
    tags = {**IDENTITY.tags, FINGERPRINT: NewRun.read("wf_1", identity=IDENTITY).fingerprint()}

    def look(request, _):
        known = "run_stranger" if request.path.endswith("run_b") else "run_a"
        return said(200, {**run("running"), "id": known, "metadata": tags})

    rows = [{**run("running"), "id": each, "metadata": tags} for each in ("run_a", "run_b")]
    return {"list": said(200, page(*rows)), "look": look}


def endless(_world):
    def rows(_, earlier):
        return said(
            200, page(*({**run(), "id": f"run_{earlier}_{n}"} for n in range(100)), after=f"c{earlier}")
        )

    return {"list": rows, "look": NO_RUN}


def many_twins(_world):
    tags = {**IDENTITY.tags, FINGERPRINT: NewRun.read("wf_1", identity=IDENTITY).fingerprint()}
    rows = [{**run("running"), "id": f"run_{n}", "metadata": tags} for n in range(200)]
    return {"list": said(200, page(*rows)), "look": NO_RUN}


def cases():
    for operation, name, answer, expected in [*ABOUT_OTHERS, *CONTRADICTIONS]:
        yield from operation.cases([(name, answer, expected)])
    for operation, name, replies in SIGNATURES:
        yield from operation.cases([(name, replies, (errors.ApiStatusError,))], secrets=(SIGNED,))
    own = Operation("create_run twice", "look", twice(ONCE_MORE), lambda value, _: value.id == "run_1")
    stranger = said(200, {**run(), "id": "run_stranger"})
    for settings in ({}, CLASSIC):
        again = Operation(f"{own.name}, {settings}", own.role, own.call, own.right, settings)
        listed = {"look": stranger, "list": said(200, page())}
        rows = [("then another's", lambda _, listed=listed: listed, UNKNOWN)]
        yield from again.cases(rows)
    bounded = Operation(ADOPT.name, "create", ADOPT.call, few)
    unanswered = (errors.ApiError, errors.CreateOutcomeUnknownError, OR_GOOD)
    yield from bounded.cases(
        [("runs that failed long ago", lambda _: {"create": dead, "list": said(200, page())}, unanswered)]
    )
    yield from Operation(RESTART_CLASSIC.name, "restart", RESTART_CLASSIC.call, few, CLASSIC).cases(
        [("runs that failed long ago", lambda _: {"restart": dead}, unanswered)]
    )
    finite = Operation(OUTPUTS.name, "look", OUTPUTS.call, has_no_constants)
    for text in (b"NaN", b"[Infinity]", b'{"a": -Infinity}'):
        body = b'{"id":"run_1","status":"completed","final_outputs":{"end-1":' + text + b"}}"
        yield from finite.cases([(f"outputs of {text.decode()[:4].strip('[')}", said(200, body), ())])
    at_first = of(WorkflowRun, id="run_0")
    yield from Operation(ADOPT.name, "create", ADOPT.call, at_first).cases(
        [("no time", lambda _: {"create": timeless, "list": said(200, page())}, ())]
    )
    kept = Operation(ADOPT.name, "list", ADOPT.call, no_stranger)
    yield from kept.cases([("a twin that is another's", twins, (*unanswered, errors.InputsChangedError))])
    yield from Operation(FIND.name, "list", FIND.call, each(WorkflowRun)).cases(
        [("runs that are not found, for ever", endless, (errors.ApiError, OR_GOOD))], seconds=50.0
    )
    rows = [("200 twins that are not found", many_twins, (*unanswered, errors.InputsChangedError))]
    yield from kept.cases(rows, seconds=40.0)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_answer(case, check):
    check(case)
