"""One serving process for the whole matrix, on the session's Prefect server."""

import importlib.util
import traceback
from importlib.metadata import version

import pytest

from tests.crash.lane import lanes, on_free_lanes
from tests.crash.prefect.cases import ASIDE, CASES
from tests.crash.prefect.shot import Shot
from tests.crash.prefect.world import World
from tests.crash.record import repetitions, save, summary

collect_ignore_glob = [] if importlib.util.find_spec("prefect") else ["test_*.py"]

LANES = 6
_SUMMARY = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def results(request, prefect_host, tmp_path_factory):
    """Case -> the results of its flow runs."""
    with (
        lanes(LANES) as open_lanes,
        World(prefect_host, open_lanes, tmp_path_factory.mktemp("prefect")) as world,
    ):
        found = on_free_lanes(
            lambda name, lane: strike(name, world, lane), [*CASES] * repetitions() + [*ASIDE], open_lanes
        )
    counted = [result for result in found if result.case in CASES]
    request.config.stash[_SUMMARY] = f"Prefect: {summary(counted)}"
    save("prefect", {"Prefect": version("prefect"), "database": "SQLite"}, counted)
    return {name: [result for result in found if result.case == name] for name in CASES | ASIDE}


def strike(name, world, lane):
    shot = Shot(name, world, lane)
    try:
        (CASES | ASIDE)[name].does(shot)
    except Exception:  # noqa: BLE001  the case is told to have gone wrong, and the others go on
        shot.result.error = traceback.format_exc()
    finally:
        shot.close()
        print(shot.result, flush=True)  # noqa: T201
    return shot.result


def pytest_terminal_summary(terminalreporter, config):
    if told := config.stash.get(_SUMMARY, None):
        terminalreporter.write_line(told)
