"""An editor shows every argument that is ours: each stands in the signature, and in the docstring."""

import inspect

import pytest

from airflow_provider.operators import (
    RetabCancelRunOperator,
    RetabRestartRunOperator,
    RetabRunWorkflowOperator,
)
from airflow_provider.sensors import RetabRunSensor

WAITING = {
    "output_nodes",
    "output_path",
    "retab_conn_id",
    "deferrable",
    "defer_after",
    "poll_interval",
    "timeout",
    "backstop",
    "wait_for_completion",
    "on_review",
    "on_clear",
    "cancel_on_timeout",
    "cancel_on_kill",
}


@pytest.mark.parametrize("kind", [RetabRunWorkflowOperator, RetabRestartRunOperator])
def test_how_to_wait_stands_in_the_signature_of_each_operator_that_starts_a_run(kind):
    assert set(inspect.signature(kind.__init__).parameters) >= WAITING


@pytest.mark.parametrize(
    "kind", [RetabRunWorkflowOperator, RetabRestartRunOperator, RetabCancelRunOperator, RetabRunSensor]
)
def test_the_docstring_has_every_argument_in_the_order_of_the_signature(kind):
    arguments = [
        name
        for name, each in inspect.signature(kind.__init__).parameters.items()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    text = inspect.getdoc(kind).partition("Args:\n")[2]
    told = [
        line.strip().partition(":")[0]
        for line in text.splitlines()
        if line.startswith("    ") and line[4] != " "
    ]

    assert [name for name in told if name in arguments] == arguments


def test_both_wait_with_the_same_defaults():
    defaults = [
        {name: inspect.signature(kind.__init__).parameters[name].default for name in WAITING}
        for kind in (RetabRunWorkflowOperator, RetabRestartRunOperator)
    ]

    assert defaults[0] == defaults[1]
