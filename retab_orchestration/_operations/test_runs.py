"""Starting and reading test runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from retab_orchestration import errors
from retab_orchestration._arguments import checked_choice, checked_id
from retab_orchestration._endpoints import classic, current
from retab_orchestration._endpoints.shared import check_about, checked_run
from retab_orchestration._http import Call
from retab_orchestration._operations.listing import everything
from retab_orchestration._transport.session import Session
from retab_orchestration.models import RouteFamily, WorkflowTestResult, WorkflowTestRun

__all__ = [
    "TestScope",
    "cancel_test_run",
    "create_test_run",
    "get_test_result",
    "get_test_run",
    "list_test_results",
    "list_test_runs",
    "poll_test_run",
]

T = TypeVar("T")


@dataclass(frozen=True)
class TestScope:
    """Which tests to run, checked."""

    __test__ = False  # its name would make pytest collect it

    workflow_id: str
    test_id: str | None
    block_id: str | None
    n_consensus: int | None

    @classmethod
    def read(cls, workflow_id: Any, *, test_id: Any, block_id: Any, n_consensus: Any) -> "TestScope":
        """Check what `create_test_run` was given.

        Raises:
            InvalidInputError: Two targets were given, or something is of the wrong kind.
        """
        if test_id is not None and block_id is not None:
            raise errors.InvalidInputError(
                "give test_id or block_id, not both; neither runs every test of the workflow"
            )
        return cls(
            workflow_id=checked_id("workflow_id", workflow_id),
            test_id=None if test_id is None else checked_id("test_id", test_id),
            block_id=None if block_id is None else checked_id("block_id", block_id),
            n_consensus=None
            if n_consensus is None
            else checked_choice("n_consensus", n_consensus, (3, 5, 7)),
        )

    @property
    def fields(self) -> dict[str, Any]:
        """Return the target and the consensus as arguments of an endpoint."""
        return {"test_id": self.test_id, "block_id": self.block_id, "n_consensus": self.n_consensus}


async def _in_the_servers_word(session: Session, send: Callable[[current.TestsWord], Any]) -> Any:
    """Send with the server's name for tests, today's where it is not known; with the other one if there is no route."""
    word = session.tests_word
    try:
        return await send(word)
    except errors.UnsupportedRouteError:
        session.tests_word = "tests" if word == "evals" else "evals"
        try:
            return await send(session.tests_word)
        except errors.UnsupportedRouteError:
            session.tests_word = word  # the server has neither name: a gateway has answered
            raise


async def create_test_run(session: Session, scope: TestScope) -> WorkflowTestRun:
    """Start a test run, once."""

    def call(family: RouteFamily) -> Call[WorkflowTestRun]:
        if family == "classic":
            return classic.create_test_run(scope.workflow_id, **scope.fields)
        return current.create_test_run(scope.workflow_id, **scope.fields, word=session.tests_word)

    async def send(_word: current.TestsWord) -> WorkflowTestRun:
        family = await session.family()
        try:
            return await session.exchange(call(family))
        except errors.UnsupportedRouteError:
            # A server without the route has created nothing.
            found = await session.family_anew()
            if found == family:
                raise
        return await session.exchange(call(found))

    created: WorkflowTestRun = await _in_the_servers_word(session, send)
    return created


async def get_test_run(session: Session, test_run_id: str) -> WorkflowTestRun:
    """Read a test run, with the account's retries."""
    return await _read(session, test_run_id, session.family, session.exchange)


async def poll_test_run(session: Session, test_run_id: str, seconds: float | None) -> WorkflowTestRun:
    """Read a test run with one request, within so many seconds; None for as long as any request."""
    once = partial(session.exchange_once, seconds=seconds)
    return await _read(session, test_run_id, partial(session.family, attempts=1), once)


async def _read(
    session: Session,
    test_run_id: str,
    family: Callable[[], Awaitable[RouteFamily]],
    send: Callable[[Call[WorkflowTestRun]], Awaitable[WorkflowTestRun]],
) -> WorkflowTestRun:
    if await family() == "classic":
        return checked_run(await send(classic.get_test_run(test_run_id)), test_run_id)
    found: WorkflowTestRun = await _in_the_servers_word(
        session, lambda word: send(current.get_test_run(test_run_id, word))
    )
    return checked_run(found, test_run_id)


async def list_test_runs(session: Session, workflow_id: str) -> list[WorkflowTestRun]:
    """Read every test run of a workflow, newest first.

    Raises:
        UnreadableAnswerError: There are test runs of other workflows among them.
    """

    async def read(word: current.TestsWord) -> list[WorkflowTestRun]:
        found: list[WorkflowTestRun] = await everything(
            session, lambda after: current.list_test_runs(workflow_id, after, word)
        )
        return found

    found: list[WorkflowTestRun] = await _by_word(session, read)
    check_about("workflow", workflow_id, (test_run.workflow_id for test_run in found))
    return found


async def cancel_test_run(session: Session, test_run_id: str) -> WorkflowTestRun:
    """Cancel a test run; one that has ended stays as it is, and is returned."""
    try:
        cancelled: WorkflowTestRun = await _by_word(
            session, lambda word: session.exchange(current.cancel_test_run(test_run_id, word))
        )
    except errors.UnsupportedRouteError:
        raise
    except (errors.NotFoundError, errors.ConflictError):
        # So servers answer where it has ended, and where there is none.
        found = await get_test_run(session, test_run_id)
        if not found.is_terminal:
            raise
        return found
    return checked_run(cancelled, test_run_id)


async def _by_word(session: Session, send: Callable[[current.TestsWord], Awaitable[T]]) -> T:
    """Send with the server's name for tests: on classic routes there is but one."""
    if await session.family() == "classic":
        return await send("tests")
    found: T = await _in_the_servers_word(session, send)
    return found


async def list_test_results(session: Session, test_run_id: str) -> list[WorkflowTestResult]:
    """Read every result of a test run.

    Raises:
        UnreadableAnswerError: There are results of other test runs among them.
    """
    found: list[WorkflowTestResult]
    if await session.family() == "classic":
        found = await everything(session, lambda after: classic.list_test_results(test_run_id, after))
    else:
        found = await _in_the_servers_word(
            session,
            lambda word: everything(
                session, lambda after: current.list_test_results(test_run_id, after, word)
            ),
        )
    check_about("test run", test_run_id, (result.test_run_id for result in found), run_id=test_run_id)
    return found


async def get_test_result(session: Session, test_run_id: str, test_id: str) -> WorkflowTestResult:
    """Read the result of one test; current routes have results by their own id only, so there the list is searched.

    Raises:
        NotFoundError: The run has no result of that test.
        UnreadableAnswerError: The answer is about another one.
    """
    if await session.family() == "classic":
        found = await session.exchange(classic.get_test_result(test_run_id, test_id))
        check_about("test run", test_run_id, [found.test_run_id], run_id=test_run_id)
        if test_id != found.id:
            check_about("test", test_id, [found.test_id], run_id=test_run_id)
        return found
    for result in await list_test_results(session, test_run_id):
        if test_id in {result.test_id, result.id}:
            return result
    raise errors.NotFoundError(f"test run {test_run_id} has no result of test {test_id}", run_id=test_run_id)
