"""Where one case takes place: a Retab of its own, and the account by which a task finds it."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from retab_orchestration import RetabClient
from retab_orchestration.emulator import Emulator

KEY = "rt_test_crash"
SERVERS = {
    "as it comes": {},
    # Where a run can be found at all: nothing but the tags in the rows, and those late.
    "most hostile": {"idempotency": "ignored", "metadata": "unfiltered", "list_lag": 10.0},
}
"""Kind of server -> how its emulator is set; every case is done on each."""


class Account:
    """One emulator and one account, used by one case after the other."""

    def __init__(self, number):
        self.name = f"crash{number}"
        self.server = list(SERVERS)[number % len(SERVERS)]
        self.emulator = Emulator(api="current", api_key=KEY, **SERVERS[self.server])

    def __enter__(self):
        self.emulator.__enter__()
        self.retab = RetabClient(KEY, self.emulator.url, api="current", auth="bearer")
        return self

    def __exit__(self, *raised):
        self.retab.close()
        self.emulator.__exit__(*raised)

    @property
    def active(self):
        return [run for run in self._runs() if not run.is_terminal]

    def _runs(self):
        # One by one, for the list may lag.
        return [self.retab.get_run(run_id) for run_id in self.emulator.run_ids()]

    def look(self, result):
        """Write down what Retab knows of a case."""
        runs = sorted(self._runs(), key=lambda run: run.timing.created_at)
        stats = self.emulator.stats()
        result.server = self.server
        result.remote = [run.status.value for run in runs]
        result.runs_created = stats["runs_created"]
        result.cancels = stats["requests"].get("POST /v1/workflows/runs/{run_id}/cancel", 0)


@contextmanager
def opened_accounts(count):
    """Open so many accounts."""
    with ExitStack() as stack:
        yield [stack.enter_context(Account(number)) for number in range(count)]


def on_free_accounts(act, names, accounts):
    """Call `act(name, account)` for each name on each kind of server, one at a time on each; return the results."""
    waiting = {server: deque(names) for server in SERVERS}

    def taken(server):
        """Yield what nobody has taken yet; a deque is safe to share."""
        with suppress(IndexError):
            while True:
                yield waiting[server].popleft()

    def work(account):
        return [act(name, account) for name in taken(account.server)]

    pool = ThreadPoolExecutor(len(accounts))
    try:
        return [result for done in pool.map(work, accounts) for result in done]
    finally:
        # Whoever presses Ctrl-C means all that has not begun as well.
        for left in waiting.values():
            left.clear()
        pool.shutdown(cancel_futures=True)
