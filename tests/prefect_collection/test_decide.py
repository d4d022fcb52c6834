"""What a call does about its run: every case that there is, and the page that tells users of them."""

from dataclasses import fields, replace
from itertools import product
from pathlib import Path

import pytest

from prefect_collection._create_once.decide import (
    Action,
    Claimed,
    Findable,
    Known,
    Situation,
    Source,
    Start,
    Status,
    decide,
)

PAGE = Path(__file__).parents[2] / "docs" / "prefect.md"
ALL = [Situation(*values) for values in product(Source, Known, Start, Status, Findable, Claimed)]

# The first row that fits decides. None fits any.
TABLE = [
    # source, known, start, status, findable, claimed -> step
    (Source.CHANGED, None, None, None, None, None, Action.READ),
    (Source.UNCHANGED, None, (Start.FIRST, Start.TASK_RETRY), None, None, None, Action.READ),
    (Source.UNCHANGED, (Known.NOTHING, Known.CREATING, Known.SEVERAL), None, None, None, None, Action.READ),
    (Source.GONE, Known.NOTHING, None, None, None, None, Action.READ),
    (None, Known.SEVERAL, None, None, None, None, Action.REFUSE_SEVERAL),
    (None, Known.RUN, None, Status.NOT_CHECKED, None, None, Action.READ_STATUS),
    (None, Known.RUN, None, (Status.THIS_ATTEMPT, Status.GOES_ON), None, None, Action.TAKE),
    (Source.UNCHANGED, Known.RUN, None, None, None, None, Action.READ),
    (Source.GONE, Known.RUN, None, None, None, None, Action.REFUSE_GONE),
    (None, None, None, None, None, Claimed.NOT_YET, Action.CLAIM),
    (Source.READ, Known.NOTHING, Start.FIRST, None, None, None, Action.CREATE),
    (None, None, None, None, Findable.NOT_CHECKED, None, Action.CHECK_FINDABLE),
    (None, Known.CREATING, None, None, Findable.NO, None, Action.REFUSE_UNKNOWN),
    (Source.GONE, Known.CREATING, None, None, Findable.YES, None, Action.FIND),
    (Source.READ, Known.CREATING, None, None, Findable.YES, None, Action.FIND_OR_CREATE),
    (Source.READ, (Known.NOTHING, Known.RUN), None, None, Findable.NO, None, Action.CREATE),
    (Source.READ, (Known.NOTHING, Known.RUN), None, None, Findable.YES, None, Action.FIND_OR_CREATE),
]


def fits(row, situation):
    given = tuple(getattr(situation, field.name) for field in fields(situation))
    return all(
        wanted is None or value in (wanted if isinstance(wanted, tuple) else (wanted,))
        for wanted, value in zip(row[:-1], given, strict=True)
    )


def test_every_situation_that_there_is_has_the_step_of_the_table():
    wrong = [
        (situation, decide(situation))
        for situation in ALL
        if decide(situation) is not next(row[-1] for row in TABLE if fits(row, situation))
    ]

    assert len(ALL) == 4 * 4 * 3 * 4 * 3 * 2
    assert wrong == []


def test_every_row_of_the_table_decides_something():
    decided = [next(row for row in TABLE if fits(row, situation)) for situation in ALL]

    assert [row for row in TABLE if row not in decided] == []


def test_nothing_is_sent_while_the_outcome_of_an_earlier_create_cannot_be_found_out():
    sends = {Action.CREATE, Action.FIND_OR_CREATE}

    for situation in ALL:
        if situation.known is Known.CREATING and situation.findable is not Findable.YES:
            assert decide(situation) not in sends, situation
        if situation.claimed is Claimed.NOT_YET:
            assert decide(situation) not in sends, situation
        if situation.source is not Source.READ:
            assert decide(situation) not in sends, situation


def test_no_run_is_taken_unread_within_the_start_that_made_it_while_its_source_is_there():
    for situation in ALL:
        if situation.start is not Start.LATER and situation.source in {Source.UNCHANGED, Source.CHANGED}:
            assert decide(situation) is Action.READ, situation


