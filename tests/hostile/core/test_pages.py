"""Lists that do not end: cursors that repeat, lead nowhere, or are none."""

import pytest

from retab_orchestration import errors
from tests.hostile.answers import said
from tests.hostile.core.clients import ANY, IDENTITY, OPERATIONS, OR_GOOD, Operation
from tests.hostile.retab import ROLES, page, run

FEW = 60
"""Requests that a list may take which does not end."""

ADOPT = Operation(
    "create_run, adopt", "list", lambda client: client.create_run("wf_1", identity=IDENTITY, adopt=True)
)
OUTPUTS = Operation("get_run, outputs", "steps", lambda client: client.get_run("run_1"))
LOOKED_FOR = said(200, {**run(), "final_outputs": None})
GOOD_BODY = {role: body for role, _, body in ROLES}
LISTS = [each for each in OPERATIONS if "data" in (GOOD_BODY.get(each.role) or {})] + [ADOPT, OUTPUTS]


def paged(role, body_of):
    """Return replies in which the page number `n` of a role is `body_of(n, rows)`."""

    def replies(_world):
        rows = GOOD_BODY[role]["data"]
        return {role: lambda _, earlier: said(200, body_of(earlier, rows)), "look": LOOKED_FOR}

    return replies


def again(rows, n):
    """Return the rows with ids of their own."""
    return [{**row, **{key: f"{row[key]}_{n}" for key in ("id", "step_id") if key in row}} for row in rows]


# What page number n says, of the rows that there are.
CURSORS = {
    "the same cursor for ever": lambda n, rows: page(*rows, after="c"),
    "the same rows, another cursor": lambda n, rows: page(*rows, after=f"c{n}"),
    "no rows, another cursor": lambda n, rows: page(after=f"c{n}"),
    "two cursors in turn": lambda n, rows: page(*again(rows, n), after=f"c{n % 2}"),
    "fifty cursors in turn": lambda n, rows: page(*again(rows, n % 50), after=f"c{n % 50}"),
    "a cursor of 60 KB": lambda n, rows: page(*again(rows, n), after="c" * 60_000 if n < 3 else None),
    "a cursor of 1 MB": lambda n, rows: page(*again(rows, n), after="c" * 10**6 if n < 3 else None),
    "a cursor that is a path": lambda n, rows: page(*again(rows, n), after="../../x" if n < 3 else None),
    "a cursor with a query": lambda n, rows: page(*again(rows, n), after="x&limit=0#y" if n < 3 else None),
    "a cursor with a line end": lambda n, rows: page(
        *again(rows, n), after="x\r\nHost: y" if n < 3 else None
    ),
    "a cursor with NUL": lambda n, rows: page(*again(rows, n), after="\x00" if n < 3 else None),
    "half a surrogate": lambda n, rows: page(*again(rows, n), after="\ud800" if n < 3 else None),
    "a cursor of a number": lambda n, rows: page(*again(rows, n), after=n),
    "a cursor of a list": lambda n, rows: page(*again(rows, n), after=["c"]),
    "a cursor that is an object": lambda n, rows: page(*again(rows, n), after={"c": 1}),
    "a cursor that is true": lambda n, rows: page(*again(rows, n), after=True),
    "an empty cursor": lambda n, rows: page(*again(rows, n), after=""),
    "a cursor on the last page only": lambda n, rows: page(*again(rows, n), after=None if n else "c"),
    "rows of nothing": lambda n, rows: {"data": [{}] * 9, "list_metadata": {"after": f"c{n}"}},
    "no data, another cursor": lambda n, rows: {"list_metadata": {"after": f"c{n}"}},
}


def asked_little(operation):
    """Return whether a result is right and took few requests."""
    return lambda value, world: operation.right(value, world) and len(world.site.requests) <= FEW


def cases():
    for operation in LISTS:
        bounded = Operation(
            operation.name, operation.role, operation.call, asked_little(operation), operation.settings
        )
        expected = (*ANY, errors.InvalidInputError, errors.CreateOutcomeUnknownError, OR_GOOD)
        rows = [(name, paged(operation.role, body_of), expected) for name, body_of in CURSORS.items()]
        yield from bounded.cases(rows)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_a_list(case, check):
    check(case)
