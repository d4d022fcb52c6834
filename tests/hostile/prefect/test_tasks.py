"""Prefect's tasks and blocks, in both colours, against servers that answer anything; and fields of no kind."""

import json
from functools import partial

import pytest
from pydantic import SecretStr, ValidationError

from retab_orchestration import RetabError, RunPage, Step, WorkflowRun
from tests.hostile.answers import said
from tests.hostile.harness import Case
from tests.hostile.lost import LOST, NO_IDS, ODD_IDS, SLOW, identified
from tests.hostile.prefect import tasks
from tests.hostile.retab import good

FAILS = (RetabError, RuntimeError)
PASSWORD = "proxy-password-4d1c-do-not-show-me"


def is_result(value, _):
    """What a task returns: an id, a run, a page, steps, a manifest or outputs."""
    if isinstance(value, WorkflowRun | RunPage):
        return True
    if isinstance(value, list):
        return all(isinstance(step, Step) for step in value)
    return isinstance(value, str) or bool(json.dumps(value))


# A task, its arguments, and whose answers are bad then.
TASKS = {
    "create_run": (("wf_1",), {}, ("create",)),
    "wait_for_run": (("run_1",), {"timeout_seconds": 1.0, "poll_interval_seconds": 0.1}, ("look",)),
    "get_run": (("run_1",), {}, ("look", "steps")),
    "list_runs": ((), {"limit": 5}, ("list",)),
    "list_steps": (("run_1",), {}, ("steps",)),
    "cancel_run": (("run_1",), {}, ("cancel",)),
    "restart_run": (("run_0",), {}, ("restart",)),
}
# Fields of a block, and what they were given.
FIELDS = {
    "api_key": [7, "", " ", "a b", "a\nb", "\x00", "\xe9", None, [], {}],
    "base_url": [
        7,
        "x",
        "ftp://x",
        "http://u:p@x",
        "http://x?y",
        "http://x:y",
        "http://[::1",
        "\x00",
        "http://\ud800",
        [],
        {},
    ],
    "api": [7, None, "newest", "", [], {}],
    "auth": [7, None, "basic", "", [], {}],
    "timeout_seconds": [0, -1, "x", None, [], {}, 1e400, float("nan"), 10**400, 86401],
    "requests_per_second": [0, -1, "x", [], {}, float("nan")],
    "verify": [7, None, [], {}, "\x00"],
    "proxy": [7, "x", "socks5://x:1", f"http://u:{PASSWORD}@x:y", "http://x:99999", "http://[::1", [], {}],
    "namespace": [7, [], {}],
}


# A key that is refused is tried again half a minute later, for it may be about to change.
PATIENT = {("look", "401")}


def at_first(role, answer):
    """Answer so the first time; a wait goes on through that, for as long as it takes, and looks again."""
    if role != "look":
        return {role: answer}
    return {role: lambda request, earlier: good(request) if earlier else answer}


def case(name, act, replies, **more):
    right = more.pop("right", is_result)
    return Case(name, act, replies, expected=FAILS, right=right, documented=FAILS, seconds=20.0, **more)


def answered():
    colours = {"blocking": tasks.blocking, "awaiting": tasks.awaiting}
    answers = [(what, answer, 5.0) for what, answer in LOST.items()]
    answers += [(what, answer, 0.3) for what, answer in SLOW.items()]
    for number, (what, answer, timeout) in enumerate(answers):
        for name, (given, options, roles) in TASKS.items():
            for role in roles:
                if (role, what) in PATIENT:
                    continue
                colour = list(colours)[(number + len(name)) % 2]
                act = called(colours[colour], name, *given, timeout=timeout, **options)
                yield case(f"{name}, {role}: {what}, {colour}", act, at_first(role, answer))
        for role in ("create", "look"):
            if (role, what) not in PATIENT:
                act = partial(tasks.job, timeout=timeout)
                yield case(f"a block, {role}: {what}", act, at_first(role, answer))


def called(way, name, *given, **options):
    return lambda world: way(name, world, *given, **options)


def into(way, run_id, world):
    options = {"timeout_seconds": 1.0, "poll_interval_seconds": 0.1, "output_path": f"{world.inside}/"}
    return way("wait_for_run", world, run_id, **options)


def identities():
    for number, bad in enumerate([*NO_IDS, *ODD_IDS]):
        way = (tasks.blocking, tasks.awaiting)[number % 2]
        replied = partial(replies, "create", bad)
        yield case(f"create_run, the id {number}", called(way, "create_run", "wf_1"), replied)
        yield case(
            f"wait_for_run, the id {number}", partial(into, way, "run_1"), partial(replies, "look", bad)
        )
        if bad in ODD_IDS:
            yield case(f"wait_for_run, the odd id {number}", partial(into, way, bad), {})


def replies(role, bad, world):
    return at_first(role, said(200, identified(bad, world.folder)))


def fields():
    for name, values in FIELDS.items():
        for number, bad in enumerate(values):
            given = {name: SecretStr(bad) if name in {"api_key", "proxy"} and isinstance(bad, str) else bad}
            refused = (ValidationError, RetabError)
            # What pydantic says has a line for each field.
            options = {"documented": refused, "secrets": (PASSWORD,), "may_have_lines": True}
            yield Case(f"{name} {number}", partial(used, given), expected=refused, **options)


def used(given, world):
    with tasks.credentials(world, **given).get_client() as client:
        return client.get_run("run_1")


def cases():
    yield from answered()
    yield from identities()
    yield from fields()


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_a_task(case, check):
    check(case)
