"""Prefect's tasks, flows and blocks as a case acts with them, without Prefect's engine around."""

import asyncio
from typing import Any

from pydantic import SecretStr

import prefect_collection
from prefect_collection import RetabCredentials, RetabWorkflow
from prefect_collection.workflow import RetabRun
from tests.hostile.harness import World


def credentials(world: World, **given: Any) -> RetabCredentials:
    known = {"api_key": SecretStr(world.key), "base_url": world.url, "api": "classic", "auth": "bearer"}
    return RetabCredentials(**{**known, "timeout_seconds": 5.0, **given})


def blocking(name: str, world: World, *arguments: Any, timeout: float = 5.0, **options: Any) -> Any:
    account = credentials(world, timeout_seconds=timeout)
    return getattr(prefect_collection, name).fn(*arguments, credentials=account, **options)


def awaiting(name: str, world: World, *arguments: Any, timeout: float = 5.0, **options: Any) -> Any:
    account = credentials(world, timeout_seconds=timeout)
    return asyncio.run(getattr(prefect_collection, f"a{name}").fn(*arguments, credentials=account, **options))


def job(world: World, *, timeout: float = 5.0, **options: Any) -> Any:
    """Trigger the block of a workflow, wait for its run and fetch what it returned."""

    async def act() -> Any:
        account = credentials(world, timeout_seconds=timeout)
        known = {"workflow_id": "wf_1", "poll_interval_seconds": 0.1}
        run: RetabRun = await RetabWorkflow(credentials=account, **{**known, **options}).trigger()
        await run.wait_for_completion()
        return await run.fetch_result()

    return asyncio.run(act())
