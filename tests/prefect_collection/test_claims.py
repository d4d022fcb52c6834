"""Who of a flow run's processes has a claim, as the inputs of the flow run tell."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from prefect_collection._create_once.claims import LEASE, Before, ClaimState, claim_state_of

PREFIX = "retab-claim-0123456789abcdef0123-"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LONG_AGO, JUST_NOW = NOW - LEASE, NOW - LEASE + timedelta(seconds=1)
RUN = {"text": "run_1", "attempt": "one"}
NOTHING = {"text": "", "attempt": "one"}


def claim(number, whose="other", at=JUST_NOW):
    return {"key": f"{PREFIX}{number}", "value": whose, "created": at.isoformat()}


def left(number, what, at=JUST_NOW):
    return {"key": f"{PREFIX}{number}-left", "value": json.dumps(what), "created": at.isoformat()}


@pytest.mark.parametrize(
    ("inputs", "standing"),
    [
        # Nobody has had it.
        ([], ClaimState()),
        # Another one has it, or is taken for dead.
        ([claim(1)], ClaimState(1, is_held=True, before=Before(has_died=True))),
        ([claim(1, at=LONG_AGO)], ClaimState(1, before=Before(has_died=True))),
        # Renewed in time, and not in time.
        ([claim(1, at=LONG_AGO), claim(2)], ClaimState(2, is_held=True, before=Before(has_died=True))),
        ([claim(1, at=LONG_AGO), claim(2, at=LONG_AGO)], ClaimState(2, before=Before(has_died=True))),
        # Left, with what came of it.
        ([claim(1), left(1, RUN)], ClaimState(1, before=Before(RUN))),
        ([claim(1, at=LONG_AGO), claim(2), left(2, NOTHING)], ClaimState(2, before=Before(NOTHING))),
        # Left once, and had again since.
        ([claim(1), left(1, RUN), claim(2)], ClaimState(2, is_held=True, before=Before(has_died=True))),
        ([claim(1), left(1, RUN), claim(2), left(2, NOTHING)], ClaimState(2, before=Before(NOTHING))),
        # One's own: the answer that said so was lost.
        ([claim(1, "own")], ClaimState(1, is_own=True)),
        ([claim(1), left(1, RUN), claim(2, "own")], ClaimState(2, is_own=True, before=Before(RUN))),
        (
            [claim(1, at=LONG_AGO), claim(2, "own"), claim(3, "own")],
            ClaimState(3, is_own=True, before=Before(has_died=True)),
        ),
        # Lost to another one, who took us for dead.
        ([claim(1, "own", LONG_AGO), claim(2)], ClaimState(2, is_held=True, before=Before(has_died=True))),
        # Ten come after nine, in whichever order they are told.
        ([claim(10), claim(9), left(9, RUN)], ClaimState(10, is_held=True, before=Before(has_died=True))),
        # What is left cannot be read.
        ([claim(1), {**left(1, RUN), "value": "{"}], ClaimState(1, before=Before(has_died=True))),
        ([claim(1), {**left(1, RUN), "value": "[]"}], ClaimState(1, before=Before(has_died=True))),
    ],
)
def test_how_a_claim_stands(inputs, standing):
    assert claim_state_of(inputs, PREFIX, "own", NOW) == standing
