"""Which calls are the same call."""

from prefect_collection._identity import Owner
from prefect_collection._record import Given


def digest(inputs):
    return Given("create_run", {"json_inputs": inputs}).digest(Owner("flow run"), {})


def test_keys_that_are_numbers_are_those_that_the_next_process_reads_as_text():
    assert digest({"json-node-1": {10: "a", 9: "b"}}) == digest({"json-node-1": {"9": "b", "10": "a"}})


def test_keys_may_be_numbers_and_strings():
    assert digest({"json-node-1": {1: "a", "b": 2}}) != digest({"json-node-1": {1: "a", "b": 3}})
