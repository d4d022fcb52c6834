"""The owner of a run: the names that a retry, a resumption and a start on another machine have in common."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Token
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.task_runners import ThreadPoolTaskRunner

from prefect_collection._batches import Batches
from prefect_collection._create_once.decide import Start
from prefect_collection._prefect_server import api_address, prefect_client
from retab_orchestration.identity import digest_of

__all__ = [
    "CREATING",
    "READS",
    "Owner",
    "around",
    "flow_run_of_this_call",
    "full_name",
    "is_stopped",
    "read_labels",
    "stopped_here",
]

C = TypeVar("C", FlowRunContext, TaskRunContext)
Line = list[tuple[FlowRun, TaskRun | None]]
FlowRuns = tuple[Line, list[int]]
"""A flow run and its parents, each with the task run that has called it, and the attempts of all but the last."""

_OWN_LIMIT = re.compile(r"Flow run exceeded timeout of \d")

CREATING: set[str] = set()
"""The functions of our own tasks that create: they are the call itself, not a task around it."""


@dataclass(frozen=True)
class Owner:
    """The outermost flow run, and the path from it to the call.

    A flow that is called by a flow may get another flow run when its parent is retried; the parent keeps its own. So
    the path has Prefect's counter of calls where a flow calls a flow, and the names of tasks where there are tasks:
    what is called in a task gets a new name each time, and the task run's own name contains a part of it.
    """

    id: str
    path: tuple[str, ...] = ()
    flow_runs: tuple[UUID, ...] = ()
    """The flow run itself first, the outermost one last; none outside of flows."""
    labels: Mapping[str, Any] | None = None
    """The labels of the outermost flow run."""
    start: Start = Start.FIRST
    attempt: str = ""
    """A name of the attempt: a suspended flow run goes on with it, a retry has another one."""
    since: datetime | None = None
    """When the outermost flow run was created, by Prefect's clock."""
    is_alone: bool = False
    """Whether no other process of the flow run is known of: neither a pool's nor that of another deployment."""
    stopped: str | None = None
    """Which flow run of this process is cancelled or timed out, as an error tells it."""

    @classmethod
    def of_this_call(cls) -> "Owner | None":
        """Return the owner of the running code, asking Prefect's server; None outside of flow and task runs."""
        flow_run_id = flow_run_of_this_call()
        return cls.read(None if flow_run_id is None else _read_together(flow_run_id))

    @classmethod
    def read(cls, flow_runs: "FlowRuns | None") -> "Owner | None":
        """Return the owner of the running code.

        Args:
            flow_runs: What Prefect's server says of its flow run, None where it has none.
        """
        entered, outer = _tasks_of_this_call()
        if flow_runs is None and not entered:
            return None
        line, attempts = flow_runs or ([], [])
        outside = [task for task in entered if task.task_run.flow_run_id is None]
        outermost = line[-1][0] if line else None
        attempt = [str(outermost.id), outermost.run_count, attempts] if outermost else []
        return cls(
            str(outside[0].task_run.id if outside or outermost is None else outermost.id),
            _path_to_call(line, outer),
            tuple(flow_run.id for flow_run, _ in line),
            outermost.labels if outermost else None,
            _start(line, entered),
            digest_of(attempt, [task.task_run.run_count for task in outer])[:12],
            outermost.created if outermost else None,
            _is_alone(line),
            _stopped_of(_in_one_process(line)),
        )


def flow_run_of_this_call() -> UUID | None:
    """Return the flow run of the running code, None outside of flow runs."""
    entered, outer = _tasks_of_this_call()
    return _flow_run_id(entered, is_ours=len(outer) < len(entered))


def _tasks_of_this_call() -> tuple[list[TaskRunContext], list[TaskRunContext]]:
    """Return the tasks that the running code is in, and those without the one that is the call itself."""
    entered = _entered_tasks()
    # The function of one of our own tasks, called directly, leaves the user's task around it.
    return entered, entered[:-1] if entered and full_name(entered[-1].task.fn) in CREATING else entered


def full_name(fn: Callable[..., Any]) -> str:
    """Return a function's module and name, which a copy in the process of a pool has as well."""
    # A partial has no name of its own.
    return f"{fn.__module__}.{getattr(fn, '__qualname__', '')}"


def is_stopped(state: State | None) -> bool:
    """Whether the runs of a flow run in this state are cancelled, and one that is started now would be left out."""
    if state is None:
        return False
    return state.is_cancelling() or state.is_cancelled() or _took_too_long(state)


def _took_too_long(state: State) -> bool:
    # Prefect gives this name to every flow run that a TimeoutError ends, be it of a socket of the user's or of a task:
    # only the message tells that it was the flow's own limit, and has None for it where the flow has none.
    named = state.is_failed() and state.name == "TimedOut"
    return named and _OWN_LIMIT.match(state.message or "") is not None


def stopped_here() -> str | None:
    """Return which flow run around the running code has timed out, as this process knows without a request."""
    runs = (context.flow_run for context in around(FlowRunContext))
    return _stopped_of(run for run in runs if run is not None)


def _stopped_of(flow_runs: Iterable[FlowRun]) -> str | None:
    for run in flow_runs:
        if run.state is not None and is_stopped(run.state):
            return f"flow run {run.name!r} is {run.state.name}"
    return None


