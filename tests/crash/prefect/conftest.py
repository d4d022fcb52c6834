"""One serving process for the whole matrix, on the session's Prefect server."""

import importlib.util
import traceback
from importlib.metadata import version

import pytest

from tests.crash.account import on_free_accounts, opened_accounts
from tests.crash.prefect.cases import ASIDE, CASES
from tests.crash.prefect.scenario import Scenario
from tests.crash.prefect.world import World
from tests.crash.record import repetitions, save, summary

collect_ignore_glob = [] if importlib.util.find_spec("prefect") else ["test_*.py"]

ACCOUNTS = 6
_SUMMARY = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def results(request, prefect_host, tmp_path_factory):
    """Case -> the results of its flow runs."""
    with (
        opened_accounts(ACCOUNTS) as accounts,
        World(prefect_host, accounts, tmp_path_factory.mktemp("prefect")) as world,
    ):
        found = on_free_accounts(
            lambda name, account: strike(name, world, account), [*CASES] * repetitions() + [*ASIDE], accounts
        )
    counted = [result for result in found if result.case in CASES]
    request.config.stash[_SUMMARY] = f"Prefect: {summary(counted)}"
    save("prefect", {"Prefect": version("prefect"), "database": "SQLite"}, counted)
    return {name: [result for result in found if result.case == name] for name in CASES | ASIDE}


def strike(name, world, account):
    scenario = Scenario(name, world, account)
    try:
        (CASES | ASIDE)[name].does(scenario)
    except Exception:  # noqa: BLE001  the case is told to have gone wrong, and the others go on
        scenario.result.error = traceback.format_exc()
    finally:
        scenario.close()
        print(scenario.result, flush=True)  # noqa: T201
    return scenario.result


def pytest_terminal_summary(terminalreporter, config):
    if told := config.stash.get(_SUMMARY, None):
        terminalreporter.write_line(told)
