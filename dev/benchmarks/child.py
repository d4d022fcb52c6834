"""The other side of a measurement: one piece of work in a fresh process of whichever venv it needs.

`python -m dev.benchmarks.child MODULE SPEC` calls `main(spec)` of `dev.benchmarks.work.MODULE` and writes what it
returns as the last line of stdout. Standard library only: it runs in venvs that hold nothing of ours.
"""

import contextlib
import importlib
import json
import os
import sys
import traceback


def keep_to_core(number: int) -> None:
    """Stay on one core, so that the server and the measured process do not take each other's time."""
    with contextlib.suppress(AttributeError, OSError):  # a system without affinity, or without that core
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[number % len(cores)]})


def main(module: str, spec: str) -> None:
    """Do the work and tell the result."""
    keep_to_core(0)
    code = 1
    try:
        result = importlib.import_module(f"dev.benchmarks.work.{module}").main(json.loads(spec))
        sys.stdout.write(f"\n{json.dumps(result)}\n")
        code = 0
    except Exception:  # noqa: BLE001  whoever started this reads it in our error stream
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads and loops of a host that is only measured need no tidy end.
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
