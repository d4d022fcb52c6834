"""Creates in the processes of a pool, which know of their flow run what they are handed, and no more."""

import json
import sys
from pathlib import Path

import pytest

from dev.hosts.prefect_host import PrefectHost
from retab_orchestration.emulator import Emulator
from tests.crash.postgres import cluster, programs
from tests.prefect_collection.conftest import API_KEY

pytestmark = pytest.mark.system

POOLED = Path(__file__).with_name("pooled.py")


def ran(host, emulator, *which):
    env = {"RETAB_API_KEY": API_KEY, "RETAB_API_BASE_URL": emulator.url}
    return json.loads(host.run(POOLED, *which, env=env).splitlines()[-1])


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


@pytest.mark.skipif(programs() is None, reason="there is no PostgreSQL")
def test_a_pool_on_postgresql_forgets_no_run_whose_labels_are_lost():
    with (
        cluster(programs()) as (url, _),
        PrefectHost(
            Path(sys.prefix),
            env={"PREFECT_SERVER_DATABASE_CONNECTION_URL": url.replace("psycopg2", "asyncpg")},
        ) as host,
        Emulator(api="classic") as classic,
    ):
        flow_run_id, *made = ran(host, classic, "crowded")
        cancelled = ran(host, classic, "cancelled", flow_run_id)

        assert sorted(cancelled) == sorted(made) == sorted(classic.run_ids())
