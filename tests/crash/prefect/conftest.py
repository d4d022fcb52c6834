"""One Prefect and one serving process for the whole matrix."""

import importlib.util
import sys
import traceback
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pytest

from hosts.prefect_host import PrefectHost
from tests.crash.lane import lanes, on_free_lanes
from tests.crash.prefect.cases import CASES
from tests.crash.prefect.shot import Shot
from tests.crash.prefect.world import World
from tests.crash.record import repetitions, save, summary

collect_ignore_glob = [] if importlib.util.find_spec("prefect") else ["test_*.py"]

LANES = 4
_SUMMARY = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def results(request, tmp_path_factory):
    """Case -> the results of its flow runs."""
    with ExitStack() as stack:
        open_lanes = stack.enter_context(lanes(LANES))
        host = stack.enter_context(PrefectHost(Path(sys.prefix), env={"PREFECT_RUNNER_POLL_FREQUENCY": "1"}))
        world = World(host, open_lanes, tmp_path_factory.mktemp("prefect"))
        found = on_free_lanes(
            lambda name, lane: strike(name, world, lane), list(CASES) * repetitions(), open_lanes
        )
    request.config.stash[_SUMMARY] = f"Prefect: {summary(found)}"
    save("prefect", {"Prefect": version("prefect"), "database": "SQLite"}, found)
    return {name: [result for result in found if result.case == name] for name in CASES}


def strike(name, world, lane):
    shot = Shot(name, world, lane)
    try:
        CASES[name].does(shot)
    except Exception:  # noqa: BLE001  the case is told to have gone wrong, and the others go on
        shot.result.error = traceback.format_exc()
    finally:
        shot.close()
        print(shot.result, flush=True)  # noqa: T201
    return shot.result


def pytest_terminal_summary(terminalreporter, config):
    if told := config.stash.get(_SUMMARY, None):
        terminalreporter.write_line(told)
