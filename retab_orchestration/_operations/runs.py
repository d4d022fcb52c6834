"""Reading, listing, restarting and cancelling runs."""

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

from retab_orchestration import errors
from retab_orchestration._arguments import NewRun, checked_flag, checked_identity
from retab_orchestration._endpoints import classic, shared
from retab_orchestration._endpoints.filters import RunFilters
from retab_orchestration._operations import listing
from retab_orchestration._operations.create import create_once
from retab_orchestration._operations.identity_runs import FAILED, always_failed_before, came_before
from retab_orchestration._operations.outputs import with_details
from retab_orchestration._operations.process_runs import own_runs, remember_own
from retab_orchestration._operations.tags import Tags, existing_run, tags_of
from retab_orchestration._operations.usage import with_usage
from retab_orchestration._transport.session import Session
from retab_orchestration.documents import FileReference
from retab_orchestration.identity import RESERVED_PREFIX, RunIdentity, digest_of
from retab_orchestration.models import DocumentRef, RunPage, WorkflowRun

__all__ = ["cancel_run", "get_run", "iter_runs", "list_runs", "restart_run"]

# Runs in a row without the metadata that was asked for, after which a list is read no further.
_MOST_OTHERS = 100_000


async def restart_run(
    session: Session, run_id: str, *, identity: RunIdentity | None, adopt: bool
) -> WorkflowRun:
    """Run the inputs of a run again, in the version that is published now, once for an identity."""
    checked_flag("adopt", adopt)
    if identity is not None:
        checked_identity(identity)
    if await session.family() == "classic":
        if identity is None:
            return await session.exchange(classic.restart_run(run_id, uuid.uuid4().hex, is_remembered=False))
        return await _restart_of(session, run_id, identity, adopt=adopt)
    source = shared.checked_run(await session.exchange(shared.get_run(run_id)), run_id)
    if not source.has_inputs:
        raise errors.UnreadableAnswerError(
            f"the server does not tell what run {run_id} was started with, so it cannot be run again; nothing was "
            "created. Start a run with the same inputs instead",
            run_id=run_id,
        )
    new = replace(_inputs_of(source, identity), parent_run_id=run_id)
    return await create_once(session, new, adopt=adopt)


def _inputs_of(source: WorkflowRun, identity: RunIdentity | None) -> NewRun:
    """Return the inputs of a run, for a run of this identity.

    Raises:
        UnreadableAnswerError: No run can be started with them.
    """
    try:
        return NewRun.read(
            source.workflow_id,
            documents={node: _reference(document) for node, document in source.inputs.documents.items()},
            json_inputs=source.inputs.json_data,
            text_inputs=source.inputs.text,
            metadata={
                key: value for key, value in source.metadata.items() if not key.startswith(RESERVED_PREFIX)
            },
            identity=identity,
        )
    except errors.InvalidInputError as error:
        reason = str(error)
    raise errors.UnreadableAnswerError(
        f"the server tells of run {source.id} what no run can be started with ({reason}); nothing was created. Start a "
        "run with the same inputs instead",
        run_id=source.id,
    )


async def _restart_of(session: Session, run_id: str, identity: RunIdentity, *, adopt: bool) -> WorkflowRun:
    """Restart a run on classic routes, again if the server answers with a run that had ended badly before.

    Raises:
        InputsChangedError: This process has started another run of the identity, and it may have one only.
    """
    what = f"restart of {run_id}"
    own = await own_runs(session, identity, ()) if adopt and identity.on_mismatch == "error" else {}
    for known, run in own.items():
        if known != what and run.id != run_id and run.status not in FAILED:
            raise errors.InputsChangedError(
                f"run {run.id} was started for the same task with other inputs than those of run {run_id}; clear the "
                "task to start a new run",
                run=run,
            )
    began, seen = session.runtime.now(), set[str]()
    while True:
        command_id = digest_of(identity.key, len(seen)) if seen else identity.key
        run = await session.exchange(classic.restart_run(run_id, command_id, is_remembered=True))
        if run.id in seen or not came_before(session, identity, run, began):
            remember_own(session, identity, what, run.id)
            return run
        seen.add(run.id)
        if (endless := always_failed_before(seen, f"the workflow of {run_id}")) is not None:
            raise endless


def _reference(document: DocumentRef) -> FileReference:
    # A valid url can always be read by the id; the url in an old run may have expired.
    url = None if document.id else document.url
    return FileReference(id=document.id, filename=document.filename, mime_type=document.mime_type, url=url)


async def get_run(
    session: Session, run_id: str, *, outputs: bool, nodes: tuple[str, ...] | None, usage: bool
) -> WorkflowRun:
    """Read a run once."""
    checked_flag("outputs", outputs)
    checked_flag("usage", usage)
    run = shared.checked_run(await session.exchange(shared.get_run(run_id)), run_id)
    run = await with_details(session, run, nodes) if outputs else run
    return await with_usage(session, run) if usage else run


async def cancel_run(session: Session, run_id: str) -> WorkflowRun:
    """Ask for a run to be cancelled."""
    return shared.checked_run(await session.exchange(shared.cancel_run(run_id, uuid.uuid4().hex)), run_id)


async def list_runs(session: Session, filters: RunFilters) -> RunPage:
    """Read one page of runs.

    Raises:
        InvalidInputError: It is to be filtered by metadata, and the server keeps none.
    """
    page = await listing.list_runs(session, filters)
    carrying = [run for run in page.data if await _carries_metadata(session, run, filters)]
    return page.model_copy(update={"data": tuple(carrying)})


async def iter_runs(session: Session, filters: RunFilters) -> AsyncIterator[WorkflowRun]:
    """Yield the runs of all pages, reading each page when it is needed.

    Raises:
        InvalidInputError: It is to be filtered by metadata, and the server keeps none.
    """
    others = 0
    async for run in listing.iter_runs(session, filters):
        if await _carries_metadata(session, run, filters):
            others = 0
            yield run
        elif (others := others + 1) == _MOST_OTHERS:
            raise errors.ResponseTooLargeError(
                f"the list goes on after {others} runs without that metadata; ask for less of it, by days",
                method="GET",
                path="/v1/workflows/runs",
            )


async def _carries_metadata(session: Session, run: WorkflowRun, filters: RunFilters) -> bool:
    """Return whether a listed run carries the metadata that was asked for: not every server filters by it.

    Raises:
        InvalidInputError: The server keeps none.
    """
    wanted = {} if filters.metadata is None else json.loads(filters.metadata)
    if wanted.items() <= run.metadata.items():
        return True
    tags = await tags_of(session)
    if tags is Tags.DROPPED:
        raise errors.InvalidInputError(
            "this server keeps no run metadata to filter by; filter by workflow_id and from_date"
        )
    if tags is Tags.UNFILTERED and "metadata" not in run.raw:  # a row may leave it out
        run = await existing_run(session, run.id) or run
    return tags is Tags.FILTERED or wanted.items() <= run.metadata.items()
