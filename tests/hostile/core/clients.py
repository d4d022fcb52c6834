"""The operations of the client, each with whose answer a case replaces and what a right result of it is."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration import (
    AsyncRetabClient,
    PollPolicy,
    RetabClient,
    RetryPolicy,
    ReviewDecision,
    RunIdentity,
    RunPage,
    Step,
    WorkflowRun,
    WorkflowTestResult,
    WorkflowTestRun,
    errors,
)
from tests.hostile.harness import Case, World
from tests.hostile.retab import NODE, RUN_ID

COLOURS = ("blocking", "awaiting")
ONCE = RetryPolicy(attempts=1, find_for=0)
SOON = PollPolicy(first=0, shortest=0.05, interval=0.1, error_budget=0.5)
IDENTITY = RunIdentity.of("hostile")
PIECE = "document-7c1e-do-not-show-me"
LARGE = f"%PDF-1.4 {PIECE} ".encode() * 120_000

# What may be said of an answer that is no HTTP, breaks off, or has a body that the API does not promise.
BROKEN = (errors.ApiConnectionError, errors.UnreadableAnswerError)
LATE = (errors.ApiTimeoutError,)
UNREADABLE = (errors.UnreadableAnswerError,)
REFUSED = (errors.ApiStatusError,)
ANY = (errors.ApiError,)
# Among the errors of a row: a right result is right as well.
OR_GOOD = "a right result"


def calling(call: Callable[[Any], Any], colour: str, **settings: Any) -> Callable[[World], Any]:
    """Return what makes a call with a client of this colour."""

    def given(world: World) -> dict[str, Any]:
        known = {
            "api_key": world.key,
            "base_url": world.url,
            "api": "current",
            "auth": "bearer",
            "retry": ONCE,
        }
        return {
            **known,
            **{name: value(world) if callable(value) else value for name, value in settings.items()},
        }

    def blocking(world: World) -> Any:
        with RetabClient(**given(world)) as client:
            result = call(client)
            return list(result) if inspect.isgenerator(result) else result

    def awaiting(world: World) -> Any:
        async def act() -> Any:
            async with AsyncRetabClient(**given(world)) as client:
                result = call(client)
                if inspect.isasyncgen(result):
                    return [item async for item in result]
                return await result if inspect.isawaitable(result) else result

        return asyncio.run(act())

    return blocking if colour == "blocking" else awaiting


def told(value: Any) -> str:
    """Return a value as the name of a case has it."""
    return "missing" if value is ... else ascii(value)[:50].replace("[", "(").replace("]", ")")


def of(kind: type, **attributes: Any) -> Callable[[Any, Any], bool]:
    """Return whether a result is of this kind and has these attributes."""

    def right(value: Any, _: Any) -> bool:
        known = {name: getattr(value, name, None) for name in attributes}
        return isinstance(value, kind) and known == attributes

    return right


def each(kind: type) -> Callable[[Any, Any], bool]:
    return lambda value, _: isinstance(value, list) and all(isinstance(item, kind) for item in value)


is_run = of(WorkflowRun, id=RUN_ID)


@dataclass(frozen=True)
class Operation:
    """A call, whose answer it is about, and what a right result is."""

    name: str
    role: str
    call: Callable[[Any], Any]
    right: Callable[[Any, Any], bool] = is_run
    settings: Mapping[str, Any] = field(default_factory=dict)
    creates: bool = False

    def cases(
        self, rows: Iterable[tuple[Any, ...]], colours: Iterable[str] = COLOURS, **more: Any
    ) -> Iterator[Case]:
        """Yield a case for every row and colour.

        Args:
            rows: Name, answer (or a function from a case's world to all replies), and the errors that are right; where
                there are none, a result has to be.
            colours: The clients.
            more: What else the cases have; `timeout` and the like are the client's.
        """
        settings = {
            name: more.pop(name) for name in ("timeout", "retry", "max_response_bytes") if name in more
        }
        for colour in colours:
            for name, answer, expected in rows:
                raised = tuple(kind for kind in expected if kind != OR_GOOD)
                yield Case(
                    f"{self.name}: {name}, {colour}",
                    calling(self.call, colour, **{**self.settings, **settings}),
                    answer if callable(answer) else {self.role: answer},
                    expected=(*raised, errors.CreateOutcomeUnknownError)
                    if raised and self.creates
                    else raised,
                    right=self.right if not raised or OR_GOOD in expected else None,
                    **more,
                )


CLASSIC = {"api": "classic"}
UPLOADED = {"start-1": ("a.pdf", LARGE)}
GET_RUN = Operation("get_run", "look", lambda client: client.get_run(RUN_ID))
CREATE = Operation(
    "create_run", "create", lambda client: client.create_run("wf_1"), settings=CLASSIC, creates=True
)
UPLOAD = Operation("upload", "put", lambda client: client.create_run("wf_1", documents=UPLOADED))
WAIT = Operation("wait_for_run", "look", lambda client: client.wait_for_run(RUN_ID, timeout=1, poll=SOON))
LIST_RUNS = Operation("list_runs", "list", lambda client: client.list_runs(limit=5), of(RunPage))
OPERATIONS = (
    GET_RUN,
    CREATE,
    WAIT,
    Operation("create_run, current", "create", lambda client: client.create_run("wf_1"), creates=True),
    LIST_RUNS,
    Operation("iter_runs", "list", lambda client: client.iter_runs(), each(WorkflowRun)),
    Operation("list_steps", "steps", lambda client: client.list_steps(RUN_ID), each(Step)),
    Operation("list_steps, classic", "steps", lambda client: client.list_steps(RUN_ID), each(Step), CLASSIC),
    Operation("find_runs", "list", lambda client: client.find_runs(IDENTITY), each(WorkflowRun)),
    Operation("cancel_run", "cancel", lambda client: client.cancel_run(RUN_ID)),
    Operation("restart_run", "look", lambda client: client.restart_run(RUN_ID)),
    Operation(
        "restart_run, classic",
        "restart",
        lambda client: client.restart_run(RUN_ID),
        of(WorkflowRun),
        CLASSIC,
        creates=True,
    ),
    Operation(
        "decide_review",
        "decide",
        lambda client: client.decide_review(RUN_ID, NODE, approved=True),
        of(ReviewDecision),
        CLASSIC,
    ),
    *(
        Operation(
            f"decide_review, {role}",
            role,
            lambda client: client.decide_review(RUN_ID, NODE, approved=True, modified_data={"total": 2}),
            of(ReviewDecision),
        )
        for role in ("reviews", "versions", "edit", "approve")
    ),
    Operation(
        "create_test_run",
        "test",
        lambda client: client.create_test_run("wf_1"),
        of(WorkflowTestRun),
        creates=True,
    ),
    Operation(
        "get_test_run",
        "test run",
        lambda client: client.get_test_run("trun_1"),
        of(WorkflowTestRun, id="trun_1"),
    ),
    Operation(
        "wait_for_test_run",
        "test run",
        lambda client: client.wait_for_test_run("trun_1", timeout=1, poll=SOON),
        of(WorkflowTestRun, id="trun_1"),
    ),
    Operation(
        "list_test_results",
        "results",
        lambda client: client.list_test_results("trun_1"),
        each(WorkflowTestResult),
    ),
    Operation(
        "get_test_result",
        "result",
        lambda client: client.get_test_result("trun_1", "test_1"),
        of(WorkflowTestResult),
        CLASSIC,
    ),
    Operation("upload, open", "open", UPLOAD.call),
    Operation("upload, complete", "complete", UPLOAD.call),
)
