"""A create that was cut off is remembered in the flow run's result store, so that no retry sends it again."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from prefect.results import ResultStore, get_result_store
from prefect.transactions import get_transaction

from retab_orchestration import CreateOutcomeUnknownError

__all__ = ["aonce", "once"]

_INTERRUPTED = (
    "the task was stopped while it created something at Retab, which may exist; look for it there before creating "
    "it again"
)


@contextmanager
def once() -> Iterator[None]:
    """Let a create be tried in this flow run until one try may have succeeded, and refuse any after that.

    Raises:
        CreateOutcomeUnknownError: An earlier try was cut off. To create again all the same, change `dedupe_key`.
    """
    store, key = _place()
    if key is not None and store.exists(key):
        raise _refusal(store.read(key).result)
    with _remembering(store, key):
        yield


@asynccontextmanager
async def aonce() -> AsyncIterator[None]:
    """Do what `once` does without blocking the event loop."""
    store, key = _place()
    if key is not None and await store.aexists(key):
        raise _refusal((await store.aread(key)).result)
    with _remembering(store, key):
        yield


def _place() -> tuple[ResultStore, str | None]:
    # The engine keeps the task's result under this key, which is the same in every try: it is the cache key.
    transaction = get_transaction()
    key = transaction.key if transaction else None
    return get_result_store(), f"{key}-outcome-unknown" if key else None


@contextmanager
def _remembering(store: ResultStore, key: str | None) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # What is no Exception stops the task from outside: a cancellation, a timeout, a signal.
        if key is not None and (
            isinstance(error, CreateOutcomeUnknownError) or not isinstance(error, Exception)
        ):
            # In a task that is being cancelled an await would be cancelled as well, so this blocks, in both colours.
            store.write(_record_of(error), key=key)
        raise


def _record_of(error: BaseException) -> dict[str, str | None]:
    if isinstance(error, CreateOutcomeUnknownError):
        return {
            "message": str(error),
            "workflow_id": error.workflow_id,
            "since": error.since,
            "until": error.until,
        }
    return {"message": _INTERRUPTED}


def _refusal(record: dict[str, str]) -> CreateOutcomeUnknownError:
    advice = (
        "Nothing was sent this time; if it does not exist, run with another dedupe_key. The first try said: "
    )
    return CreateOutcomeUnknownError(
        advice + record["message"],
        workflow_id=record.get("workflow_id"),
        since=record.get("since"),
        until=record.get("until"),
    )
