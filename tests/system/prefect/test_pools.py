"""Creates in the processes of a pool, which know of their flow run what they are handed, and no more."""

import json
from pathlib import Path

import pytest

from tests.prefect_collection.conftest import API_KEY

pytestmark = pytest.mark.system

POOLED = Path(__file__).with_name("pooled.py")


def ran(host, emulator, which):
    env = {"RETAB_API_KEY": API_KEY, "RETAB_API_BASE_URL": emulator.url}
    return json.loads(host.run(POOLED, which, env=env).splitlines()[-1])


def test_equal_calls_in_a_pool_and_beside_it_are_one_run(prefect_host, emulator):
    made = ran(prefect_host, emulator, "beside")

    assert [*set(made)] == emulator.run_ids()


def test_a_flow_in_a_flow_that_is_retried_starts_another_run_in_a_pool_where_one_ended_badly(
    prefect_host, emulator
):
    made = ran(prefect_host, emulator, "retried")

    assert made == emulator.run_ids()
    assert len(made) == 2


def test_a_saved_account_is_handed_to_a_pool_by_its_name(prefect_host, emulator):
    made = ran(prefect_host, emulator, "handed")

    assert made == emulator.run_ids()
