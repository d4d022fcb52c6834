"""An event loop whose clock is a test's: nobody waits for a timer, time jumps to it."""

import asyncio
import selectors

from tests.retab_orchestration.fake_runtime import START, FakeRuntime, ScriptedRuntime

# Seconds. Less is lost in a clock that counts from 1970.
_TICK = 1e-6


class _Jump(selectors.SelectSelector):
    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def select(self, timeout=None):
        if timeout is None:
            raise AssertionError("everybody waits for somebody else: no timer is set, so this would hang")
        if timeout > 0:
            self._clock.time += max(_TICK, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what a real loop runs, in no time."""

    def __init__(self, clock):
        super().__init__(_Jump(clock))
        self._clock = clock
        self._clock_resolution = 1e-9

    def time(self):
        return self._clock.time - START


class SideBySide:
    """Makes a fake runtime one on which things go on side by side, on a virtual loop."""

    closed = 0
    latency = 0.0
    """Seconds that every request takes."""

    def hold_connections(self):
        return self

    async def aclose(self):
        self.closed += 1

    async def send(self, request):
        await asyncio.sleep(self.latency)
        return await super().send(request)

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(seconds)


class SharedFakeRuntime(SideBySide, FakeRuntime):
    pass


class SharedScriptedRuntime(SideBySide, ScriptedRuntime):
    pass
