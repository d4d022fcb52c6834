"""Programs of users that run at the same time, each with a Retab of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from retab_orchestration.emulator import Emulator

AT_ONCE = 4
"""More would only wait for a processor: it takes seconds to import Prefect."""


@dataclass(frozen=True)
class Ran:
    """What became of a program."""

    printed: str
    runs_created: int


@contextmanager
def running(host, programs, env, *, keys=None):
    """Start every program; yield what waits for one by its name and returns it as `Ran`, or raises what it raised.

    Args:
        host: The Prefect that they run against.
        programs: Name -> what runs it and returns what it has printed; it takes the host, the emulator and the
            environment for scripts.
        env: The environment of all of them, without the address of Retab.
        keys: Name -> what its Retab makes of an `Idempotency-Key`; the others ignore it.
    """

    def run(name: str, program: Callable):
        with Emulator(speed=20.0, idempotency=(keys or {}).get(name, "ignored")) as emulator:
            printed = program(host, emulator, {**env, "RETAB_API_BASE_URL": emulator.url})
            return Ran(printed, emulator.stats()["runs_created"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = {name: pool.submit(run, name, program) for name, program in programs.items()}
        yield lambda name: begun[name].result()
