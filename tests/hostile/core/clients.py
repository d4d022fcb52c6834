"""The operations of the client, each with whose answer a case replaces and what a right result of it is."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration import (
    AsyncRetabClient,
    PollPolicy,
    RetabClient,
    RetryPolicy,
    RunPage,
    WorkflowRun,
)
from tests.hostile.harness import World
from tests.hostile.retab import RUN_ID

COLOURS = ("blocking", "awaiting")
ONCE = RetryPolicy(attempts=1, find_for=0)
SOON = PollPolicy(first=0, shortest=0.05, interval=0.1, error_budget=0.5)


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


def is_run(value: Any, _: Any = None) -> bool:
    return isinstance(value, WorkflowRun) and value.id == RUN_ID


@dataclass(frozen=True)
class Operation:
    """A call, whose answer it is about, and what a right result is."""

    name: str
    role: str
    call: Callable[[Any], Any]
    right: Callable[[Any, Any], bool] = is_run
    settings: Mapping[str, Any] = field(default_factory=dict)
    creates: bool = False


GET_RUN = Operation("get_run", "look", lambda client: client.get_run(RUN_ID))
LIST_RUNS = Operation(
    "list_runs", "list", lambda client: client.list_runs(limit=5), lambda page, _: isinstance(page, RunPage)
)
