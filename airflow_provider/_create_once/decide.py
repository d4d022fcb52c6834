"""What an attempt of a task does about its run: decided here, by a pure function, and done in `ownership`.

The table in docs/airflow.md says the same; a test compares the two for every combination.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

OnClear = Literal["rerun", "reattach"]
"""What a clear of the task means: start a new run and cancel an old one that goes on; or adopt the old one."""


class Standing(Enum):
    """How an attempt follows the one before."""

    FIRST = auto()
    RETRY = auto()
    CLEARED = auto()


class Kept(Enum):
    """What Airflow keeps of the attempt before."""

    NOWHERE = auto()
    """This Airflow has no store for tasks: 3.0 to 3.2."""
    NOTHING = auto()
    """The store is empty: no attempt came so far, or the last one has certainly started no run."""
    INTENT = auto()
    """An attempt was about to start a run."""
    RUN = auto()
    """The id of a run."""


class Earlier(Enum):
    """The state of the runs from before a clear: of the newest, or with `on_clear="rerun"` of any that goes on."""

    NONE = auto()
    GOES_ON = auto()
    COMPLETED = auto()
    FAILED = auto()


class Own(Enum):
    """The state of the run of this attempt and those before it, since the last clear."""

    NONE = auto()
    LISTED = auto()
    """It goes on or is completed, and its tags have the fingerprint."""
    BY_ID = auto()
    """It goes on or is completed, and is known by its id only."""
    FAILED = auto()


class Action(Enum):
    """What to do next. The first three, and CANCEL_EARLIER, are followed by another decision."""

    FIND_EARLIER = auto()
    FIND_OWN = auto()
    CHECK_FINDABLE = auto()
    """Whether runs can be found by their tags."""
    CANCEL_EARLIER = auto()
    TAKE_UP_EARLIER = auto()
    TAKE_UP_OWN = auto()
    CREATE = auto()
    """Create a run: there cannot be one yet."""
    CREATE_OR_ADOPT = auto()
    """Create a run, or adopt an existing one, which the create searches for and whose inputs it compares."""
    CREATE_NEXT = auto()
    """Create a run under another identity, because a server may answer with the run that failed."""
    REFUSE = auto()
    """Raise: there may be a run that cannot be found."""


@dataclass(frozen=True)
class Facts:
    """What is known; None for what was not searched for yet."""

    standing: Standing
    kept: Kept
    on_clear: OnClear
    is_granted: bool
    """This try is the first after a clear."""
    may_start_again: bool
    """Starting may be repeated after a lost answer."""
    earlier: Earlier | None = None
    own: Own | None = None
    can_find: bool | None = None
    """Runs can be found by their tags."""


def decide(facts: Facts) -> Action:
    """Return the next action."""
    if facts.standing is Standing.FIRST:
        return Action.CREATE
    about_earlier = _about_earlier(facts) if facts.standing is Standing.CLEARED else None
    return about_earlier or _about_own(facts)


def _about_own(facts: Facts) -> Action:
    if facts.own is None:
        return Action.FIND_OWN
    if facts.own is Own.BY_ID:
        return Action.TAKE_UP_OWN
    may_be_lost = _may_be_lost(facts)
    is_repeated = facts.standing is Standing.RETRY and facts.kept is Kept.RUN
    if facts.own is Own.LISTED or facts.can_find or not (may_be_lost or is_repeated):
        return Action.CREATE_OR_ADOPT
    if facts.can_find is None:
        return Action.CHECK_FINDABLE
    return Action.REFUSE if may_be_lost else Action.CREATE_NEXT


def _about_earlier(facts: Facts) -> Action | None:
    reattaches = facts.on_clear == "reattach"
    if reattaches and facts.kept is Kept.NOTHING:
        # A run that only the tags show belongs to a deleted DAG run of the same id.
        return None
    if facts.earlier is None:
        return Action.FIND_EARLIER
    if reattaches and facts.earlier in {Earlier.GOES_ON, Earlier.COMPLETED}:
        return Action.TAKE_UP_EARLIER
    return Action.CANCEL_EARLIER if facts.earlier is Earlier.GOES_ON else None


def _may_be_lost(facts: Facts) -> bool:
    """Return whether an earlier attempt may have started a run that is not known."""
    if facts.kept is Kept.NOWHERE:
        # An attempt that was killed cannot be told from one that failed. The first one after a clear has none before
        # it.
        return not facts.is_granted
    return facts.standing is Standing.RETRY and facts.kept is Kept.INTENT and not facts.may_start_again


@dataclass(frozen=True)
class Numbers:
    """Airflow's counters of a task instance; None for one that it does not have."""

    max_tries: int
    clear_number: int | None
    """How often the DAG run was cleared, with any of its tasks."""
    retries: int | None
    """The task's `retries`, in the present DAG."""


def is_cleared(kept: Numbers, now: Numbers, try_number: int) -> bool:
    """Return whether a task was cleared since its counters were recorded.

    A clear grants as many tries as the task has retries, and so changes `max_tries`; fewer retries may make up for
    that. What may be either counts as a retry, because a retry cancels nothing.

    Args:
        kept: The counters of the last attempt.
        now: The numbers of this attempt.
        try_number: This try, from 1.
    """
    if now.max_tries != kept.max_tries:
        return True
    if None in {kept.clear_number, now.clear_number, kept.retries, now.retries}:
        return False
    is_changed = now.clear_number != kept.clear_number and now.retries != kept.retries
    return is_changed and _may_be_granted(now, try_number)


def standing_of(kept: Numbers | None, now: Numbers, try_number: int, *, repeats: bool = False) -> Standing:
    """Return how an attempt follows the one before.

    Args:
        kept: The counters of the last attempt, where they are known.
        now: The numbers of this attempt.
        try_number: This try, from 1.
        repeats: Whether this try was begun before.
    """
    if kept is not None:
        return Standing.CLEARED if is_cleared(kept, now, try_number) else Standing.RETRY
    if try_number == 1 and not repeats:
        return Standing.FIRST
    return Standing.CLEARED if _may_be_granted(now, try_number) else Standing.RETRY


def _may_be_granted(now: Numbers, try_number: int) -> bool:
    """Return whether a clear after one of the tries may have set `max_tries`: to that try and `retries` more."""
    return now.retries is not None and 1 <= now.max_tries - now.retries < try_number
