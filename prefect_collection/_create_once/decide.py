"""What a call does about its run, from what is known: one function without I/O, so that every case can be listed."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Action", "Claimed", "Findable", "Known", "Situation", "Source", "Start", "Status", "decide"]


class Source(StrEnum):
    """The documents of the call."""

    READ = "read"
    """What is in them is known, or there are none."""
    UNCHANGED = "unchanged"
    """They are there, and each looks as it did when it was read: the same size, time or ETag."""
    CHANGED = "changed"
    """They are there, and were not read yet, or look different, or their places do not tell."""
    GONE = "gone"
    """At least one is not there any more, and none that is there looks different."""


class Known(StrEnum):
    """What the flow run remembers: of this content where it was read, of these places where it was not."""

    NOTHING = "nothing"
    CREATING = "creating"
    """A create was begun and not heard of again."""
    RUN = "run"
    SEVERAL = "several"
    """More than one content had these places."""


class Start(StrEnum):
    """How often this came by before."""

    FIRST = "first"
    TASK_RETRY = "task retry"
    """A task is tried again within one start of its flow run."""
    LATER = "later"
    """The flow run was started before."""


class Status(StrEnum):
    """The run that is remembered."""

    NOT_ASKED = "not asked"
    THIS_ATTEMPT = "this attempt"
    """It was started, or taken up, in this attempt of the flow run, which goes on with it however it ended."""
    GOES_ON = "goes on"
    """It is active, waits for a human, or is completed."""
    ENDED_BADLY = "ended badly"
    """It ended in error, or was cancelled."""


class Findable(StrEnum):
    """Whether the server keeps the tags by which a run is found."""

    NOT_ASKED = "not asked"
    YES = "yes"
    NO = "no"


class Claimed(StrEnum):
    """Whether another process of the flow run may be creating the same."""

    NOT_YET = "not yet"
    YES = "yes"
    """None may, and what is known is what the last that might has left behind."""


class Action(StrEnum):
    """What comes next."""

    READ = "read the documents"
    ASK_STATUS = "read the run"
    CLAIM = "keep other processes from creating"
    ASK_FINDABLE = "ask whether the server keeps tags"
    TAKE = "take up the run"
    CREATE = "create"
    FIND_OR_CREATE = "search for a run by its tags, then create"
    FIND = "search for a run by its tags; nothing can be created"
    REFUSE_UNKNOWN = "CreateOutcomeUnknownError"
    REFUSE_GONE = "InvalidInputError: the document is gone"
    REFUSE_SEVERAL = "InvalidInputError: which of the runs"


@dataclass(frozen=True)
class Situation:
    """All that a decision goes by."""

    source: Source
    known: Known
    start: Start
    status: Status = Status.NOT_ASKED
    findable: Findable = Findable.NOT_ASKED
    claimed: Claimed = Claimed.NOT_YET


def decide(now: Situation) -> Action:
    """Return what comes next; READ, CLAIM and the two questions are followed by another decision."""
    if _must_be_read(now):
        return Action.READ
    if now.known is Known.SEVERAL:
        return Action.REFUSE_SEVERAL
    if now.known is Known.RUN and now.status is not Status.ENDED_BADLY:
        return Action.ASK_STATUS if now.status is Status.NOT_ASKED else Action.TAKE
    if now.known is Known.RUN and now.source is not Source.READ:
        return Action.REFUSE_GONE if now.source is Source.GONE else Action.READ
    return _sending(now)


def _must_be_read(now: Situation) -> bool:
    if now.source is Source.UNCHANGED:
        return now.start is not Start.LATER or now.known is not Known.RUN
    # Reading what is gone says which document it is.
    return now.source is Source.CHANGED or (now.source is Source.GONE and now.known is Known.NOTHING)


def _sending(now: Situation) -> Action:
    if now.claimed is Claimed.NOT_YET:
        return Action.CLAIM
    if now.known is Known.NOTHING and now.start is Start.FIRST:
        return (
            Action.CREATE
        )  # the first start can spare every question: whatever it has started, it remembers
    if now.findable is Findable.NOT_ASKED:
        return Action.ASK_FINDABLE
    return _searching(now, is_findable=now.findable is Findable.YES)


def _searching(now: Situation, *, is_findable: bool) -> Action:
    if now.known is Known.CREATING and not is_findable:
        return Action.REFUSE_UNKNOWN
    if now.source is Source.GONE:
        return Action.FIND
    return Action.FIND_OR_CREATE if is_findable else Action.CREATE
