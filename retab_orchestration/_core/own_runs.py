"""The runs that this process made: no list has to show them, and no server has to keep what tells them apart."""

from collections import OrderedDict
from dataclasses import dataclass, replace

from retab_orchestration import errors
from retab_orchestration._calls import shared
from retab_orchestration._core.create_steps import pauses
from retab_orchestration._core.session import Session
from retab_orchestration._core.tags import Found
from retab_orchestration.identity import RunIdentity
from retab_orchestration.models import WorkflowRun

__all__ = ["own_run", "remember_own", "with_own_runs"]


@dataclass(frozen=True)
class _Own:
    """A run of ours."""

    run_id: str
    family: str
    made: float
    """When, on the runtime's clock."""


# By server, an identity's key and a fingerprint: the newest one.
_own: OrderedDict[tuple[str, str, str], _Own] = OrderedDict()
_MOST_OWN = 10_000


def remember_own(session: Session, identity: RunIdentity, fingerprint: str, run_id: str) -> None:
    """Keep which run an identity has, for the next call in this process."""
    place = (session.settings.base_url, identity.key, fingerprint)
    _own[place] = _Own(run_id, identity.family, session.runtime.now())
    _own.move_to_end(place)
    while len(_own) > _MOST_OWN:
        _own.popitem(last=False)


async def own_run(
    session: Session, identity: RunIdentity, fingerprint: str, found: Found
) -> WorkflowRun | None:
    """Return the run that this process made of the same inputs, where it is not among those that were found.

    Raises:
        ApiError: The run could not be read.
    """
    own = _own.get((session.settings.base_url, identity.key, fingerprint))
    if own is None or own.run_id in {run.id for run in found.runs}:
        return None
    return await _existing(session, own)


async def with_own_runs(
    session: Session, identity: RunIdentity, found: Found, *, any_generation: bool
) -> Found:
    """Add the runs that this process made for an identity to those that were found.

    Raises:
        ApiError: One of them could not be read.
    """
    listed = {run.id for run in found.runs}
    missing = [
        own
        for (base_url, key, _), own in [*_own.items()]
        if base_url == session.settings.base_url
        and own.run_id not in listed
        and (own.family == identity.family if any_generation else key == identity.key)
    ]
    runs = [run for own in missing if (run := await _existing(session, own)) is not None]
    return replace(found, runs=(*found.runs, *runs))


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
