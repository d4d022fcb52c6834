"""What ends a wait although its run goes on: the flow run is suspended, or what runs it is being stopped."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from signal import SIGTERM
from uuid import UUID
from weakref import WeakValueDictionary

from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import Pause, TerminationSignal
from prefect.logging import get_logger

from prefect_collection._identity import around, is_stopped
from prefect_collection._prefect_server import context_of_thread, prefect_client

__all__ = ["READ_INTERVAL", "Check", "StateReader", "interruption_here"]

READ_INTERVAL = 10.0
"""Seconds between two reads of a flow run's state."""

Check = Callable[[], None]


class StateReader:
    """Reads the state of a flow run again and again, in a thread, for as long as somebody asks for it.

    Args:
        read: Returns the state; it may block.
        now: Returns seconds on a clock that never goes back.
    """

    def __init__(self, read: Callable[[], State | None], now: Callable[[], float] = time.monotonic) -> None:
        self._read, self._now = read, now
        self._lock = threading.Lock()
        self._due: float | None = now() + READ_INTERVAL
        self._state: State | None = None

    def state(self) -> State | None:
        """Return the state as it was last read, None before that, at once; it is read anew if that is due."""
        with self._lock:
            is_due = self._due is not None and self._now() >= self._due
            if is_due:
                self._due = None
        if is_due:
            # Prefect's settings are in the context.
            read = partial(context_of_thread().run, self._read_again)
            threading.Thread(target=read, name="retab-state", daemon=True).start()
        return self._state

    def _read_again(self) -> None:
        try:
            self._state = self._read()
        except Exception as error:  # noqa: BLE001  an outage of Prefect's server: it is read again
            get_logger("retab").debug("The state of the flow run could not be read: %r", error)
        finally:
            self._due = self._now() + READ_INTERVAL


# One for all waits of a flow run in this process.
_readers: WeakValueDictionary[UUID, StateReader] = WeakValueDictionary()
_one_at_a_time = threading.Lock()


def interruption_here() -> Check | None:
    """Return what a wait in the running code calls every second; None where nothing could interrupt it.

    It raises Prefect's `Pause` when the flow run is suspended, and `TerminationSignal` in a thread whose flow run is
    stopped in another one, which waits for its threads. Both are what Prefect itself raises.
    """
    checks = [*_on_suspension(), *_on_closed_pools(), *_on_ended_flows()]
    if not checks:
        return None

    def check() -> None:
        for each in checks:
            each()

    return check


def _on_suspension() -> Iterator[Check]:
    contexts = [*around(FlowRunContext)]
    flow_runs = [context.flow_run for context in contexts if context.flow_run is not None]
    suspendable = next((run.id for run in flow_runs if run.deployment_id is not None), None)
    if suspendable is None:
        return
    # Prefect observes the flow runs of this process from 3.8 on, but not from the process of a pool.
    observed = getattr(contexts[0], "flow_run_suspension_request", None)
    if observed is not None and not contexts[0].detached:
        yield observed.raise_if_requested
    else:
        yield partial(_raise_if_suspended, _reader_of(suspendable))


def _reader_of(flow_run_id: UUID) -> StateReader:
    with _one_at_a_time:
        reader = _readers.get(flow_run_id) or StateReader(partial(_read_state, flow_run_id))
        _readers[flow_run_id] = reader
        return reader


def _read_state(flow_run_id: UUID) -> State | None:
    return prefect_client().read_flow_run(flow_run_id).state


def _raise_if_suspended(reader: StateReader) -> None:
    state = reader.state()
    if state is not None and state.is_paused() and state.name == "Suspended":
        raise Pause(state=state)


def _on_closed_pools() -> Iterator[Check]:
    """Yield a check for each pool of threads around the running code: it is closed when its flow run ends."""
    tasks = [context.task_run.id for context in around(TaskRunContext)]
    for context in around(FlowRunContext):
        # Prefect has no other word for it to a task. Other runners have none, or events of other processes.
        events = getattr(context.task_runner, "_cancel_events", {})
        for closed in filter(None, map(events.get, tasks)):
            if isinstance(closed, threading.Event) and context.flow_run is not None:
                yield partial(_raise_if_stopped, closed, context.flow_run, context.flow_run.state)


def _raise_if_stopped(closed: threading.Event, flow_run: FlowRun, before: State | None) -> None:
    # One that has returned, or raised an exception, has another state by now, and Prefect lets its threads go on.
    if closed.is_set() and (flow_run.state is before or is_stopped(flow_run.state)):
        raise TerminationSignal(signal=SIGTERM)


def _on_ended_flows() -> Iterator[Check]:
    """Yield a check for each flow run around a thread that the user has started, as `asyncio.to_thread` does."""
    if threading.current_thread() is threading.main_thread():
        return  # what stops a flow is raised here
    for context in around(FlowRunContext):
        if context.flow_run is not None:
            yield partial(_raise_if_ended_by_force, context.flow_run)


def _raise_if_ended_by_force(flow_run: FlowRun) -> None:
    state = flow_run.state
    if state is not None and (state.is_crashed() or is_stopped(state)):
        raise TerminationSignal(signal=SIGTERM)
