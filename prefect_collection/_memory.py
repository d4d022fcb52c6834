"""What a flow run knows of the runs that it has started: as labels of the flow run, and in Prefect's result storage."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.context import TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.results import get_result_store
from pydantic import StrictBool, StrictFloat, StrictInt

from prefect_collection.waiting import run_logger
from retab_orchestration import InvalidInputError
from retab_orchestration.identity import digest_of

__all__ = ["Memory", "Owner", "Record", "runs_in"]

_RUN = "retab.run."
_TEST_RUN = "retab.test-run."
_ACCOUNT = "retab.account."
_BEGUN = "creating since "

# Prefect's server reads labels, merges and writes them, so two writers at once could lose one of the two.
_one_writer = threading.Lock()

_AT_ONCE = 2


@dataclass(frozen=True)
class Owner:
    """Whose a run is, however often it is started again: the outermost flow run, and the way down from it.

    A flow that is called by a flow may get another flow run when its parent is retried, its parent does not.
    """

    id: str
    path: tuple[str, ...] = ()
    flow_runs: tuple[UUID, ...] = ()
    """The flow run itself, and the outermost one last; none outside of flows."""
    labels: Mapping[str, Any] | None = None
    """The labels of the outermost."""
    again: bool = False
    """Whether any of them, or the task, was started before."""

    @classmethod
    def of(cls, task_run: TaskRun) -> "Owner":
        """Ask Prefect's server for the flow runs above a task run."""
        again = task_run.run_count > 1
        if task_run.flow_run_id is None:
            return cls(str(task_run.id), again=again)
        with get_client(sync_client=True) as client:
            line = [client.read_flow_run(task_run.flow_run_id)]
            path: list[str] = []
            while line[-1].parent_task_run_id is not None:
                try:
                    parent = client.read_task_run(line[-1].parent_task_run_id)
                except ObjectNotFound:
                    break
                if parent.flow_run_id is None:
                    break
                path.insert(0, f"{parent.name}/{parent.dynamic_key}")
                line.append(client.read_flow_run(parent.flow_run_id))
        outermost = line[-1]
        return cls(
            str(outermost.id),
            tuple(path),
            tuple(flow_run.id for flow_run in line),
            outermost.labels,
            again or any(_was_started_before(flow_run) for flow_run in line),
        )


def _was_started_before(flow_run: FlowRun) -> bool:
    # A resumed flow run has the count that it was suspended with.
    return flow_run.run_count > 1 or bool(flow_run.empirical_policy.pause_keys)


@dataclass(frozen=True)
class Record:
    """What is known of one call: the run that it started, or that its create was begun and not heard of again."""

    run_id: str | None = None
    since: str | None = None

    @classmethod
    def read(cls, text: Any) -> "Record":
        """Read a label's value."""
        if not isinstance(text, str) or not text:
            return cls()
        return cls(since=text.removeprefix(_BEGUN)) if text.startswith(_BEGUN) else cls(run_id=text)


class Memory:
    """What was started by one call in one flow run, wherever and however often it is called again.

    It blocks, in threads of its own where an event loop must not be blocked.

    Args:
        context: The task that is running.
        account: The name of the block that the call is made with, None for the environment's account.
    """

    def __init__(self, context: TaskRunContext, account: str | None) -> None:
        self.owner = Owner.of(context.task_run)
        self.task: str = context.task.fn.__name__.removeprefix("a")
        inputs = {name: given for name, given in context.parameters.items() if name != "credentials"}
        self.dedupe_key = str(inputs.get("dedupe_key", "0"))
        self._digest = digest_of(self.owner.id, self.owner.path, self.task, _told(inputs))[:20]
        self._label = (_TEST_RUN if self.task == "create_test_run" else _RUN) + self._digest
        self._account = account

    def recall(self) -> Record:
        """Return what is known: from the labels, or else from the result storage, which may be another machine's."""
        record = Record.read((self.owner.labels or {}).get(self._label))
        store, key = get_result_store(), self._key
        if record == Record() and store.exists(key):
            record = Record.read(store.read(key).result)
        return record

    def begin(self) -> None:
        """Note that a create is about to be sent; a failure to note it keeps it from being sent."""
        text = _BEGUN + datetime.now(UTC).isoformat(timespec="seconds")
        self._write_labels(text)
        self._write_result(text)

    def forget(self) -> None:
        """Note that nothing was created."""
        self.keep("")

    def keep(self, run_id: str) -> None:
        """Note what was created; a failure to note it is no reason to lose it."""
        for write in (self._write_labels, self._write_result):
            try:
                write(run_id)
            except Exception as error:  # noqa: BLE001  the run is there, whatever Prefect's server or storage says
                run_logger().warning("Could not note run %s with the flow run: %r", run_id, error)

    @property
    def _key(self) -> str:
        return f"retab-{self._digest}"

    def _write_labels(self, text: str) -> None:
        labels: dict[str, StrictBool | StrictInt | StrictFloat | str] = {self._label: text}
        if self._account:
            labels[_ACCOUNT + self._digest] = self._account
        if not self.owner.flow_runs:
            return
        with _one_writer, get_client(sync_client=True, httpx_settings=asking_again_at_once()) as client:
            for flow_run_id in self.owner.flow_runs:
                client.update_flow_run_labels(flow_run_id, labels)

    def _write_result(self, text: str) -> None:
        get_result_store().write(text, key=self._key)


def asking_again_at_once() -> dict[str, Any]:
    """Return settings of a Prefect client that asks a busy server again at once, before it takes to waiting.

    On SQLite the server answers 503 to a change of labels whenever something else was written while it looked at them.
    So it does to nearly every create, for Prefect notes the start of the task run at that moment. The other write is
    done by then; Prefect's client would wait for two seconds.
    """
    refusals = count()

    def _hook(response: Any) -> None:
        if (
            response.status_code == 503
            and "Retry-After" not in response.headers
            and next(refusals) < _AT_ONCE
        ):
            response.headers["Retry-After"] = "0"

    return {"event_hooks": {"response": [_hook]}}


def runs_in(labels: Mapping[str, Any]) -> dict[str | None, set[str]]:
    """Return the runs in a flow run's labels by the account that they were started with, None for the environment's.

    An account whose create was begun and not heard of again is there, too, without a run.
    """
    found: dict[str | None, set[str]] = {}
    for label, text in labels.items():
        record = Record.read(text)
        if not label.startswith(_RUN) or record == Record():
            continue
        account = labels.get(_ACCOUNT + label.removeprefix(_RUN))
        found.setdefault(account, set()).update({record.run_id} - {None})  # type: ignore[arg-type]
    return found


def _told(inputs: Mapping[str, Any]) -> str:
    try:
        return json.dumps(inputs, default=str, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"the inputs are not JSON: {error}; give dicts with strings for keys, lists, strings, numbers"
        ) from error
