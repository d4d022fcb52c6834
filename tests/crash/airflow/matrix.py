"""The whole matrix on one Airflow: what disturbs nobody at the same time, then one outage after the other."""

import time
import traceback
from contextlib import ExitStack, contextmanager

from tests.crash.airflow.cases import ALONE
from tests.crash.airflow.outages import OUTAGES
from tests.crash.airflow.shot import Shot
from tests.crash.airflow.states import States
from tests.crash.lane import on_free_lanes

STRUCK = 3
"""Tasks that wait while one of Airflow's processes is killed."""


def outages(times):
    """Return how often everybody is struck: one at a time and each for a minute, so more seldom than alone."""
    return -(-times // 4)


def run(host, open_lanes, times):
    """Run every case so many times and return a result for each task."""
    states = States(host.api)
    return [*_alone(host, states, open_lanes, times), *_outages(host, states, open_lanes, times)]


def _alone(host, states, open_lanes, times):
    def strike(name, lane):
        shot = Shot(name, host, states, lane)
        with _told(shot):
            ALONE[name].does(shot)
        return shot.result

    return on_free_lanes(strike, list(ALONE) * times, open_lanes)


def _outages(host, states, open_lanes, times):
    for name in list(OUTAGES) * outages(times):
        shots = [Shot(name, host, states, lane) for lane in open_lanes[:STRUCK]]
        with ExitStack() as stack:
            for shot in shots:
                stack.enter_context(_told(shot))
            OUTAGES[name].does(host, shots)
            for shot in shots:
                shot.finish()
        yield from (shot.result for shot in shots)
        time.sleep(1)


@contextmanager
def _told(shot):
    """Let a case that goes wrong say so in its result, and not end the matrix."""
    try:
        yield
    except Exception:  # noqa: BLE001
        shot.result.error = traceback.format_exc()
    finally:
        shot.close()
        print(shot.result, flush=True)  # noqa: T201
