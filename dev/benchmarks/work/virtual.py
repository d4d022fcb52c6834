"""An event loop whose clock jumps to the next timer when there is nothing to do: an hour of waiting takes seconds.

Whatever is driven by it is the real thing, over real sockets; only `time.monotonic` and `time.time` are not.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, cast

T = TypeVar("T")

# Real seconds in which a byte that was sent over loopback would have arrived.
_QUIET = 0.002
_EPOCH = 1_750_000_000.0
_real_monotonic = time.monotonic


class Clock:
    """Virtual seconds."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        """Return the monotonic time."""
        return self.seconds

    def wall(self) -> float:
        """Return the time of day."""
        return _EPOCH + self.seconds

    def install(self) -> None:
        """Let everything in this process that asks for the time get this one."""
        time.monotonic = self.now
        time.time = self.wall


class _Jumping(selectors.DefaultSelector):
    """Waits for sockets as ever, and for timers not at all."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.threads = 0
        """Pieces of work that threads have in hand; the clock stands still for them."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if found := super().select(_QUIET):
            return found
        if self.threads:
            return super().select(1.0)
        self._clock.seconds += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop itself."""

    def __init__(self, clock: Clock) -> None:
        self._jumping = _Jumping(clock)
        self._virtual = clock
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual.now()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run in a thread, as ever, while the clock stands still."""
        self._jumping.threads += 1
        future = cast("asyncio.Future[T]", super().run_in_executor(executor, func, *args))
        future.add_done_callback(lambda _: setattr(self._jumping, "threads", self._jumping.threads - 1))
        return future
