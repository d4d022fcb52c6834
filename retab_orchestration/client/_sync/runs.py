# Written by `python -m dev.blocking_client` from client/_async; change that.
"""The operations on runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Unpack

from retab_orchestration._arguments import JsonValue, NewRun, checked_id, checked_identity
from retab_orchestration._blocking import iterate_blocking, run_blocking
from retab_orchestration._endpoints.bodies import OnProgress
from retab_orchestration._endpoints.filters import RunFilter, RunFilters
from retab_orchestration._operations import create, reviews, runs
from retab_orchestration._operations.outputs import checked_nodes, list_steps
from retab_orchestration._polling import waiting
from retab_orchestration._polling.wait import OnReview, WaitOptions
from retab_orchestration._transport.session import Session
from retab_orchestration.documents import DocumentInput
from retab_orchestration.errors import ApiError
from retab_orchestration.identity import RunIdentity
from retab_orchestration.models import ReviewDecision, RunPage, Step, WorkflowRun
from retab_orchestration.policies import PollPolicy

__all__ = ["RunOperations"]


class RunOperations:
    """The operations on runs."""

    _session: Session

    def create_run(
        self,
        workflow_id: str,
        *,
        documents: Mapping[str, DocumentInput] | None = None,
        json_inputs: Mapping[str, JsonValue] | None = None,
        text_inputs: Mapping[str, str] | None = None,
        version: str | None = None,
        metadata: Mapping[str, str] | None = None,
        identity: RunIdentity | None = None,
        adopt: bool = False,
        on_progress: OnProgress | None = None,
    ) -> WorkflowRun:
        """Start a run of a workflow, once.

        Where the server keeps tags, a run has them in its metadata, so that it can be searched for when the answer to
        its create is lost, for `RetryPolicy.find_for` seconds. Where it keeps none (classic routes, or current before
        June 2026) a create whose answer is lost is never sent again. docs/servers.md says what is promised where.

        On current routes documents of more than 4 MiB, or 16 MiB in all, are uploaded first; the rest, and everything
        on classic routes, is sent inside of the create, which Retab takes up to about 32 MiB (24 MiB of documents).

        Args:
            workflow_id: The workflow, `wf_…`.
            documents: Start node id -> document: a `pathlib.Path`, anything with `.open("rb")` and a name,
                `(filename, bytes)`, an open binary file, a `Document` around one of these, or a `FileReference`.
            json_inputs: JSON input node id -> any JSON value.
            text_inputs: Text input node id -> text; classic routes only.
            version: `production` (the server's default), `draft` or a version id; current routes only.
            metadata: Tags of your own, strings to strings; current routes only.
            identity: Which run is meant, where that outlives this call; None means this call's own.
            adopt: Whether to search first for a run of this identity, and to return it unless it ended in error or was
                cancelled. After a create that was cut off in this process the search takes up to a minute, and if it
                finds no run, every such call raises `CreateOutcomeUnknownError`: search by hand, then create it under
                another identity.
            on_progress: Called with a `DocumentProgress` while a document of more than 4 MiB is sent, about once a MiB,
                in the thread or on the event loop that called this: nothing is sent until it returns.

        Returns:
            The run as created or found: its `id`, and most often `running`.

        Raises:
            InvalidInputError: Something was refused before anything was sent: correct the call.
            DocumentReadError: A document could not be read to its end, nothing was created: try again.
            CreateOutcomeUnknownError: The answer was lost, the run may exist: search for it before creating it again.
            InputsChangedError: The identity's run was started with other inputs.
            DocumentTooLargeError: The documents are larger than the routes take.
            UploadRefusedError: A document was refused at its signed address.
            ApiError: It was refused, or the server was not reached; nothing was created, or the next call with the same
                identity and `adopt=True` returns what was.
        """
        read = partial(
            NewRun.read,
            workflow_id,
            documents=documents,
            json_inputs=json_inputs,
            text_inputs=text_inputs,
            version=version,
            metadata=metadata,
            identity=identity,
        )
        return run_blocking(create.create_run(self._session, read, adopt=adopt, on_progress=on_progress))

    def get_run(
        self,
        run_id: str,
        *,
        outputs: bool = True,
        output_nodes: Sequence[str] | None = None,
        usage: bool = False,
    ) -> WorkflowRun:
        """Read a run once.

        Args:
            run_id: The run, `run_…`.
            outputs: Whether to read the final outputs of a run that has ended, or why it failed, from its steps where
                the run itself does not have them. One or two more requests.
            output_nodes: The nodes whose outputs to return in `final_outputs`; None means the end of the workflow.
            usage: Whether to read what the run has cost. One or two more requests, whose failure is none of the call.

        Raises:
            NotFoundError: There is no such run for this key.
            InvalidInputError: A node was named that the run does not have.
        """
        return run_blocking(
            runs.get_run(
                self._session,
                checked_id("run_id", run_id),
                outputs=outputs,
                nodes=checked_nodes(output_nodes),
                usage=usage,
            )
        )

    def list_runs(self, **filters: Unpack[RunFilter]) -> RunPage:
        """Read one page of runs, newest first; `RunFilter` says what to narrow, order and page by.

        Raises:
            InvalidInputError: A filter is unknown or out of range: nothing was sent. Or the server keeps no metadata to
                filter by.
        """
        return run_blocking(runs.list_runs(self._session, RunFilters.read(**filters)))

    def iter_runs(self, **filters: Unpack[RunFilter]) -> Iterator[WorkflowRun]:
        """Iterate over the runs of all pages, reading each page when it is needed; filters as in `list_runs`."""
        return iterate_blocking(runs.iter_runs(self._session, RunFilters.read(**filters)))

    def list_steps(self, run_id: str) -> list[Step]:
        """Read every step of a run, to the last page, oldest first."""
        return run_blocking(list_steps(self._session, checked_id("run_id", run_id)))

    def cancel_run(self, run_id: str) -> WorkflowRun:
        """Ask for a run to be cancelled; asking twice does no harm.

        Returns:
            The run as it was then. `cancellation.status` is `cancelled`, `cancellation_requested` (read it again), or
            `cancellation_failed` (it had ended already, or goes on: see its status).
        """
        return run_blocking(runs.cancel_run(self._session, checked_id("run_id", run_id)))

    def restart_run(
        self, run_id: str, *, identity: RunIdentity | None = None, adopt: bool = False
    ) -> WorkflowRun:
        """Run the inputs of a run again, in the version that is published now; the old run stays as it is.

        Args:
            run_id: The run to repeat.
            identity: As in `create_run`.
            adopt: As in `create_run`.

        Returns:
            The new run.

        Raises:
            NotFoundError: There is no such run for this key.
            CreateOutcomeUnknownError: The answer was lost, the run may exist: search for it before restarting again.
        """
        return run_blocking(
            runs.restart_run(self._session, checked_id("run_id", run_id), identity=identity, adopt=adopt)
        )

    def can_find_runs(self) -> bool:
        """Return whether runs can be found by their identity: whether the server keeps tags, or may keep them.

        Where they cannot, a create that was cut off must not be sent again.
        """
        return run_blocking(create.can_find_runs(self._session))

    def can_filter_runs(self) -> bool:
        """Return whether the server keeps tags and filters its list by them, so that it finds old runs as well."""
        return run_blocking(create.can_filter_runs(self._session))

    def find_runs(self, identity: RunIdentity, *, any_generation: bool = False) -> list[WorkflowRun]:
        """Return the runs of an identity, oldest first.

        The runs that this process has created are among them, even before the list shows them. On classic routes, which
        have no metadata, there are no others.

        Args:
            identity: Which run is meant. With its `begun`, there is none only once `RetryPolicy.find_for` has passed
                since then, for a list may lag: so this may take as long.
            any_generation: Whether runs of other generations of the same owner count as well.
        """
        return run_blocking(
            create.find_runs(self._session, checked_identity(identity), any_generation=any_generation)
        )

    def wait_for_run(
        self,
        run_id: str,
        *,
        timeout: float | None = None,
        poll: PollPolicy = PollPolicy(),
        on_review: OnReview = "return",
        outputs: bool = True,
        output_nodes: Sequence[str] | None = None,
        usage: bool = False,
        on_change: Callable[[WorkflowRun], Any] | None = None,
        on_outage: Callable[[ApiError | None], Any] | None = None,
        on_tick: Callable[[], Any] | None = None,
    ) -> WorkflowRun:
        """Wait until a run has ended, or until it waits for a human.

        Args:
            run_id: The run.
            timeout: Seconds it may take, None for any; time in which a human is asked does not count.
            poll: How often to poll.
            on_review: `return` also returns when the run waits for a human, `wait` goes on until it has ended,
                `until_decided` returns once no human is asked (any more).
            outputs: As in `get_run`.
            output_nodes: As in `get_run`.
            usage: As in `get_run`.
            on_change: Called with the run when it is seen first, and whenever its status, or the nodes where it waits
                for a human, have changed.
            on_outage: Called with the first error when polls begin to fail, and with None when one is understood again.
                They may fail for as long as `poll` says (`error_budget`, 10 minutes); a run
                that is not found ends the wait sooner.
            on_tick: Called every second, also between two polls; what it raises ends the wait, and the run goes on. It
                must not block.

        Returns:
            The settled run; `raise_for_status()` raises if it failed.

        Raises:
            WaitTimeoutError: The run goes on: wait again, or cancel it.
            OutputsUnavailableError: The run has ended, and its outputs could not be read: wait for it again.
            ApiError: It could not be polled any more; the run goes on.
        """
        return run_blocking(
            waiting.wait_for_run(
                self._session,
                checked_id("run_id", run_id),
                WaitOptions.read(timeout, poll, on_review, on_outage, on_change, on_tick=on_tick),
                outputs=outputs,
                nodes=checked_nodes(output_nodes),
                usage=usage,
            )
        )

    def decide_review(
        self,
        run_id: str,
        node_id: str,
        *,
        approved: bool,
        modified_data: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> ReviewDecision:
        """Decide what a run waits for at a node; outside of loops the same decision again does no harm.

        Args:
            run_id: The run.
            node_id: One of its `waiting_for_node_ids`. In a loop each call decides one iteration, the one that has
                waited longest.
            approved: Whether the run may go on with what the node found.
            modified_data: What the run goes on with instead; only with `approved=True`.
            reason: Why it was rejected, or edited. Current routes require one for a rejection, classic ones do not take
                it.

        Returns:
            A receipt with the `outcome`: accepted, already_received or already_applied. Poll the run for what follows.

        Raises:
            ReviewConflictError: Another decision stands, and was not changed.
            InvalidInputError: The run has no review at this node; the message says where it waits.
        """
        verdict = reviews.Verdict.read(
            run_id, node_id, approved=approved, modified_data=modified_data, reason=reason
        )
        return run_blocking(reviews.decide_review(self._session, verdict))
