"""The progress of large documents, as artifacts that Prefect shows with the run."""

import asyncio
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    acreate_progress_artifact,
    aupdate_progress_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext

from prefect_collection._waiting import run_logger
from retab_orchestration import DocumentProgress

__all__ = ["AsyncProgressArtifacts", "ProgressArtifacts"]

_KEY = "retab-document"


class _Tenths:
    """Decides which progress is sent to Prefect: the first of a document, each tenth, and a new start."""

    def __init__(self) -> None:
        self.artifacts: dict[str, UUID] = {}
        # Outside of runs no artifact could be shown.
        self._is_shown = bool(TaskRunContext.get() or FlowRunContext.get())
        self._tenths: dict[str, int] = {}

    def is_due(self, progress: DocumentProgress) -> bool:
        tenths = 10 * progress.sent // progress.size
        known, self._tenths[progress.node] = self._tenths.get(progress.node), tenths
        return self._is_shown and tenths != known

    def failed(self, error: Exception) -> None:
        """Stop showing progress, and log why: a run must not fail because of it."""
        self._is_shown = False
        run_logger().debug("The progress of documents is not shown: %s", type(error).__name__)


def _percent(progress: DocumentProgress) -> float:
    return 100.0 * progress.sent / progress.size


def _description(progress: DocumentProgress) -> str:
    return f"Sending {progress.filename} ({progress.size / 1_000_000:.1f} MB) to Retab"


class ProgressArtifacts:
    """Shows the progress of each document as an artifact."""

    def __init__(self) -> None:
        self._tenths = _Tenths()

    def __call__(self, progress: DocumentProgress) -> None:
        """Show how far a document is."""
        if not self._tenths.is_due(progress):
            return
        artifacts, percent = self._tenths.artifacts, _percent(progress)
        try:
            if progress.node in artifacts:
                update_progress_artifact(artifacts[progress.node], percent, _sync=True)  # type: ignore[call-arg]
            else:
                text = _description(progress)
                artifact_id = create_progress_artifact(percent, _KEY, text, _sync=True)  # type: ignore[call-arg]
                artifacts[progress.node] = cast("UUID", artifact_id)
        except Exception as error:  # noqa: BLE001  the document is sent whether or not it can be shown
            self._tenths.failed(error)


class AsyncProgressArtifacts:
    """Shows progress as `ProgressArtifacts` does, in a task of its own, so that no document waits for Prefect."""

    def __init__(self) -> None:
        self._tenths = _Tenths()
        self._news: dict[str, DocumentProgress] = {}
        self._showing: asyncio.Task[None] | None = None

    def __call__(self, progress: DocumentProgress) -> None:
        """Show the progress of a document in the background."""
        if not self._tenths.is_due(progress):
            return
        self._news[progress.node] = progress
        if self._showing is None or self._showing.done():
            self._showing = asyncio.create_task(self._show())

    async def shown(self) -> None:
        """Wait until all progress is shown."""
        if self._showing is not None:
            await self._showing

    async def _show(self) -> None:
        artifacts = self._tenths.artifacts
        while self._news:
            node, progress = self._news.popitem()
            try:
                if node in artifacts:
                    await aupdate_progress_artifact(artifacts[node], _percent(progress))
                else:
                    text = _description(progress)
                    artifacts[node] = await acreate_progress_artifact(_percent(progress), _KEY, text)
            except Exception as error:  # noqa: BLE001  the document is sent whether or not it can be shown
                self._tenths.failed(error)
