"""What an attempt of a task does about its run: decided here, from values alone, and done in `ownership`.

The table in docs/airflow.md says the same in words; a test holds the two together, for every combination.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

OnClear = Literal["rerun", "reattach"]
"""What clearing a task means: start a new run, cancelling an old one that goes on; or take the old one up again."""


class Standing(Enum):
    """What an attempt is to those before it."""

    FIRST = auto()
    RETRY = auto()
    CLEARED = auto()


class Kept(Enum):
    """What Airflow keeps for a task of the attempts before."""

    NOWHERE = auto()
    """This Airflow keeps nothing for a task: 3.0 to 3.2."""
    NOTHING = auto()
    """It would, and there is nothing: no attempt came so far, or the last one certainly started none."""
    INTENT = auto()
    """An attempt was about to start a run."""
    RUN = auto()
    """The id of a run."""


class Earlier(Enum):
    """The runs from before a clear: the newest, or with `on_clear="rerun"` any that goes on."""

    NONE = auto()
    GOES_ON = auto()
    COMPLETED = auto()
    FAILED = auto()


class Own(Enum):
    """The run of this attempt and those before it, since the last clear."""

    NONE = auto()
    LISTED = auto()
    """It goes on or is completed, and its tags tell what went in."""
    BY_ID = auto()
    """It goes on or is completed, and only its id tells of it."""
    FAILED = auto()


class Step(Enum):
    """What to do next. The first three, and CANCEL_EARLIER, are followed by another decision."""

    LOOK_FOR_EARLIER = auto()
    LOOK_FOR_OWN = auto()
    ASK_SERVER = auto()
    """Whether runs can be found by their tags."""
    CANCEL_EARLIER = auto()
    TAKE_UP_EARLIER = auto()
    TAKE_UP_OWN = auto()
    CREATE = auto()
    """There cannot be a run yet."""
    CREATE_OR_ADOPT = auto()
    """There may be one, which the create looks for, and whose inputs it compares."""
    CREATE_NEXT = auto()
    """Under another identity, for a server that would answer with the run that failed."""
    REFUSE = auto()
    """There may be a run that nobody can find."""


@dataclass(frozen=True)
class Facts:
    """What is known; None is what was not looked for yet."""

    standing: Standing
    kept: Kept
    on_clear: OnClear
    is_granted: bool
    """This try is the first that a clear granted."""
    may_start_again: bool
    """Starting does no harm when it is repeated after an answer was lost."""
    earlier: Earlier | None = None
    own: Own | None = None
    can_find: bool | None = None
    """Runs can be found by their tags."""


def decide(facts: Facts) -> Step:
    """Return what to do next."""
    if facts.standing is Standing.FIRST:
        return Step.CREATE
    about_earlier = _about_earlier(facts) if facts.standing is Standing.CLEARED else None
    return about_earlier or _about_own(facts)


def _about_own(facts: Facts) -> Step:
    if facts.own is None:
        return Step.LOOK_FOR_OWN
    if facts.own is Own.BY_ID:
        return Step.TAKE_UP_OWN
    may_be_lost = _may_be_lost(facts)
    is_repeated = facts.standing is Standing.RETRY and facts.kept is Kept.RUN
    if facts.own is Own.LISTED or facts.can_find or not (may_be_lost or is_repeated):
        return Step.CREATE_OR_ADOPT
    if facts.can_find is None:
        return Step.ASK_SERVER
    return Step.REFUSE if may_be_lost else Step.CREATE_NEXT


def _about_earlier(facts: Facts) -> Step | None:
    reattaches = facts.on_clear == "reattach"
    if reattaches and facts.kept is Kept.NOTHING:
        # What the tags would show is a run of a DAG run that had the same id and was deleted.
        return None
    if facts.earlier is None:
        return Step.LOOK_FOR_EARLIER
    if reattaches and facts.earlier in {Earlier.GOES_ON, Earlier.COMPLETED}:
        return Step.TAKE_UP_EARLIER
    return Step.CANCEL_EARLIER if facts.earlier is Earlier.GOES_ON else None


def _may_be_lost(facts: Facts) -> bool:
    """Whether an earlier attempt may have started a run that we know nothing of."""
    if facts.kept is Kept.NOWHERE:
        # An attempt that was killed looks like one that failed. The first one after a clear is a new beginning.
        return not facts.is_granted
    return facts.standing is Standing.RETRY and facts.kept is Kept.INTENT and not facts.may_start_again


@dataclass(frozen=True)
class Numbers:
    """What Airflow counts for a task instance; None is what it does not tell."""

    max_tries: int
    clear_number: int | None
    """How often any task of the DAG run was cleared, and the DAG run with it."""
    retries: int | None
    """Those of the task, in the DAG as it is now."""


def is_cleared(kept: Numbers, now: Numbers, try_number: int) -> bool:
    """Whether a task was cleared since its numbers were kept.

    A clear grants as many tries as the task has retries, and so changes `max_tries`; fewer retries may make up for
    that. What could be both is a retry: a retry cancels nothing.

    Args:
        kept: The numbers when the task was tried last.
        now: The numbers of this attempt.
        try_number: This try, from 1.
    """
    if now.max_tries != kept.max_tries:
        return True
    if None in {kept.clear_number, now.clear_number, kept.retries, now.retries}:
        return False
    is_changed = now.clear_number != kept.clear_number and now.retries != kept.retries
    return is_changed and _may_be_granted(now, try_number)


def standing_of(kept: Numbers | None, now: Numbers, try_number: int) -> Standing:
    """Return what an attempt is to those before it.

    Args:
        kept: The numbers when the task was tried last, where they are known.
        now: The numbers of this attempt.
        try_number: This try, from 1.
    """
    if kept is not None:
        return Standing.CLEARED if is_cleared(kept, now, try_number) else Standing.RETRY
    if try_number == 1:
        return Standing.FIRST
    return Standing.CLEARED if _may_be_granted(now, try_number) else Standing.RETRY


def _may_be_granted(now: Numbers, try_number: int) -> bool:
    """Whether a clear after one of the tries may have set `max_tries`: to that try, and as many more as `retries`."""
    return now.retries is not None and 1 <= now.max_tries - now.retries < try_number
