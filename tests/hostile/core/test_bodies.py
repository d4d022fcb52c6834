"""JSON of every wrong shape, for every operation: a right result or an error of the API, never anything else."""

import copy
import itertools

import pytest

from retab_orchestration import InvalidInputError, WaitTimeoutError
from tests.hostile.answers import deep, said
from tests.hostile.core.clients import (
    ANY,
    COLOURS,
    CREATE,
    GET_RUN,
    OPERATIONS,
    OR_GOOD,
    UNREADABLE,
    WAIT,
    told,
)
from tests.hostile.retab import ROLES, page, run

# A body may also say that there is nothing to decide, or that a run goes on.
EITHER = (*ANY, InvalidInputError, WaitTimeoutError, OR_GOOD)
GOOD_BODY = {role: body for role, _, body in ROLES}

# What is no object and no list of objects.
ATOMS = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    "text",
    [],
    [[]],
    [None],
    [7],
    ["text"],
    {},
    {"": ""},
    {"x": {}},
]
# What stands where something else belongs; `...` is nothing at all.
WRONG = [
    ...,
    None,
    True,
    7,
    -(10**30),
    "",
    "text",
    [],
    {},
    [None],
    [{}],
    {"x": [1]},
    "x" * 9000,
    "\x00\x1b[31m\ud800",
]

# Texts and things that are no ids.
NO_IDS = [
    *(
        "",
        ".",
        "..",
        "../../x",
        "/abs/x",
        "a/b",
        "a\\b",
        "C:\\x",
        "a b",
        " run_1",
        "run_1\n",
        "run\x00",
        "run_\x1b[31m",
    ),
    *("r\xe9sum\xe9", "\u202erun", "run_1?x=1", "run_1#x", "x" * 257, "x" * 60_000, "\ud800"),
    *(None, True, 0, 7, 1.5, [], ["run_1"], {}, {"id": "run_1"}),
]
# An id, but not the one that was asked for.
ANOTHER = ["run_2", "RUN_1", "run_1_", "run_11"]


def replaced(body, path, value):
    """Return a body in which something else stands at a path."""
    body = copy.deepcopy(body)
    place = body
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return body


def places(body, depth=3):
    """Yield the path of everything in a body, as deep as that."""
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        yield (key,)
        if depth > 1:
            yield from ((key, *path) for path in places(value, depth - 1))


def shapes(operation):
    """Yield bodies for the role of an operation, each with what is wrong with it."""
    known = GOOD_BODY[operation.role]
    if not isinstance(known, dict):
        return
    numbers = itertools.count()
    for path in places(known):
        # Every place has some of these, and all of them stand somewhere.
        for value in [WRONG[(next(numbers) * 5) % len(WRONG)] for _ in range(1)]:
            yield f"{'.'.join(map(str, path))} is {told(value)}", replaced(known, path, value)


def run_with(path, value):
    return said(200, replaced(run(), path, value))


# fmt: off
# What a run says of itself, and the errors that are right.
RUNS = [
    *((f"the id {told(bad)}", run_with(["id"], bad), UNREADABLE) for bad in NO_IDS),
    *((f"the state {told(bad)}", run_with(["status"], bad), UNREADABLE) for bad in (None, "", 7, [], {})),
    ("outputs 600 deep", said(200, b'{"id":"run_1","status":"error","final_outputs":' + deep(600) + b"}"), EITHER),
    ("metadata of 10,000 keys", said(200, run(metadata={str(n): "x" for n in range(10_000)})), ()),
    ("10,000 outputs", said(200, run(final_outputs={f"n{n}": {"json_data": n} for n in range(10_000)})), ()),
    ("a node id that is a path", said(200, run(final_outputs={"../../x": {"json_data": 1}})), ()),
    ("dates past the calendar", said(200, run(timing={"created_at": "99999-01-01T00:00:00Z"})), ()),
    ("a date of year 0", said(200, run(timing={"created_at": "0000-01-01T00:00:00Z"})), ()),
    ("a date at the end of time", said(200, run(timing={"created_at": "9999-12-31T23:59:59-23:59"})), ()),
    ("a date of a number", said(200, run(timing={"created_at": 1e400})), ()),
    ("a duration of 10^400", said(200, run(timing={"duration_ms": 10**400})), ()),
    ("a run in a run", said(200, {"run": {"run": {"run": run()}}}), UNREADABLE),
    ("a million waiting nodes", said(200, run(waiting_for_node_ids=["n"] * 10**6)), ()),
]
# fmt: on
# What a page says of itself; nothing of it ends a listing in an error that is not of the API.
PAGES = [
    *(page(row) for row in (None, 7, "text", [], {}, {"id": "../x", "status": "completed"}, {"id": "run_1"})),
    *({"data": data} for data in (None, 7, "text", {}, {"0": run()}, True)),
    *(
        {"data": [run()], "list_metadata": data}
        for data in (None, 7, "text", [], {"after": 7}, {"after": {}})
    ),
    {"data": [run()], "after": ["x"]},
    {"data": [run()], "list_metadata": {"after": "", "before": []}},
    {"data": [run()] * 5000},
]


def cases():
    alternating = itertools.cycle(COLOURS)
    for operation in OPERATIONS:
        for atom in ATOMS:
            row = (f"the body {told(atom)}", said(200, atom), EITHER)
            yield from operation.cases([row], [next(alternating)])
        for what, body in shapes(operation):
            yield from operation.cases([(what, said(200, body), EITHER)], [next(alternating)])
        if isinstance(GOOD_BODY[operation.role], dict) and "data" in GOOD_BODY[operation.role]:
            rows = [(f"page {n}", said(200, body), EITHER) for n, body in enumerate(PAGES)]
            yield from operation.cases(rows, [next(alternating)])
    yield from GET_RUN.cases(RUNS)
    rows = [(f"another run, {another}", run_with(["id"], another), UNREADABLE) for another in ANOTHER]
    for operation in OPERATIONS:
        if operation.role in {"look", "test run"}:
            yield from operation.cases([(n, a, (*e, WaitTimeoutError)) for n, a, e in rows])
    yield from CREATE.cases([row for row in RUNS if row[0].startswith("the id")])
    yield from WAIT.cases([row for row in RUNS if row[0].startswith("the state")], seconds=9.0)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_a_body(case, check):
    check(case)
