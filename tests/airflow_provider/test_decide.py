"""What an attempt does about its run: every combination of what may be known, against two tables of the rules."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from airflow_provider._create_once.decide import (
    Action,
    Earlier,
    Facts,
    Kept,
    Numbers,
    Own,
    Standing,
    decide,
    is_cleared,
    standing_of,
)

DOCS = Path(__file__).parents[2] / "docs" / "airflow.md"

SPACE = [
    Facts(*values)
    for values in product(
        Standing,
        Kept,
        ("rerun", "reattach"),
        (True, False),
        (True, False),
        (None, *Earlier),
        (None, *Own),
        (None, True, False),
    )
]

ANY = object()

# standing, kept, on_clear, first after a clear, may start again, earlier, own, can find -> action; the first row
# counts.
RULES = [
    ("FIRST", ANY, ANY, ANY, ANY, ANY, ANY, ANY, "CREATE"),
    # What a clear asks first.
    ("CLEARED", "NOWHERE INTENT RUN", ANY, ANY, ANY, None, ANY, ANY, "FIND_EARLIER"),
    ("CLEARED", "NOTHING", "rerun", ANY, ANY, None, ANY, ANY, "FIND_EARLIER"),
    ("CLEARED", ANY, "rerun", ANY, ANY, "GOES_ON", ANY, ANY, "CANCEL_EARLIER"),
    ("CLEARED", "NOWHERE INTENT RUN", "reattach", ANY, ANY, "GOES_ON COMPLETED", ANY, ANY, "TAKE_UP_EARLIER"),
    # What every later attempt asks.
    ("RETRY CLEARED", ANY, ANY, ANY, ANY, ANY, None, ANY, "FIND_OWN"),
    ("RETRY CLEARED", ANY, ANY, ANY, ANY, ANY, "BY_ID", ANY, "TAKE_UP_OWN"),
    ("RETRY CLEARED", ANY, ANY, ANY, ANY, ANY, "LISTED", ANY, "CREATE_OR_ADOPT"),
    # No run is seen, or it failed. Without a memory only the first try after a clear is above suspicion.
    ("RETRY CLEARED", "NOWHERE", ANY, True, ANY, ANY, ANY, ANY, "CREATE_OR_ADOPT"),
    ("RETRY CLEARED", "NOWHERE", ANY, False, ANY, ANY, ANY, None, "CHECK_FINDABLE"),
    ("RETRY CLEARED", "NOWHERE", ANY, False, ANY, ANY, ANY, False, "REFUSE"),
    # An attempt was cut off; a restart names the same run when it is repeated.
    ("RETRY", "INTENT", ANY, ANY, False, ANY, ANY, None, "CHECK_FINDABLE"),
    ("RETRY", "INTENT", ANY, ANY, False, ANY, ANY, False, "REFUSE"),
    # A known run failed: without tags the server would answer a create of the same identity with it.
    ("RETRY", "RUN", ANY, ANY, ANY, ANY, ANY, None, "CHECK_FINDABLE"),
    ("RETRY", "RUN", ANY, ANY, ANY, ANY, ANY, False, "CREATE_NEXT"),
    ("RETRY CLEARED", ANY, ANY, ANY, ANY, ANY, ANY, ANY, "CREATE_OR_ADOPT"),
]


def values_of(facts):
    """Return the facts as the table writes them."""
    return (
        facts.standing.name,
        facts.kept.name,
        facts.on_clear,
        facts.is_granted,
        facts.may_start_again,
        facts.earlier and facts.earlier.name,
        facts.own and facts.own.name,
        facts.can_find,
    )


def fits(wanted, value):
    return wanted is ANY or (
        value in wanted.split() if isinstance(wanted, str) and value else wanted is value
    )


def ruled(facts):
    values = values_of(facts)
    return next(index for index, row in enumerate(RULES) if all(map(fits, row, values)))


def test_every_combination_is_decided_as_the_rules_say():
    wrong = [
        (facts, decide(facts).name, RULES[ruled(facts)][-1])
        for facts in SPACE
        if decide(facts).name != RULES[ruled(facts)][-1]
    ]

    assert len(SPACE) == 3 * 4 * 2 * 2 * 2 * 5 * 5 * 3
    assert wrong == []


def test_every_rule_is_the_reason_for_something():
    assert {ruled(facts) for facts in SPACE} == set(range(len(RULES)))


CLEARED = {
    '`on_clear="rerun"` (default)': lambda facts: facts.on_clear == "rerun",
    '`on_clear="rerun"`': lambda facts: facts.on_clear == "rerun",
    '`on_clear="reattach"`': lambda facts: facts.on_clear == "reattach" and facts.kept is not Kept.NOTHING,
    '`on_clear="reattach"`, and Airflow keeps a memory that is empty': lambda facts: (
        facts.on_clear == "reattach" and facts.kept is Kept.NOTHING
    ),
}
EARLIER = {
    "goes on, or waits for a human": {Earlier.GOES_ON},
    "goes on, waits for a human, or completed": {Earlier.GOES_ON, Earlier.COMPLETED},
    "completed, failed, was cancelled, or there is none": {Earlier.COMPLETED, Earlier.FAILED, Earlier.NONE},
    "failed, was cancelled, or there is none": {Earlier.FAILED, Earlier.NONE},
    "is not looked for": set(Earlier),
}
TRIES = {"the first try": {Standing.FIRST}, "a later one": {Standing.RETRY, Standing.CLEARED}}
OWN = {
    "cannot be there": set(Own),
    "goes on, waits for a human, or completed": {Own.LISTED, Own.BY_ID},
    "failed, was cancelled, or there is none": {Own.FAILED, Own.NONE},
}
AND = {
    "": lambda _: True,
    "anything else": lambda _: True,
    "runs have tags": lambda facts: facts.can_find,
    "no tags, and Airflow keeps nothing": lambda facts: facts.kept is Kept.NOWHERE and not facts.is_granted,
    "no tags, and an attempt was cut off": lambda facts: (
        facts.standing is Standing.RETRY and facts.kept is Kept.INTENT and not facts.may_start_again
    ),
}


def documented(head):
    """Return the rows of the table of the docs that has this head."""
    lines = DOCS.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(head)) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return rows


def told(facts, after_a_clear, starting):
    """Return what the docs say that the task does."""
    if facts.standing is Standing.CLEARED:
        [then] = [
            then
            for how, seen, then in after_a_clear
            if CLEARED[how](facts) and facts.earlier in EARLIER[seen]
        ]
        if then == "takes it up":
            return [then]
    before = ["cancels"] if facts.standing is Standing.CLEARED and then.startswith("cancels it") else []
    return [
        *before,
        next(
            then
            for which, seen, also, then in starting
            if facts.standing in TRIES[which] and facts.own in OWN[seen] and AND[also](facts)
        ),
    ]


def done(facts):
    """Return what the decisions come to, one after the other, where the world is as the facts say."""
    known = Facts(
        facts.standing,
        facts.kept,
        facts.on_clear,
        is_granted=facts.is_granted,
        may_start_again=facts.may_start_again,
    )
    before = []
    found = {Action.FIND_EARLIER: "earlier", Action.FIND_OWN: "own", Action.CHECK_FINDABLE: "can_find"}
    for _ in range(6):
        action = decide(known)
        if action is Action.CANCEL_EARLIER:
            before = ["cancels"]
            known = replace(known, earlier=Earlier.NONE)
        elif action in found:
            known = replace(known, **{found[action]: getattr(facts, found[action])})
        else:
            break
    is_taken_up = action in {Action.TAKE_UP_EARLIER, Action.TAKE_UP_OWN} or (
        action is Action.CREATE_OR_ADOPT and known.own is Own.LISTED
    )
    if action is Action.REFUSE:
        return [*before, "fails: `CreateOutcomeUnknownError`"]
    return [*before, "takes it up" if is_taken_up else "starts a run"]


def test_docs_say_what_is_done_in_every_case():
    tables = documented("| cleared with |"), documented("| it is | its run |")
    worlds = [facts for facts in SPACE if facts.earlier and facts.own and facts.can_find is not None]

    wrong = [
        (facts, done(facts), told(facts, *tables)) for facts in worlds if done(facts) != told(facts, *tables)
    ]

    assert wrong == []


# max_tries, clear_number and retries are the same, differ (fewer and more, for retries), or are not known -> cleared.
CLEARS = {
    ("same", "same", "same"): False,
    ("same", "same", "fewer"): False,
    ("same", "same", "more"): False,
    ("same", "same", "unknown"): False,
    ("same", "differ", "same"): False,  # another task was cleared
    ("same", "differ", "fewer"): True,
    ("same", "differ", "more"): False,  # a clear would have changed max_tries
    ("same", "differ", "unknown"): False,
    ("same", "unknown", "same"): False,
    ("same", "unknown", "fewer"): False,
    ("same", "unknown", "more"): False,
    ("same", "unknown", "unknown"): False,
    ("differ", "same", "same"): True,  # a clear that leaves the DAG run as it is
    ("differ", "same", "fewer"): True,
    ("differ", "same", "more"): True,
    ("differ", "same", "unknown"): True,
    ("differ", "differ", "same"): True,
    ("differ", "differ", "fewer"): True,
    ("differ", "differ", "more"): True,
    ("differ", "differ", "unknown"): True,
    ("differ", "unknown", "same"): True,
    ("differ", "unknown", "fewer"): True,
    ("differ", "unknown", "more"): True,
    ("differ", "unknown", "unknown"): True,
}


@pytest.mark.parametrize(
    "case",
    list(product(("same", "differ"), ("same", "differ", "unknown"), ("same", "fewer", "more", "unknown"))),
)
def test_a_clear_is_told_from_a_retry_by_what_airflow_counts(case):
    max_tries, clear_number, retries = case
    kept = Numbers(2, 1, 2)
    seen = Numbers(
        {"same": 2, "differ": 3}[max_tries],
        {"same": 1, "differ": 2}.get(clear_number),
        {"same": 2, "fewer": 1, "more": 3}.get(retries),
    )

    assert is_cleared(kept, seen, 2) is CLEARS[case]
    assert standing_of(kept, seen, 2) is (Standing.CLEARED if CLEARS[case] else Standing.RETRY)


@pytest.mark.parametrize(
    ("try_number", "is_after_a_clear"),
    [(2, False), (3, False), (4, True), (5, True)],
)
def test_fewer_retries_are_a_clear_only_after_the_try_that_was_cleared(try_number, is_after_a_clear):
    """Three of six tries were over where a clear granted three."""
    kept, seen = Numbers(6, 1, 6), Numbers(6, 2, 3)

    assert is_cleared(kept, seen, try_number) is is_after_a_clear


@pytest.mark.parametrize(
    ("try_number", "max_tries", "standing"),
    [(1, 1, "FIRST"), (1, 2, "FIRST"), (2, 1, "RETRY"), (2, 2, "CLEARED"), (3, 2, "CLEARED")],
)
def test_without_a_memory_the_tries_tell(try_number, max_tries, standing):
    assert standing_of(None, Numbers(max_tries, None, 1), try_number).name == standing


@pytest.mark.parametrize(
    ("max_tries", "retries", "standing"),
    [(2, 5, "RETRY"), (2, 2, "RETRY"), (2, 1, "CLEARED"), (2, 0, "RETRY"), (9, 2, "RETRY")],
)
def test_retries_that_changed_are_no_clear_unless_they_could_be_one(max_tries, retries, standing):
    """A clear before the second try comes after the first one, and grants as many as there are retries."""
    assert standing_of(None, Numbers(max_tries, None, retries), 2).name == standing
