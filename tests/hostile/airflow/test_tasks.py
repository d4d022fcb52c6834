"""Airflow's tasks against servers that answer anything: operators, deferred and not, sensors, and the hook."""

import json
from functools import partial

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException, PokeReturnValue

from retab_orchestration import RetabError
from tests.hostile.airflow import tasks
from tests.hostile.answers import said
from tests.hostile.harness import Case
from tests.hostile.lost import LOST, NO_IDS, ODD_IDS, SLOW, identified
from tests.hostile.retab import good, run

FAILS = (RetabError, AirflowException)
# Bad ids, and a folder to write outputs to.
INTO = {"output_path": "{inside}/"}


def is_outputs(value, _):
    """Outputs are JSON, node id -> output; a sensor that goes on looking has none yet."""
    json.dumps(value if not isinstance(value, PokeReturnValue) else None)
    return isinstance(value, dict) or (isinstance(value, PokeReturnValue) and not value.is_done)


def is_told(value, _):
    fine, message = value
    return isinstance(fine, bool) and message.isprintable() and len(message) < 5000


# How a task does it, and whose answers are bad then.
WAYS = {
    "deferred": (tasks.run_task, ("create", "look")),
    "on the worker": (tasks.on_the_worker, ("create", "look")),
    "restart": (tasks.restart, ("restart", "look")),
    "cancel": (tasks.cancel, ("cancel",)),
    "poke": (tasks.poke, ("look", "steps")),
    "deferred sensor": (tasks.deferred_sensor, ("look",)),
    "test_connection": (tasks.check_connection, ("list",)),
}


def case(name, act, replies, right=is_outputs):
    documented = (*FAILS, AirflowSkipException)
    return Case(name, act, replies, expected=FAILS, right=right, documented=documented, seconds=20.0)


# A key that is refused is tried again half a minute later, for it may be about to change.
PATIENT = {("look", "401")}


def at_first(role, answer):
    """Answer so the first time; a wait goes on through that, for as long as it takes, and looks again."""
    if role != "look":
        return {role: answer}
    return {role: lambda request, earlier: good(request) if earlier else answer}


def told_in(world, given):
    return {name: value.format(inside=world.inside, folder=world.folder) for name, value in given.items()}


def acting(way, **given):
    return lambda world: way(world, **told_in(world, given))


def replied(role, bad):
    return lambda world: at_first(role, said(200, identified(bad, world.folder)))


def answered():
    for name, (way, roles) in WAYS.items():
        right = is_told if way is tasks.check_connection else is_outputs
        for role in roles:
            for what, answer in LOST.items():
                if (role, what) not in PATIENT:
                    yield case(f"{name}, {role}: {what}", way, at_first(role, answer), right)
            for what, answer in SLOW.items():
                act = partial(way, timeout=0.3)
                yield case(f"{name}, {role}: {what}", act, at_first(role, answer), right)


def identities():
    for number, bad in enumerate([*NO_IDS, *ODD_IDS]):
        name = ("deferred", "on the worker", "restart")[number % 3]
        role = "restart" if name == "restart" else "create"
        yield case(f"{name}, the id {number}", acting(WAYS[name][0], **INTO), replied(role, bad))
        yield case(f"a poll with the id {number}", acting(tasks.run_task, **INTO), replied("look", bad))
    # The run of a server that gives any id, and then the same.
    for number, bad in enumerate(ODD_IDS):

        def replies(world, bad=bad):
            answer = said(200, identified(bad, world.folder))
            return {"create": answer, "look": answer}

        yield case(f"a run with the id {number}", acting(tasks.on_the_worker, **INTO), replies)
    yield case("outputs that are written", acting(tasks.on_the_worker, **INTO), {"create": said(200, run())})


def cases():
    yield from answered()
    yield from identities()


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_a_task(case, check):
    check(case)
