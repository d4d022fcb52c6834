"""What a process knows of its own cost."""

import asyncio
import contextlib
import gc
import os
import resource
import sys
import time
from pathlib import Path

BEAT = 0.005
"""Seconds that the heartbeat sleeps."""


class Heartbeat:
    """A task that sleeps over and over; how late it wakes is how long the loop stood still."""

    def __init__(self) -> None:
        self.late: list[tuple[float, float]] = []
        """When it woke, and how many seconds too late, where that is more than a millisecond."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.create_task(self._beat())

    def stop(self) -> None:
        """Beat no more, so that it costs nothing itself."""
        if self._task is not None:
            self._task.cancel()

    async def _beat(self) -> None:
        while True:
            due = time.monotonic() + BEAT
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            if now - due > 0.001:
                self.late.append((now, now - due))

    def longest(self, start: float, end: float) -> float:
        """Return the longest block between two moments, in seconds."""
        return max((late for moment, late in self.late if start <= moment <= end), default=0.0)


class Collector:
    """Python's garbage collector: when it worked and for how long, all that while the loop stands still."""

    def __init__(self) -> None:
        self.pauses: list[tuple[float, float]] = []
        """When a collection ended, and the seconds that it took."""
        self._began = 0.0
        gc.callbacks.append(self._watch)

    def _watch(self, phase: str, _: dict[str, int]) -> None:
        now = time.monotonic()
        if phase == "start":
            self._began = now
        else:
            self.pauses.append((now, now - self._began))

    def longest(self, start: float, end: float) -> float:
        """Return the longest collection between two moments, in seconds."""
        return max((took for moment, took in self.pauses if start <= moment <= end), default=0.0)


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak_since_reset()


def reset_peak() -> None:
    """Let the peak begin anew, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_since_reset() -> int:
    """Return the most bytes of memory that this process has held."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024
