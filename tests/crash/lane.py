"""Where one case takes place: a Retab of its own, and the account by which a task finds it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

from retab_orchestration import RetabClient
from retab_orchestration.emulator import Emulator

KEY = "rt_test_crash"


class Lane:
    """One emulator and one account, used by one case after the other."""

    def __init__(self, number):
        self.name = f"crash{number}"
        # Without Idempotency-Key, so that what is proved does not lean on it.
        self.emulator = Emulator(api="current", api_key=KEY, idempotency="ignored")

    def __enter__(self):
        self.emulator.__enter__()
        self.retab = RetabClient(KEY, self.emulator.url, api="current", auth="bearer")
        return self

    def __exit__(self, *raised):
        self.retab.close()
        self.emulator.__exit__(*raised)

    @property
    def active(self):
        return [run for run in self.retab.iter_runs() if not run.is_terminal]

    def look(self, result):
        """Write down what Retab knows of a case."""
        runs = sorted(self.retab.iter_runs(), key=lambda run: run.timing.created_at)
        stats = self.emulator.stats()
        result.remote = [run.status.value for run in runs]
        result.runs_created = stats["runs_created"]
        result.cancels = stats["requests"].get("POST /v1/workflows/runs/{run_id}/cancel", 0)


@contextmanager
def lanes(count):
    """Open so many lanes."""
    with ExitStack() as stack:
        yield [stack.enter_context(Lane(number)) for number in range(count)]


def on_free_lanes(act, names, open_lanes):
    """Call `act(name, lane)` for each name, one at a time on each lane; return what it returned, in order."""
    free = SimpleQueue()
    for lane in open_lanes:
        free.put(lane)

    def turn(name):
        lane = free.get()
        try:
            return act(name, lane)
        finally:
            free.put(lane)

    pool = ThreadPoolExecutor(len(open_lanes))
    try:
        return list(pool.map(turn, names))
    finally:
        # Whoever presses Ctrl-C means all that has not begun as well.
        pool.shutdown(cancel_futures=True)
