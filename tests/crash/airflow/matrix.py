"""The whole matrix on one Airflow: what disturbs nobody at the same time, then one outage after the other."""

import time
import traceback
from contextlib import ExitStack, contextmanager

from tests.crash.account import on_free_accounts
from tests.crash.airflow.cases import ALONE
from tests.crash.airflow.outages import OUTAGES
from tests.crash.airflow.scenario import Scenario
from tests.crash.airflow.states import States

STRUCK = 3
"""Tasks that wait while one of Airflow's processes is killed."""


def outages(times):
    """Return how often everybody is struck: one at a time and each for a minute, so more seldom than alone."""
    return -(-times // 4)


def run(host, accounts, times):
    """Run every case so many times and return a result for each task."""
    states = States(host.api)
    return [*_alone(host, states, accounts, times), *_outages(host, states, accounts, times)]


def _alone(host, states, accounts, times):
    def strike(name, account):
        scenario = Scenario(name, host, states, account)
        with _told(scenario):
            ALONE[name].does(scenario)
        return scenario.result

    return on_free_accounts(strike, list(ALONE) * times, accounts)


def _outages(host, states, accounts, times):
    for name in list(OUTAGES) * outages(times):
        scenarios = [Scenario(name, host, states, account) for account in accounts[:STRUCK]]
        with ExitStack() as stack:
            for scenario in scenarios:
                stack.enter_context(_told(scenario))
            OUTAGES[name].does(host, scenarios)
            for scenario in scenarios:
                scenario.finish()
        yield from (scenario.result for scenario in scenarios)
        time.sleep(1)


@contextmanager
def _told(scenario):
    """Let a case that goes wrong say so in its result, and not end the matrix."""
    try:
        yield
    except Exception:  # noqa: BLE001
        scenario.result.error = traceback.format_exc()
    finally:
        scenario.close()
        print(scenario.result, flush=True)  # noqa: T201
