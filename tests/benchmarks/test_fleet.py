"""What the parts on triggerers, a whole Airflow and a fleet make of what their processes tell."""

from datetime import UTC, datetime

import pytest

from dev.benchmarks.growth import Costs
from dev.benchmarks.parts import endtoend, fleet, triggerer

MANY = fleet.Crowd(every=1_000, tagged=400, waited=200, processes=2)
ONE = fleet.Crowd(every=100, tagged=100, waited=100, processes=1)
ROW, WATCHED, GET, SWEEPS = 8.0, 4.0, 500.0, 10


def _phase(crowd, processes=1):
    """What a crowd costs if a row does `ROW`, one that is waited for `WATCHED` more, and a look by itself `GET`."""
    rows = SWEEPS * crowd.tagged
    own = SWEEPS * crowd.each
    return {
        "seconds": 50.0,
        "pages": processes * rows // 100,
        "page_bytes": processes * rows * 400,
        "gets": 7 * processes,
        "busy": (rows * ROW + own * WATCHED + 7 * GET) / 1e6 / 50.0,
        "ending_bytes": processes * rows * 400,
        "ending_gets": crowd.waited,
        "ending_cpu": (processes * (rows * ROW + own * WATCHED) + crowd.waited * GET) / 1e6,
        "memory_before": 40e6,
        "memory": 40e6 + crowd.each * 5e3,
    }


def test_the_costs_of_a_row_and_of_a_look_are_told_apart():
    costs = fleet._costs(MANY, ONE, _phase(MANY, processes=2), _phase(ONE))

    assert Costs.read(costs) == Costs(
        row_us=pytest.approx(ROW),
        watched_us=pytest.approx(WATCHED),
        get_us=pytest.approx(GET),
        row_bytes=pytest.approx(400.0),
        memory_base=40e6,
        memory_run=pytest.approx(5e3),
        sweeps=pytest.approx(1.0),  # ten in fifty seconds, at an interval of five
    )


def test_numbers_of_several_turns_are_their_median_and_losses_their_sum():
    turns = [
        {"lag_p50": 1.0, "lost": 1, "failures": 0, "early": 0, "failed": []},
        {"lag_p50": 3.0, "lost": 2, "failures": 1, "early": 0, "failed": ["gone"]},
    ]

    assert fleet._summary(turns) == {
        "lag_p50": 2.0,
        "lost": 3,
        "failures": 1,
        "early": 0,
        "failed": ["gone"],
    }


def test_slots_are_held_until_a_deferral_and_again_from_when_a_task_is_resumed():
    host = _Host(
        [
            (0, "running", 0.0),
            (1, "running", 1.0),
            (0, "deferred", 2.0),
            (0, "running", 20.0),
            (1, "success", 22.0),
            (0, "success", 23.0),
        ]
    )

    stays = endtoend._stays(host, "deferred", "run")

    assert sorted(stays) == [(0.0, 2.0), (1.0, 22.0), (20.0, 23.0)]
    assert endtoend._most(stays) == 2


class _Host:
    """An Airflow whose audit log has pages of two entries."""

    def __init__(self, entries):
        self.api = self
        self._entries = [
            {"map_index": index, "event": event, "when": datetime.fromtimestamp(at, UTC).isoformat()}
            for index, event, at in entries
        ]

    def get(self, path, *, offset, **query):
        assert path == "/eventLogs"
        return {"event_logs": self._entries[offset : offset + 2], "total_entries": len(self._entries)}


def test_a_triggerer_is_told_without_what_it_had_before_there_were_triggers():
    def sample(at, cpu, memory):
        return {"at": at, "cpu": cpu, "cpu_of_loop": cpu / 2, "memory": memory, "resident": memory}

    spec = {"interval": 5.0, "count": 10}
    result = {
        "idle": [sample(0.0, 1.0, 100e6), sample(10.0, 1.5, 100e6)],
        "steady": [sample(30.0, 10.0, 150e6), sample(40.0, 12.0, 150e6), sample(50.0, 14.0, 150e6)],
        "took": 12.0,
        "noticed": 9,
    }
    told = {"moments": [29.0, 31.0, 36.0, 41.0, 46.0, 51.0]}

    found = triggerer._read(spec, result, told)

    assert found["idle"]["busy"] == pytest.approx(0.05)
    assert found["busy"] == pytest.approx(0.2)
    assert found["busy_in_loop"] == pytest.approx(0.1)
    assert found["requests"] == pytest.approx(1.0)  # four in twenty seconds
    assert found["memory"] == pytest.approx(50e6)
    assert found["start_cpu"] == pytest.approx(8.5)
    assert found["lost"] == 1