def _in_one_process(line: Line) -> Iterator[FlowRun]:
    """Return the flow runs from the innermost to the one that this process was started for."""
    for flow_run, _ in line:
        yield flow_run
        if flow_run.deployment_id is not None:
            return


def _is_alone(line: Line) -> bool:
    """Return whether all of these flow runs are in this process, and their tasks in its threads."""
    flows = [*around(FlowRunContext)]
    in_threads = all(
        isinstance(flow.task_runner, ThreadPoolTaskRunner) and not flow.detached for flow in flows
    )
    return bool(flows) and in_threads and len([*_in_one_process(line)]) == len(line)


def read_labels(owner: Owner) -> Mapping[str, Any] | None:
    """Read the present labels of the outermost flow run from Prefect's server."""
    if not owner.flow_runs:
        return None
    [(outermost, _), *_], _ = _read_together(owner.flow_runs[-1])
    return outermost.labels


def around(kind: type[C]) -> Iterator[C]:
    """Return the contexts of a kind around the running code, innermost first."""
    context: Any = kind.get()
    while isinstance(context, kind):
        yield context
        # A context that was passed to another process has no context around it.
        token: Token[Any] | None = context._token  # noqa: SLF001  Prefect has no other way to what is around it
        context = token.old_value if token is not None else None


def _entered_tasks() -> list[TaskRunContext]:
    """Return the contexts of the tasks around the running code, outermost first, also across flows."""
    entered: list[TaskRunContext] = []
    attempts: dict[UUID | None, int] = {
        each.flow_run.id: each.flow_run.run_count for each in around(FlowRunContext) if each.flow_run
    }
    for context in around(TaskRunContext):
        task_run = context.task_run
        # Prefect leaves the context of a task that yields, and was not read to its end, to the next attempt.
        is_left = 0 < task_run.flow_run_run_count < attempts.get(task_run.flow_run_id, 0)
        if not is_left and (not entered or entered[-1].task_run.id != task_run.id):
            entered.append(context)
    return entered[::-1]


def _flow_run_id(entered: list[TaskRunContext], *, is_ours: bool) -> UUID | None:
    context = FlowRunContext.get()
    if not is_ours and context is not None and context.flow_run is not None:
        return context.flow_run.id
    return entered[-1].task_run.flow_run_id if entered else None


def _read_together(flow_run_id: UUID) -> FlowRuns:
    return READS.join((api_address(), flow_run_id), None)


def _read(key: tuple[str, UUID], _: list[None]) -> FlowRuns:
    client = prefect_client()
    line = _line_of(client, key[1])
    return line, [_own_attempt(client, flow_run) for flow_run, _ in line[:-1]]


READS: Batches[tuple[str, UUID], None, FlowRuns] = Batches(_read)
"""Reads a flow run with its parents, by the address of Prefect's API and its id."""


def _line_of(client: SyncPrefectClient, flow_run_id: UUID) -> Line:
    """Return a flow run and its parents, each with the task run in which its parent has called it."""
    line: Line = []
    above: UUID | None = flow_run_id
    while above is not None:
        flow_run = client.read_flow_run(above)
        called: TaskRun | None = None
        if flow_run.parent_task_run_id is not None:
            try:
                called = client.read_task_run(flow_run.parent_task_run_id)
            except ObjectNotFound:
                called = None
        above = called.flow_run_id if called is not None else None
        line.append((flow_run, called if above is not None else None))
    return line


def _path_to_call(line: Line, around: list[TaskRunContext]) -> tuple[str, ...]:
    path = [f"task {task.task.name}" for task in around if task.task_run.flow_run_id is None]
    for flow_run, called in reversed(line):
        if called is not None and _is_counted(called, around):
            path.append(f"flow {called.name}/{called.dynamic_key}")
        path += [f"task {task.task.name}" for task in around if task.task_run.flow_run_id == flow_run.id]
    return tuple(path)


def _own_attempt(client: SyncPrefectClient, flow_run: FlowRun) -> int:
    """Count the attempts of a child flow run: in a suspended parent it is started again without a retry."""
    if flow_run.deployment_id is not None or flow_run.run_count < 2:
        return flow_run.run_count  # in a process of its own, which a suspension of the outermost does not end
    # Counted by the server: a process of a pool does not know of earlier attempts.
    return 1 + sum(state.name == "AwaitingRetry" for state in client.read_flow_run_states(flow_run.id))


def _is_counted(called: TaskRun, around: list[TaskRunContext]) -> bool:
    """Return whether a flow was called by a flow directly: Prefect counts such calls, and each retry alike."""
    in_task = any(task.task_run.flow_run_id == called.flow_run_id for task in around)
    return not in_task and "__parents__" not in called.task_inputs and called.dynamic_key.isdigit()


def _start(line: Line, entered: list[TaskRunContext]) -> Start:
    # A resumed flow run has the same count as when it was suspended.
    if any(flow_run.run_count > 1 or flow_run.empirical_policy.pause_keys for flow_run, _ in line):
        return Start.LATER
    return Start.TASK_RETRY if any(task.task_run.run_count > 1 for task in entered) else Start.FIRST
