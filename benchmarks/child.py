"""The other side of a measurement: one piece of work in a fresh process of whichever venv it needs.

`python -m benchmarks.child MODULE SPEC` calls `main(spec)` of `benchmarks.work.MODULE` and writes what it returns as
the last line of stdout. Standard library only: it runs in venvs that hold nothing of ours.
"""

import contextlib
import importlib
import json
import os
import sys


def keep_to_core(number: int) -> None:
    """Stay on one core, so that the server and the measured process do not take each other's time."""
    with contextlib.suppress(AttributeError, OSError):  # a system without affinity, or without that core
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[number % len(cores)]})


def main(module: str, spec: str) -> None:
    """Do the work and tell the result."""
    keep_to_core(0)
    result = importlib.import_module(f"benchmarks.work.{module}").main(json.loads(spec))
    sys.stdout.write(f"\n{json.dumps(result)}\n")
    sys.stdout.flush()
    # Threads and loops of a host that is only measured need no tidy end.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
