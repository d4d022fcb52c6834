"""What larger fleets would cost, worked out from what a small one was measured to cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from retab_orchestration import PollPolicy
from retab_orchestration._polling.list_poll import ListCost

TRIGGERERS = (1, 4, 10, 100)
RUNS = (1_000, 10_000, 100_000, 1_000_000)

LATENCY = 0.05
"""Seconds that a server far away is taken to need for an answer; no measurement tells, for ours is next door."""
BUSY = 0.8
"""The share of a core from which on a loop has no time left for bursts."""
CAPACITY = 1_000
"""Triggers that one triggerer takes, unless `[triggerer] capacity` says otherwise."""

# A hundred short rows: as many as a page holds.
_ROWS = 100
_AT_ONCE = 16
"""Single looks of one process at the same time."""


@dataclass(frozen=True)
class Costs:
    """What one process was measured to need. Microseconds are of CPU time."""

    row_us: float
    """To read past one row of the list."""
    watched_us: float
    """Besides, where somebody waits for that run."""
    get_us: float
    """To ask for one run by itself."""
    row_bytes: float
    memory_base: float
    """Bytes of a process that has imported everything and waits for nothing."""
    memory_run: float
    """Bytes for each run that is waited for."""
    sweeps: float
    """Readings of the list in one interval."""

    @classmethod
    def read(cls, costs: Mapping[str, Any]) -> Self:
        """Take them from what part 8 measured."""
        return cls(**{name: float(costs[name]) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Size:
    """So many triggerers that wait for so many runs of one account, all together."""

    triggerers: int
    runs: int
    requests: float
    """A second, of all triggerers together."""
    pages: int
    """Of one reading of the list; 0 where runs are asked for one by one."""
    sweep: float
    """Seconds that one reading of the list takes."""
    busy: float
    """The share of a core that each triggerer's loop needs for waiting."""
    memory: float
    """Bytes of each triggerer's loop, without Airflow's own."""
    bound: str
    """What gives in first if it grows further."""


def size(costs: Costs, triggerers: int, runs: int, interval: float = PollPolicy().interval) -> Size:
    """Work out one size; every waiting run carries our tag, and each triggerer reads the list of all of them.

    Args:
        costs: What was measured.
        triggerers: How many processes wait.
        runs: How many runs they wait for, together.
        interval: Seconds between two looks at a run.
    """
    own = math.ceil(runs / triggerers)
    memory = costs.memory_base + own * costs.memory_run
    if not _lists(costs, own, runs):
        looks = own / interval
        # Each look occupies one of the few places for a whole answer.
        most = _AT_ONCE / (LATENCY + costs.get_us / 1e6)
        served = min(looks, most)
        busy = served * costs.get_us / 1e6
        bound = "one request a run" if looks <= most else f"{_AT_ONCE} looks at once"
        return Size(triggerers, runs, triggerers * served, 0, 0.0, busy, memory, _first(own, busy, bound))
    pages = math.ceil(runs / _ROWS)
    cpu = (runs * costs.row_us + own * costs.watched_us) / 1e6
    sweep = pages * LATENCY + cpu
    # After a reading the watcher rests for as long as that took, if the interval is not longer anyway.
    apart = max(interval / costs.sweeps, 2 * sweep)
    busy = cpu / apart
    late = 2 * sweep > interval
    bound = "pages come one after the other" if late else "every triggerer reads the whole list"
    if triggerers == 1 and not late:
        bound = "the loop"
    return Size(
        triggerers, runs, triggerers * pages / apart, pages, sweep, busy, memory, _first(own, busy, bound)
    )


def _lists(costs: Costs, own: int, runs: int) -> bool:
    """Ask the watcher's own arithmetic, when all its runs are due."""
    cost = ListCost()
    for _ in range(5):  # pages have then grown as far as they do
        cost.read_page(cost.limit, int(cost.limit * costs.row_bytes))
    return cost.is_cheaper(own, runs, now=0.0)


def _first(own: int, busy: float, bound: str) -> str:
    if busy > BUSY:
        return "the loop's core"
    return f"{bound}; capacity" if own > CAPACITY else bound
