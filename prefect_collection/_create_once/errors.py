"""The errors of a call that starts no run, with what its user can do."""

from prefect_collection._create_once.creation import Creation
from prefect_collection._documents import shown
from prefect_collection._state import Record
from retab_orchestration import CreateOutcomeUnknownError, InvalidInputError, RetabError

__all__ = ["FlowRunStoppedError", "gone", "several", "unknown"]


class FlowRunStoppedError(RetabError):
    """The flow run was cancelled, or took too long: nothing was created, and nothing will be."""

    @property
    def retryable(self) -> bool:
        """A retry would come too late as well."""
        return False


def unknown(creation: Creation, record: Record) -> CreateOutcomeUnknownError:
    """Return the error for an earlier attempt that may have created a run, with how to search for it."""
    since = record.since or ""
    filters = {**creation.target, "from_date": since[:10]}
    query = ", ".join(f"{name}={value!r}" for name, value in filters.items())
    return CreateOutcomeUnknownError(
        f"an earlier try, begun at {since}, was cut off, and what it was to create may exist. Nothing was sent "
        f"this time: look for it with list_runs({query}), or for a test run on the workflow's page; if it is not "
        "there, run with another dedupe_key",
        workflow_id=creation.target.get("workflow_id"),
        since=since,
    )


def gone(creation: Creation, record: Record) -> InvalidInputError:
    """Return the error for a document that is needed again and does not exist."""
    what = f"run {record.run_id} of it ended badly" if record.run_id else "the create of its run was cut off"
    return InvalidInputError(
        f"{_places_of(creation)} is not there any more, and {what}: put it back to start another run"
    )


def several(creation: Creation, records: list[Record]) -> InvalidInputError:
    """Return the error for a document that is gone, where it is not known which content it had."""
    runs = ", ".join(sorted(record.run_id or f"one begun at {record.since}" for record in records))
    return InvalidInputError(
        f"{_places_of(creation)} is not there any more, and this flow run has started several runs from there, with "
        f"different contents: {runs}. Put the one that is meant back, or give each content a path of its own"
    )


def _places_of(creation: Creation) -> str:
    return ", ".join(map(shown, creation.places.values()))
