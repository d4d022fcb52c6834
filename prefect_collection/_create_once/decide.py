"""What a call does about its run, decided from what is known: one pure function, so that a test lists every case."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Action", "Claimed", "Findable", "Known", "Situation", "Source", "Start", "Status", "decide"]


class Source(StrEnum):
    """The documents of the call."""

    READ = "read"
    """Their contents are known, or there are none."""
    UNCHANGED = "unchanged"
    """They exist, and each has the same size, time or ETag as when it was read."""
    CHANGED = "changed"
    """They exist, and were not read yet, or have changed, or their places do not show whether they have."""
    GONE = "gone"
    """At least one does not exist any more, and no other one has changed."""


class Known(StrEnum):
    """What the flow run has recorded: for this content where it was read, for these places where it was not."""

    NOTHING = "nothing"
    CREATING = "creating"
    """A create was begun whose outcome is not known."""
    RUN = "run"
    SEVERAL = "several"
    """More than one content had these places."""


class Start(StrEnum):
    """Which start of the flow run, or of the task, this is."""

    FIRST = "first"
    TASK_RETRY = "task retry"
    """A retry of the task within one start of its flow run."""
    LATER = "later"
    """The flow run was started before."""


class Status(StrEnum):
    """The state of the recorded run."""

    NOT_CHECKED = "not checked"
    THIS_ATTEMPT = "this attempt"
    """It was started, or adopted, in this attempt of the flow run, which goes on with it however it ended."""
    GOES_ON = "goes on"
    """It is active, waits for a human, or is completed."""
    ENDED_BADLY = "ended badly"
    """It ended in error, or was cancelled."""


class Findable(StrEnum):
    """Whether the server keeps the tags by which a run is found."""

    NOT_CHECKED = "not checked"
    YES = "yes"
    NO = "no"


class Claimed(StrEnum):
    """Whether another process of the flow run may be creating the same."""

    NOT_YET = "not yet"
    YES = "yes"
    """No other process may, and the record is what the last one has left."""


class Action(StrEnum):
    """What the call does next."""

    READ = "read the documents"
    READ_STATUS = "read the run"
    CLAIM = "keep other processes from creating"
    CHECK_FINDABLE = "check whether the server keeps tags"
    TAKE = "take up the run"
    CREATE = "create"
    FIND_OR_CREATE = "search for a run by its tags, then create"
    FIND = "search for a run by its tags; nothing can be created"
    REFUSE_UNKNOWN = "CreateOutcomeUnknownError"
    REFUSE_GONE = "InvalidInputError: the document is gone"
    REFUSE_SEVERAL = "InvalidInputError: which of the runs"


@dataclass(frozen=True)
class Situation:
    """All that a decision depends on."""

    source: Source
    known: Known
    start: Start
    status: Status = Status.NOT_CHECKED
    findable: Findable = Findable.NOT_CHECKED
    claimed: Claimed = Claimed.NOT_YET


def decide(now: Situation) -> Action:
    """Return the next action; READ, CLAIM and the two questions are followed by another decision."""
    if _must_be_read(now):
        return Action.READ
    if now.known is Known.SEVERAL:
        return Action.REFUSE_SEVERAL
    if now.known is Known.RUN and now.status is not Status.ENDED_BADLY:
        return Action.READ_STATUS if now.status is Status.NOT_CHECKED else Action.TAKE
    if now.known is Known.RUN and now.source is not Source.READ:
        return Action.REFUSE_GONE if now.source is Source.GONE else Action.READ
    return _sending(now)


def _must_be_read(now: Situation) -> bool:
    if now.source is Source.UNCHANGED:
        return now.start is not Start.LATER or now.known is not Known.RUN
    # Reading raises the error that names the missing document.
    return now.source is Source.CHANGED or (now.source is Source.GONE and now.known is Known.NOTHING)


def _sending(now: Situation) -> Action:
    if now.claimed is Claimed.NOT_YET:
        return Action.CLAIM
    if now.known is Known.NOTHING and now.start is Start.FIRST:
        return Action.CREATE  # the first start needs no question: whatever it has started is recorded
    if now.findable is Findable.NOT_CHECKED:
        return Action.CHECK_FINDABLE
    return _searching(now, is_findable=now.findable is Findable.YES)


def _searching(now: Situation, *, is_findable: bool) -> Action:
    if now.known is Known.CREATING and not is_findable:
        return Action.REFUSE_UNKNOWN
    if now.source is Source.GONE:
        return Action.FIND
    return Action.FIND_OR_CREATE if is_findable else Action.CREATE
