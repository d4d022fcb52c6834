"""The suite tells bad from good: one case of each class, run as any other."""

import urllib.request

import pytest

from retab_orchestration import InvalidInputError
from tests.hostile.answers import raw, said
from tests.hostile.core import test_arguments, test_bodies, test_http
from tests.hostile.core.clients import GET_RUN, calling
from tests.hostile.harness import Case, Outcomes
from tests.hostile.retab import run


def raising(error):
    def act(_):
        raise error

    return act


def ask(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:  # noqa: S310
        return answer.read()


def told_the_key(world):
    raise InvalidInputError(f"the key {world.key} is wrong")


def caused_by_the_key(world):
    raise InvalidInputError("the key is wrong") from ValueError(world.key)


def stored_the_key(world):
    world.stored.append({"api_key": world.key})
    return run()


def always(_value, _world):
    return True


REFUSED = {"expected": (InvalidInputError,)}
# Our own errors escape and cut what they are told.
DOCUMENTED = {"expected": (ValueError,), "documented": (ValueError,)}
CASES = [
    (
        "good",
        calling(GET_RUN.call, "blocking"),
        {"replies": {"look": said(200, run())}, "right": GET_RUN.right},
    ),
    ("good", raising(InvalidInputError("no")), REFUSED),
    (
        "hang",
        lambda world: ask(world.url),
        {"replies": {"*": raw(then="stall")}, "right": always, "seconds": 0.3},
    ),
    ("leak", told_the_key, REFUSED),
    ("leak", caused_by_the_key, REFUSED),
    ("leak", stored_the_key, {"right": always}),
    ("leak", lambda world: ask(world.other.url, key=world.key), {"right": always}),
    ("memory", lambda _: len(b"x" * (100 * 2**20)), {"right": always, "alone": True}),
    ("raw", raising(KeyError("id")), {"expected": (KeyError,)}),
    ("raw", raising(ValueError()), {"right": always}),
    ("wrong", raising(InvalidInputError("no")), {"right": always}),
    ("wrong", raising(ValueError("\x1b[2J")), DOCUMENTED),
    ("wrong", raising(ValueError("x" * 10_000)), DOCUMENTED),
    ("wrong", lambda _: None, {"right": lambda value, _: value is not None}),
    ("wrong", lambda _: None, REFUSED),
    ("outside", lambda world: (world.folder / "evil").write_text("x"), {"right": always}),
    ("good", lambda world: (world.inside / "fine").write_text("x"), {"right": always}),
]


@pytest.mark.parametrize(("kind", "act", "more"), CASES)
def test_a_case_is_of_its_class(kind, act, more, hostile_server):
    case = Case("a case", act, **more)
    outcomes = Outcomes()

    outcomes.run(hostile_server, [case])

    assert outcomes.by_case[case][0] == kind, outcomes.by_case[case]


def test_there_are_enough_of_them():
    counted = [len([*table.cases()]) for table in (test_http, test_bodies, test_arguments)]

    assert sum(counted) >= 600
