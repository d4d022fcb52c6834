"""The runs of the bare server: which there are, when each ends, and the pages of their list."""

import json
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush

from dev.benchmarks.server.bodies import TAG, WORKFLOW, Shape, shapes

FIRST = 1_000_000
"""The number of the first run; a peer's run id is the number alone."""

NEVER = float("inf")
_RUNNING = {"running", "pending", "queued"}
_ENDED = {"completed"}


@dataclass
class Plan:
    """What runs there are.

    Attributes:
        watched: How many runs there are that somebody waits for: they are tagged as ours are.
        others: How many there are besides, spread evenly among them.
        others_active: How many of the others still run.
        others_tagged: Whether the others are tagged as well.
        body_bytes: The size of a run's body.
        age: Seconds before now at which the first run was created; the rest followed at even distances.
        lasting: Seconds from now after which the watched runs end; None is never, until `end` is called.
    """

    watched: int = 0
    others: int = 0
    others_active: int = 0
    others_tagged: bool = False
    body_bytes: int = 400
    age: float = 60.0
    lasting: float | None = None


@dataclass
class Runs:
    """All runs, by number; a number's order is that of creation."""

    plan: Plan = field(default_factory=Plan)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    ends: dict[int, float] = field(default_factory=dict)
    """When a run ends, on `clock`; only those that have not ended, or that were watched."""

    def __post_init__(self) -> None:
        self.shapes: dict[str, Shape] = shapes(self.plan.body_bytes)
        self.total = self.plan.watched + self.plan.others
        step = self.total / self.plan.watched if self.plan.watched else 0
        self.watched = [FIRST + int(position * step) for position in range(self.plan.watched)]
        self._is_watched = set(self.watched)
        self._began = self.wall() - self.plan.age
        self._apart = self.plan.age / max(self.total, 1)
        others = [n for n in range(FIRST, FIRST + self.total) if n not in self._is_watched]
        still = others[len(others) - self.plan.others_active :]
        self._active = sorted([*self.watched, *still])
        self._due: list[tuple[float, int]] = []
        lasting = self.plan.lasting
        end = NEVER if lasting is None else self.clock() + lasting
        self.ends = dict.fromkeys(self.watched, end)
        self._plan_ends()

    def end(self, after: float, over: float) -> None:
        """Let every watched run end between `after` and `after + over` seconds from now, evenly and in mixed order."""
        start, count = self.clock() + after, len(self.watched)
        for place, number in enumerate(self.watched):
            # A stride that shares no factor with most counts mixes old and new runs.
            self.ends[number] = start + over * ((place * 7919) % count) / count
        self._plan_ends()

    def has_ended(self, number: int) -> bool:
        """Whether a run has ended; one that was never watched and does not run has."""
        self._settle()
        place = bisect_left(self._active, number)
        return place == len(self._active) or self._active[place] != number

    def body(self, shape: str, number: int) -> bytes:
        """Return the JSON of one run."""
        name = b"run_%d" % number if shape == "retab" else b"%d" % number
        return self.shapes[shape].body(name, self._created(number), ended=self.has_ended(number))

    def knows(self, number: int) -> bool:
        """Whether there is such a run."""
        return FIRST <= number < FIRST + self.total

    def page(self, query: Mapping[str, str]) -> bytes:
        """Return one page of the list as the current routes give it."""
        self._settle()
        limit = int(query.get("limit", "20"))
        found = []
        for number in self._candidates(query):
            found.append(number)
            if len(found) > limit:
                break
        shown = found[:limit]
        after = b'"run_%d"' % shown[-1] if len(found) > limit else b"null"
        before = b'"run_%d"' % shown[0] if shown and "after" in query else b"null"
        rows = b",".join(self.body("retab", number) for number in shown)
        return b'{"data":[%b],"list_metadata":{"before":%b,"after":%b}}' % (rows, before, after)

    def create(self, lasting: float) -> int:
        """Add a watched run that ends so many seconds from now, and return its number."""
        number = FIRST + self.total
        self.total += 1
        self.watched.append(number)
        self._is_watched.add(number)
        insort(self._active, number)
        self.ends[number] = self.clock() + lasting
        heappush(self._due, (self.ends[number], number))
        return number

    def _candidates(self, query: Mapping[str, str]) -> Iterable[int]:
        wanted, excluded = query.get("status"), query.get("exclude_status")
        kept = [
            each for each in (_RUNNING, _ENDED) if (wanted is None or wanted in each) and excluded not in each
        ]
        if not kept or query.get("workflow_id", WORKFLOW) != WORKFLOW:
            return
        newest_first = query.get("order", "desc") != "asc"
        only_active = kept == [_RUNNING]
        pool: list[int] | range = self._active if only_active else range(FIRST, FIRST + self.total)
        low, high = self._window(query, pool, newest_first=newest_first)
        order = range(high - 1, low - 1, -1) if newest_first else range(low, high)
        tagged = self._tagged(query.get("metadata"))
        for place in order:
            number = pool[place]
            if tagged(number) and (only_active or len(kept) > 1 or self.has_ended(number)):
                yield number

    def _window(
        self, query: Mapping[str, str], pool: list[int] | range, *, newest_first: bool
    ) -> tuple[int, int]:
        low, high = 0, len(pool)
        if text := query.get("from_date"):
            earliest = datetime.fromisoformat(text)
            seconds = (earliest if earliest.tzinfo else earliest.replace(tzinfo=UTC)).timestamp()
            steps = (seconds - self._began) / self._apart if self._apart else 0.0
            low = bisect_left(pool, FIRST + max(0, int(steps)))
        if text := query.get("after"):
            cursor = int(text.removeprefix("run_"))
            if newest_first:
                high = bisect_left(pool, cursor)
            else:
                low = max(low, bisect_left(pool, cursor + 1))
        return low, high

    def _tagged(self, metadata: str | None) -> Callable[[int], bool]:
        pairs = json.loads(metadata) if metadata else {}
        if not pairs or (self.plan.others_tagged and pairs == {TAG: "1"}):
            return lambda _: True
        if pairs != {TAG: "1"}:
            return lambda _: False
        return self._is_watched.__contains__

    def _created(self, number: int) -> bytes:
        moment = datetime.fromtimestamp(self._began + (number - FIRST) * self._apart, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()

    def _plan_ends(self) -> None:
        self._due = [(end, number) for number, end in self.ends.items() if end != NEVER]
        heapify(self._due)

    def _settle(self) -> None:
        now = self.clock()
        while self._due and self._due[0][0] <= now:
            _, number = heappop(self._due)
            place = bisect_left(self._active, number)
            if place < len(self._active) and self._active[place] == number:
                del self._active[place]
