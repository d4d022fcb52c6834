"""The two clients are one: names, parameters, defaults and docstrings."""

import inspect

import pytest

from retab_orchestration import AsyncRetabClient, RetabClient

OWN = {"close": "aclose"}


def operations(kind):
    return {
        name: member
        for name, member in inspect.getmembers(kind, callable)
        if not name.startswith("_") or name == "__init__"
    }


def test_they_have_the_same_operations():
    blocking = {OWN.get(name, name) for name in operations(RetabClient)}

    assert blocking == set(operations(AsyncRetabClient))


@pytest.mark.parametrize("name", sorted(set(operations(RetabClient)) - set(OWN)))
def test_an_operation_is_the_same_in_both(name):
    blocking, awaiting = operations(RetabClient)[name], operations(AsyncRetabClient)[name]

    parameters = [list(inspect.signature(one).parameters.values()) for one in (blocking, awaiting)]
    assert parameters[0] == parameters[1]
    assert inspect.getdoc(blocking) == inspect.getdoc(awaiting)
    assert name == "__init__" or inspect.getdoc(blocking)


def test_everything_but_iteration_is_awaited():
    for name, operation in operations(AsyncRetabClient).items():
        if name not in {"__init__", "iter_runs"}:
            assert inspect.iscoroutinefunction(operation), name


def test_every_operation_that_we_promise_is_there():
    assert {
        "create_run",
        "get_run",
        "list_runs",
        "iter_runs",
        "list_steps",
        "cancel_run",
        "wait_for_run",
        "create_test_run",
        "get_test_run",
        "wait_for_test_run",
        "list_test_results",
        "get_test_result",
        "decide_review",
        "restart_run",
        "find_runs",
    } <= set(operations(RetabClient))
