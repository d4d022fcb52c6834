"""The public names as a user would write them: type-checked with everything else, never run."""

from datetime import date
from pathlib import Path
from typing import Any, assert_type

from retab_orchestration import (
    AsyncRetabClient,
    Document,
    FileReference,
    PollPolicy,
    RetabClient,
    RetryPolicy,
    ReviewDecision,
    RunPage,
    RunStatus,
    Step,
    WorkflowRun,
    WorkflowTestRun,
)
from retab_orchestration.emulator import Emulator


def blocking() -> None:
    with (
        Emulator(api="classic") as emulator,
        RetabClient("key", emulator.url, retry=RetryPolicy(attempts=2)) as retab,
    ):
        run = retab.create_run(
            "wf_1",
            documents={
                "a": Path("a.pdf"),
                "b": ("b.pdf", b"..."),
                "c": Document(Path("c"), filename="c.pdf", mime_type="application/pdf"),
                "d": FileReference(id="file_1"),
            },
            json_inputs={"j": {"n": 1}},
            metadata={"batch": "b1"},
        )
        assert_type(run, WorkflowRun)
        assert_type(run.status, RunStatus)
        run = retab.wait_for_run(
            run.id, timeout=60, poll=PollPolicy(interval=5), on_review="wait"
        ).raise_for_status()
        assert_type(run.outputs, dict[str, Any])
        page = retab.list_runs(status="failed", from_date=date(2026, 1, 1), limit=100)
        assert_type(page, RunPage)
        assert_type([found.id for found in retab.iter_runs(workflow_id="wf_1", order="asc")], list[str])
        assert_type(retab.list_steps(run.id), list[Step])
        assert_type(retab.decide_review(run.id, "hil-1", approved=True), ReviewDecision)
        assert_type(retab.create_test_run("wf_1", n_consensus=3).passed, bool | None)


async def awaiting() -> WorkflowTestRun:
    async with AsyncRetabClient() as retab:
        run = await retab.create_run("wf_1", on_progress=lambda progress: progress.sent / progress.size)
        run = await retab.wait_for_run(run.id, on_change=lambda seen: seen.status_name)
        assert_type(run.final_outputs, dict[str, dict[str, Any]])
        async for found in retab.iter_runs():
            assert_type(found, WorkflowRun)
        return await retab.wait_for_test_run((await retab.create_test_run("wf_1", block_id="b")).id)
