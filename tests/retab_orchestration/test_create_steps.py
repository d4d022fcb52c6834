"""What follows an answer to a create: the whole table."""

from itertools import product

import pytest

from retab_orchestration._operations.create_decision import SENDINGS, Answer, Search, Step, next_step
from retab_orchestration._operations.tags import Tags

RULES = {
    # answer, search, lost before this answer -> what follows, where the server keeps tags or may do so
    (Answer.CREATED, False): Step.RETURN,
    (Answer.CREATED, True): Step.SETTLE,
    (Answer.LOST, Search.NOT_YET): Step.SEARCH,
    (Answer.CONFLICT, Search.NOT_YET): Step.SEARCH,
    (Answer.LOST, Search.FAILED): Step.RAISE_UNKNOWN,
    (Answer.CONFLICT, Search.FAILED): Step.RAISE_UNKNOWN,
    (Answer.CONFLICT, Search.EMPTY): Step.RAISE_UNKNOWN,
    (Answer.REFUSED, Search.NOT_YET): Step.SEARCH,
    (Answer.REFUSED, Search.FAILED): Step.RAISE_UNKNOWN,
}


def expected(answer, search, tags, lost, again):
    if answer is Answer.CREATED:
        return RULES[answer, lost > 0]
    if answer is Answer.REFUSED and not lost:
        return Step.RAISE_LAST
    if tags is Tags.DROPPED:
        return Step.RAISE_UNKNOWN
    if search is Search.FOUND:
        return Step.SETTLE if lost >= 2 else Step.RETURN
    if answer is Answer.CONFLICT or search is not Search.EMPTY:
        return RULES[answer, search]
    last = Step.RAISE_LAST if again else Step.RAISE_UNKNOWN
    return Step.SEND if answer is Answer.LOST and lost < SENDINGS else last


CASES = list(product(Answer, Search, Tags, range(SENDINGS + 1), (True, False)))


@pytest.mark.parametrize(("answer", "search", "tags", "lost", "again"), CASES)
def test_every_answer_has_its_step(answer, search, tags, lost, again):
    step = next_step(answer, search, tags=tags, lost=lost, is_tried_again=again)

    assert step is expected(answer, search, tags, lost, again)


def test_the_table_is_whole():
    assert len(CASES) == 4 * 4 * 4 * 4 * 2


@pytest.mark.parametrize(("search", "tags"), list(product(Search, Tags)))
def test_a_create_is_never_sent_a_fourth_time(search, tags):
    assert next_step(Answer.LOST, search, tags=tags, lost=SENDINGS, is_tried_again=True) is not Step.SEND


@pytest.mark.parametrize(
    ("answer", "lost"), list(product((Answer.LOST, Answer.CONFLICT, Answer.REFUSED), range(1, SENDINGS + 1)))
)
def test_nothing_is_sent_again_unless_every_list_was_complete_and_empty(answer, lost):
    sent_again = {
        (search, tags)
        for search, tags in product(Search, Tags)
        if next_step(answer, search, tags=tags, lost=lost, is_tried_again=True) is Step.SEND
    }

    assert {search for search, _ in sent_again} <= {Search.EMPTY}
    assert Tags.DROPPED not in {tags for _, tags in sent_again}
