"""Tasks of Airflow as a case acts with them: a connection of its own, and no Airflow around."""

import asyncio
import json
import os
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import PokeReturnValue, TaskDeferred

from airflow_provider.hooks import RetabHook
from airflow_provider.operators import (
    RetabCancelRunOperator,
    RetabRestartRunOperator,
    RetabRunWorkflowOperator,
)
from airflow_provider.sensors import RetabRunSensor
from tests.hostile.harness import World


class Ti:
    """A task instance whose XComs are seen."""

    dag_id, run_id, task_id, map_index = "hostile", "manual__1", "run", -1
    max_tries, try_number = 0, 1

    def __init__(self, world: World) -> None:
        self._stored = world.stored
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))
        self._stored.append((key, value))

    def xcom_pull(
        self, *, task_ids: Any = None, key: str = "return_value", map_indexes: Any = None, **_: Any
    ) -> Any:
        return self.xcoms.get(key)


def connected(world: World, *, timeout: float = 5.0, **extra: Any) -> str:
    """Write a connection that leads to the case's site, and return its name."""
    name = f"hostile_{world.number}"
    known = {"api": "classic", "auth": "bearer", "timeout": timeout, **extra}
    given = {"conn_type": "retab", "password": world.key, "host": world.url, "extra": known}
    os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(given)
    return name


def fired(trigger: Any, world: World) -> Any:
    """Run a trigger as a triggerer does, rebuilt from what the database has of it."""
    path, kwargs = trigger.serialize()
    world.stored.append(kwargs)
    module, _, name = path.rpartition(".")
    rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps({**kwargs, "not_before": 0})))

    async def events() -> list[Any]:
        return [event.payload async for event in rebuilt.run()]

    [event] = asyncio.run(events())
    return json.loads(json.dumps(event))


def executed(task: Any, world: World) -> Any:
    """Execute a task to its end, in the triggerer too."""
    context = {"ti": Ti(world), "task_state_store": None}
    try:
        return task.execute(context)
    except TaskDeferred as begun:
        deferred = begun
    while True:
        event = fired(deferred.trigger, world)
        world.stored.append(event)
        try:
            return getattr(task, deferred.method_name)(context, event=event, **deferred.kwargs)
        except TaskDeferred as again:
            deferred = again


def run_task(world: World, *, timeout: float = 5.0, api: str = "classic", **options: Any) -> Any:
    given = {"task_id": "run", "workflow_id": "wf_1", "poll_interval": 0.1, "timeout": 1.0, **options}
    task = RetabRunWorkflowOperator(retab_conn_id=connected(world, timeout=timeout, api=api), **given)
    return executed(task, world)


def on_the_worker(world: World, **options: Any) -> Any:
    return run_task(world, deferrable=False, **options)


def restart(world: World, *, timeout: float = 5.0, **options: Any) -> Any:
    name = connected(world, timeout=timeout)
    given = {"run_id": "run_0", "poll_interval": 0.1, "timeout": 1.0, **options}
    return executed(RetabRestartRunOperator(task_id="run", retab_conn_id=name, **given), world)


def cancel(world: World, *, timeout: float = 5.0, **options: Any) -> Any:
    name = connected(world, timeout=timeout)
    return executed(
        RetabCancelRunOperator(task_id="run", retab_conn_id=name, **{"run_id": "run_1", **options}), world
    )


def poke(world: World, *, timeout: float = 5.0, **options: Any) -> Any:
    name = connected(world, timeout=timeout)
    sensor = RetabRunSensor(task_id="run", retab_conn_id=name, **{"run_id": "run_1", **options})
    found = sensor.poke({"ti": Ti(world)})
    return found.xcom_value if isinstance(found, PokeReturnValue) and found.is_done else found


def deferred_sensor(world: World, *, timeout: float = 5.0, **options: Any) -> Any:
    name = connected(world, timeout=timeout)
    given = {"run_id": "run_1", "poke_interval": 0.1, "timeout": 1, "deferrable": True, **options}
    return executed(RetabRunSensor(task_id="run", retab_conn_id=name, **given), world)


def check_connection(world: World, *, timeout: float = 5.0) -> Any:
    return RetabHook(connected(world, timeout=timeout)).test_connection()