# The page's words, and the worlds that they mean: what is remembered of the places and of the content in them, what
# became of the run, and whether the server keeps tags.
DOCUMENTS = {
    "is there": [Source.CHANGED, Source.UNCHANGED],
    "is there, unchanged, in a later start": [Source.UNCHANGED],
    "is gone": [Source.GONE],
}
REMEMBERED = {
    "nothing of this content, in the first start": (Known.NOTHING, None, [Start.FIRST]),
    "nothing of this content, in a retry or a later start": (
        Known.NOTHING,
        None,
        [Start.TASK_RETRY, Start.LATER],
    ),
    "nothing": (Known.NOTHING, None, list(Start)),
    "a create that was cut off": (Known.CREATING, None, list(Start)),
    "a run that goes on or is completed": (Known.RUN, Status.GOES_ON, list(Start)),
    "a run of this attempt": (Known.RUN, Status.THIS_ATTEMPT, list(Start)),
    "a run that ended badly in an earlier attempt": (Known.RUN, Status.ENDED_BADLY, list(Start)),
    "several": (Known.SEVERAL, None, list(Start)),
}
TAGS = {"any": [Findable.YES, Findable.NO], "keeps tags": [Findable.YES], "keeps none": [Findable.NO]}
ENDS = {
    "creates": Action.CREATE,
    "looks for it by its tags, then creates": Action.FIND_OR_CREATE,
    "takes the run up": Action.TAKE,
    "takes the run up, without reading the document": Action.TAKE,
    "takes the run up if the tags find it, or fails as `InvalidInputError`": Action.FIND,
    "fails as `CreateOutcomeUnknownError`": Action.REFUSE_UNKNOWN,
    "fails as `InvalidInputError`": Action.REFUSE_GONE,
    "fails as `InvalidInputError`: there is no such file": Action.READ,
    "fails as `InvalidInputError`, which names them": Action.REFUSE_SEVERAL,
}


def outcome(situation, status, findable):
    """Answer what is asked for until the call has ended; return the step, and whether a document was read."""
    read = False
    while True:
        action = decide(situation)
        if action is Action.READ_STATUS:
            situation = replace(situation, status=status)
        elif action is Action.CHECK_FINDABLE:
            situation = replace(situation, findable=findable)
        elif action is Action.CLAIM:
            situation = replace(situation, claimed=Claimed.YES)
        elif action is Action.READ and situation.source is not Source.GONE:
            situation, read = replace(situation, source=Source.READ), True
        else:
            return action, read


def rows_of_the_page():
    text = PAGE.read_text()
    table = text[text.index("| the document |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("row", rows_of_the_page(), ids=" / ".join)
def test_the_page_says_what_the_function_decides(row):
    document, remembered, tags, end = row
    known, status, starts = REMEMBERED[remembered]
    if "later start" in document:
        starts = [Start.LATER]

    for source, start, findable in product(DOCUMENTS[document], starts, TAGS[tags]):
        # What looks different, or was never read, is remembered by its content.
        now = Situation(source, known, start)
        if status is Status.THIS_ATTEMPT:
            now = replace(now, status=status)
        action, read = outcome(now, status, findable)
        assert action is ENDS[end], (source, start, findable)
        if "without reading" in end or document == "is gone":
            assert not read, (source, start, findable)


def test_the_page_leaves_no_case_out():
    told = {
        (source, remembered, findable)
        for document, remembered, tags, _ in rows_of_the_page()
        for source, findable in product(DOCUMENTS[document], TAGS[tags])
    }
    there = [Source.CHANGED, Source.UNCHANGED]
    of_content = [words for words in REMEMBERED if words not in {"nothing", "several"}]
    of_places = [words for words in REMEMBERED if "of this content" not in words]

    assert told >= set(product(there, of_content, TAGS["any"]))
    assert told >= set(product([Source.GONE], of_places, TAGS["any"]))
