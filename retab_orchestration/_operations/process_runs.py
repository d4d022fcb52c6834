"""The runs that this process has started, or may have: they are known without a list and without tags."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from retab_orchestration import errors
from retab_orchestration._operations.create_decision import pauses
from retab_orchestration._operations.tags import existing_run
from retab_orchestration._transport.session import Session
from retab_orchestration.identity import RunIdentity
from retab_orchestration.models import WorkflowRun

__all__ = [
    "begun",
    "begun_of",
    "forget",
    "is_earlier",
    "latest_of",
    "note_begun",
    "note_own",
    "own_runs",
    "own_runs_of_any_generation",
    "remember_own",
]


@dataclass(frozen=True)
class _Own:
    """A run that this process has started."""

    run_id: str
    family: str
    created: float
    """When, on the runtime's clock."""
    earlier: tuple[str, ...] = ()
    """The runs of the same inputs before it."""


@dataclass(slots=True)
class _Known:
    """What is known of one identity, by the fingerprint of the inputs."""

    runs: dict[str, _Own] = field(default_factory=dict)
    """The newest run of each."""
    begun: dict[str, datetime] = field(default_factory=dict)
    """When a create was sent whose outcome is not known."""


# By server and an identity's key.
_own: OrderedDict[tuple[str, str], _Known] = OrderedDict()
_guard: Any = threading.RLock()  # a signal's handler may create a run as well
_MOST_OWN = 10_000
_MOST_EARLIER = 100
# Seconds for which a run that was started here is requested again if it is not found.
_FIND_FOR = 15.0


def _known(session: Session, identity: RunIdentity) -> _Known:
    """Return what is known of an identity, for changing; what was changed longest ago is dropped first."""
    place = (session.settings.base_url, identity.key)
    with _guard:
        known = _own.setdefault(place, _Known())
        _own.move_to_end(place)
        while len(_own) > _MOST_OWN:
            _own.popitem(last=False)
    return known


@contextmanager
def begun(
    session: Session, identity: RunIdentity, fingerprint: str, is_lost: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Record a create while it is sent, and drop the record where its error leaves nothing open.

    After anything else that cuts it off, the next call in this process searches for its run.

    Args:
        session: The account.
        identity: The identity of its run.
        fingerprint: The hash of its inputs.
        is_lost: Whether an error leaves open whether the create, or an earlier sending of it, took effect.
    """
    try:
        yield
    except errors.CreateOutcomeUnknownError:
        raise
    except errors.RetabError:
        if not is_lost():
            _known(session, identity).begun.pop(fingerprint, None)
        raise


def forget(session: Session, identity: RunIdentity) -> None:
    """Keep nothing of an identity."""
    with _guard:
        _own.pop((session.settings.base_url, identity.key), None)


def _own_now() -> list[tuple[tuple[str, str], _Known]]:
    with _guard:
        return [*_own.items()]


def note_begun(session: Session, identity: RunIdentity, fingerprint: str) -> None:
    """Record that a create is sent now."""
    _known(session, identity).begun[fingerprint] = session.runtime.utc()


def begun_of(session: Session, identity: RunIdentity, fingerprint: str) -> datetime | None:
    """Return when a create was sent whose outcome is not known, by this process or by the one that the identity names.

    The run of an identity that may have one only is the same for all inputs.
    """
    known = _own.get((session.settings.base_url, identity.key), _Known())
    ours = [*known.begun.values()] if identity.on_mismatch == "error" else [known.begun.get(fingerprint)]
    return max(filter(None, [identity.begun, *ours]), default=None)


def remember_own(session: Session, identity: RunIdentity, fingerprint: str, run_id: str) -> None:
    """Record the run of an identity for the next call in this process, and that no outcome is unknown any more."""
    note_own(session, identity, fingerprint, run_id)
    _known(session, identity).begun.pop(fingerprint, None)


def note_own(session: Session, identity: RunIdentity, fingerprint: str, run_id: str) -> None:
    """Record the run of an identity as far as it is known."""
    runs = _known(session, identity).runs
    before = runs.get(fingerprint)
    if before is None or before.run_id != run_id:
        earlier = () if before is None else (*before.earlier, before.run_id)[-_MOST_EARLIER:]
        runs[fingerprint] = _Own(run_id, identity.family, session.runtime.now(), earlier)


def latest_of(
    session: Session, identity: RunIdentity, fingerprint: str
) -> tuple[str | None, datetime | None]:
    """Return the last run that this process started for these inputs, and when it sent a create of unknown outcome."""
    known = _own.get((session.settings.base_url, identity.key), _Known())
    own = known.runs.get(fingerprint)
    return (None if own is None else own.run_id), known.begun.get(fingerprint)


def is_earlier(session: Session, identity: RunIdentity, run_id: str) -> bool:
    """Return whether an earlier create of this process has started a run of the identity."""
    known = _own.get((session.settings.base_url, identity.key), _Known())
    return any(run_id in {own.run_id, *own.earlier} for own in known.runs.values())


async def own_runs(
    session: Session, identity: RunIdentity, listed: Iterable[WorkflowRun]
) -> dict[str, WorkflowRun]:
    """Return the runs that this process started for an identity and that were not listed, by fingerprint of the inputs.

    Raises:
        ApiError: One of them could not be read.
    """
    known = _own.get((session.settings.base_url, identity.key), _Known())
    return await _unlisted(session, dict(known.runs), listed)


async def own_runs_of_any_generation(
    session: Session, identity: RunIdentity, listed: Iterable[WorkflowRun]
) -> list[WorkflowRun]:
    """Return the same for all generations of an identity.

    Raises:
        ApiError: One of them could not be read.
    """
    kept = {
        f"{key} {fingerprint}": own
        for (base_url, key), known in _own_now()
        for fingerprint, own in [*known.runs.items()]
        if base_url == session.settings.base_url and own.family == identity.family
    }
    return list((await _unlisted(session, kept, listed)).values())


async def _unlisted(
    session: Session, kept: dict[str, _Own], listed: Iterable[WorkflowRun]
) -> dict[str, WorkflowRun]:
    known = {run.id for run in listed}
    read = {name: await _existing(session, own) for name, own in kept.items() if own.run_id not in known}
    return {name: run for name, run in read.items() if run is not None}


async def _existing(session: Session, own: _Own) -> WorkflowRun | None:
    """Read a run, several times while it is not found: a server may not know what it has just created.

    Raises:
        UnsupportedRouteError: A gateway does not know the route, the last time as well.
    """
    age = session.runtime.now() - own.created
    find_for = max(session.retry.find_for - age, _FIND_FOR)
    return await existing_run(session, own.run_id, (0.0, *pauses(find_for)))


def _unlock() -> None:
    global _guard  # noqa: PLW0603
    _guard = threading.RLock()


# A lock that another thread held while the process forked would never be released in the child.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_unlock)
