"""What follows an answer to a create: a pure decision from what came back, what was found since, and what is known."""

from enum import StrEnum

from retab_orchestration._operations.tags import Tags

__all__ = ["SENDINGS", "Answer", "Search", "Step", "next_step", "pauses"]

SENDINGS = 3
"""How often a create is sent whose every answer is lost, with a search after each."""


class Answer(StrEnum):
    """What came back for a create that was sent under a key."""

    CREATED = "created"
    LOST = "lost"
    """None, or one that leaves open whether it took effect."""
    CONFLICT = "conflict"
    """409: there may be a run under this key already, perhaps one that is being created at this moment."""
    REFUSED = "refused"
    """It did nothing. An earlier sending, whose answer was lost, may have."""


class Search(StrEnum):
    """What came of looking for the run since that answer."""

    NOT_YET = "not yet"
    FOUND = "found"
    EMPTY = "empty"
    """Every list was complete, and it was in none."""
    FAILED = "failed"
    """A list could not be read, or not to the end."""


class Step(StrEnum):
    """What follows."""

    RETURN = "return the run"
    SEARCH = "look for the run"
    SEND = "send the create again"
    SETTLE = "wait, look once more, and cancel the younger of two"
    RAISE_LAST = "raise the last error; whoever tries again looks first"
    RAISE_UNKNOWN = "raise CreateOutcomeUnknownError"


def next_step(answer: Answer, search: Search, *, tags: Tags, lost: int, is_tried_again: bool) -> Step:
    """Decide what follows an answer.

    Args:
        answer: The last one.
        search: What came of looking for the run since.
        tags: What the server does with tags.
        lost: How many answers were lost so far, this one included, and one that an earlier process did not hear.
        is_tried_again: Whether another call may have the same identity, which looks first.
    """
    if answer is Answer.CREATED:
        return Step.SETTLE if lost else Step.RETURN
    if answer is Answer.REFUSED and not lost:
        return Step.RAISE_LAST
    if tags is Tags.DROPPED:
        return Step.RAISE_UNKNOWN
    if search is Search.FOUND:
        return Step.SETTLE if lost > 1 else Step.RETURN
    if search is Search.EMPTY:
        return _after_a_vain_search(answer, lost, is_tried_again=is_tried_again)
    return Step.SEARCH if search is Search.NOT_YET else Step.RAISE_UNKNOWN


def _after_a_vain_search(answer: Answer, lost: int, *, is_tried_again: bool) -> Step:
    if answer is Answer.LOST and lost < SENDINGS:
        return Step.SEND
    return Step.RAISE_LAST if is_tried_again and answer is not Answer.CONFLICT else Step.RAISE_UNKNOWN


def pauses(seconds: float) -> list[float]:
    """Return the pauses between looks for a run that a list may not show for so many seconds: ever longer ones."""
    found: list[float] = []
    pause = 1.0
    while seconds > 0:
        found.append(min(pause, seconds))
        seconds, pause = seconds - pause, pause * 2
    return found
