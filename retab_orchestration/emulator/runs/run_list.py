"""The list of runs: its filters and its order, as strict as the server's routes."""

from collections.abc import Callable
from typing import Any

from retab_orchestration.emulator.runs.engine import Run, View
from retab_orchestration.emulator.serving.paging import choice, date_window, integer, order
from retab_orchestration.emulator.serving.wire import Refusal, Request, read_json
from retab_orchestration.emulator.state import State

__all__ = ["find_runs"]

_SPELLINGS = {"awaiting_review": "waiting_for_human", "failed": "error"}
_TRIGGERS = {"manual", "api", "schedule", "webhook", "email", "restart"}

Test = Callable[[Run, View], bool]


def find_runs(state: State, request: Request) -> list[Run]:
    """Return the runs of a list request, filtered and in order.

    Raises:
        Refusal: 400 for a malformed date or sort, 422 for a value outside its enum or range.
    """
    if (sort := request.param("sort_by")) and sort not in state.generation.sorts:
        raise Refusal(400, f"Invalid sort_by: {sort}")
    newest_first = order(request, "desc")
    tests = [*_identity(state, request), *_status(state, request), *_durations(state, request)]
    found = [run for run in list(state.runs.values()) if all(test(run, state.view_of(run)) for test in tests)]
    return sorted(found, key=lambda run: run.number, reverse=newest_first)


def _identity(state: State, request: Request) -> list[Test]:
    tests: list[Test] = []
    workflow_id, prefix = request.param("workflow_id"), request.param("search")
    if workflow_id:
        tests.append(lambda run, _: run.workflow.id == workflow_id)
    if prefix:
        tests.append(lambda run, _: run.id.startswith(prefix))
    triggers = {choice(request, "trigger_type", _TRIGGERS)} - {None}
    if state.generation.has_many:
        triggers |= set(request.params("trigger_types"))
    if triggers:
        tests.append(lambda run, _: run.trigger_type in triggers)
    start, end = date_window(request)
    tests.append(lambda run, _: start <= run.created_at <= end)
    if lag := state.traits.list_lag:
        seen = state.clock() - lag
        tests.append(lambda run, _: run.created_at <= seen)
    metadata = _metadata(request) if state.generation.has_metadata else {}
    if metadata and state.traits.metadata == "kept":
        tests.append(lambda run, _: metadata.items() <= (run.metadata or {}).items())
    return tests


def _status(state: State, request: Request) -> list[Test]:
    allowed = state.generation.statuses
    tests: list[Test] = []
    wanted = {choice(request, "status", allowed)} - {None}
    if state.generation.has_many:
        wanted |= set(request.params("statuses"))
    if wanted:
        statuses = {_SPELLINGS.get(status or "", status) for status in wanted}
        tests.append(lambda _, view: view.status in statuses)
    if excluded := choice(request, "exclude_status", allowed):
        excluded = _SPELLINGS.get(excluded, excluded)
        tests.append(lambda _, view: view.status != excluded)
    return tests


def _durations(state: State, request: Request) -> list[Test]:
    tests: list[Test] = []
    units = state.generation.durations
    least = max(integer(request, f"min_duration{unit}", 0) or 0 for unit in units)
    most = max(integer(request, f"max_duration{unit}", 0) or 0 for unit in units)
    if least:
        tests.append(lambda _, view: view.milliseconds is not None and least <= view.milliseconds)
    if most:
        tests.append(lambda _, view: view.milliseconds is not None and view.milliseconds <= most)
    return tests


def _metadata(request: Request) -> dict[str, Any]:
    text = request.param("metadata")
    if text is None:
        return {}
    pairs = read_json(text, ["query", "metadata"])
    if not isinstance(pairs, dict) or not all(isinstance(value, str) for value in pairs.values()):
        raise Refusal.invalid(["query", "metadata"], "Input should be a JSON object of strings", "json_type")
    return pairs
