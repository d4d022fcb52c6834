"""The runs that this process made: no list has to show them, and no server has to keep what tells them apart."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from retab_orchestration import errors
from retab_orchestration._calls import shared
from retab_orchestration._core.create_steps import pauses
from retab_orchestration._core.session import Session
from retab_orchestration.identity import RunIdentity
from retab_orchestration.models import WorkflowRun

__all__ = ["own_runs", "own_runs_of_any_generation", "remember_own"]


@dataclass(frozen=True)
class _Own:
    """A run of ours."""

    run_id: str
    family: str
    made: float
    """When, on the runtime's clock."""


# By server and an identity's key, and then by fingerprint: the newest one.
_own: OrderedDict[tuple[str, str], dict[str, _Own]] = OrderedDict()
_MOST_OWN = 10_000


def remember_own(session: Session, identity: RunIdentity, fingerprint: str, run_id: str) -> None:
    """Keep which run an identity has, for the next call in this process."""
    place = (session.settings.base_url, identity.key)
    _own.setdefault(place, {})[fingerprint] = _Own(run_id, identity.family, session.runtime.now())
    _own.move_to_end(place)
    while len(_own) > _MOST_OWN:
        _own.popitem(last=False)


async def own_runs(
    session: Session, identity: RunIdentity, listed: Iterable[WorkflowRun]
) -> dict[str, WorkflowRun]:
    """Return the runs that this process made for an identity and that were not listed, by the inputs' fingerprint.

    Raises:
        ApiError: One of them could not be read.
    """
    kept = _own.get((session.settings.base_url, identity.key), {})
    return await _unlisted(session, dict(kept), listed)


async def own_runs_of_any_generation(
    session: Session, identity: RunIdentity, listed: Iterable[WorkflowRun]
) -> list[WorkflowRun]:
    """Return those that this process made for what an identity succeeds as well, and that were not listed.

    Raises:
        ApiError: One of them could not be read.
    """
    kept = {
        f"{key} {fingerprint}": own
        for (base_url, key), of_identity in [*_own.items()]
        for fingerprint, own in [*of_identity.items()]
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
    """Read a run; a server may not know what it has just created, so for a while it is asked again."""
    age = session.runtime.now() - own.made
    for pause in (0.0, *pauses(session.retry.find_for - age)):
        await session.runtime.sleep(pause)
        try:
            return await session.exchange(shared.get_run(own.run_id))
        except errors.NotFoundError:
            continue
    return None
