"""Part 2: one `airflow triggerer` that takes deferred tasks' triggers, and what its two processes use."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dev.benchmarks.work import deferrals

START = 90.0
"""Seconds that the triggerer may take to sign in."""

# Of a core: more than it needs to keep the database's rows in view, and less than looking connections up.
_CALM = 0.25


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Measure one triggerer, first with nothing to do, then with triggers, and let their runs end.

    Args:
        spec: `url`, `side` (of `triggers.SIDES`, or `nothing`), `count`, `first`, `interval` (seconds), `idle` (seconds
            to measure before there is a trigger), `warmup` (seconds from when all have begun to wait until it is
            steady), `stretches` (how many to measure), `stretch` (seconds), `patience` (seconds that the triggerer may
            take to get them going, and to notice their end).
    """
    home = Path(os.environ["AIRFLOW_HOME"])
    home.mkdir(parents=True)
    deferrals.create(home / "dags", spec["count"], spec["url"])
    with (home / "triggerer.log").open("wb") as log:
        # Nobody reads its logs over HTTP here, so it starts no server for that.
        command = [sys.executable, "-m", "airflow", "triggerer", "--skip-serve-logs"]
        triggerer = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            return _measure(spec, triggerer)
        except Exception as error:
            lines = (home / "triggerer.log").read_text(errors="replace").splitlines()[-20:]
            raise RuntimeError("\n".join(lines)) from error
        finally:
            _kill(triggerer.pid)
            triggerer.wait()


def _measure(spec: dict[str, Any], triggerer: "subprocess.Popen[bytes]") -> dict[str, Any]:
    _until(lambda: _has_signed_in(triggerer), START)
    time.sleep(5.0)  # until it has imported what it needs with nothing to do
    idle = _sample(triggerer.pid)
    time.sleep(spec["idle"])
    before = _sample(triggerer.pid)
    asked = time.monotonic()
    deferrals.defer(spec["side"], spec["first"], spec["count"], spec["interval"])
    _until(lambda: deferrals.taken() == spec["count"], spec["patience"])
    # It also looks the connection up for each of them, one after the other, outside the loop.
    _until(lambda: _is_calm(triggerer.pid), spec["patience"])
    took = time.monotonic() - asked
    time.sleep(spec["warmup"])
    steady = [_sample(triggerer.pid)]
    for number in range(1, spec["stretches"] + 1):
        time.sleep(max(0.0, steady[0]["at"] + number * spec["stretch"] - time.monotonic()))
        steady.append(_sample(triggerer.pid))
    noticed = None if spec["side"] == "nothing" else _let_end(spec)
    return {
        "idle": [idle, before],
        "steady": steady,
        "took": took,
        "noticed": noticed,
    }


def _has_signed_in(triggerer: "subprocess.Popen[bytes]") -> bool:
    if triggerer.poll() is not None:
        raise RuntimeError(f"the triggerer ended with code {triggerer.returncode}")
    return deferrals.is_up()


def _let_end(spec: dict[str, Any]) -> int:
    body = json.dumps({"after": 0.5, "over": spec["interval"]}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(f"{spec['url']}/_bench/end", body, timeout=10).close()
    with contextlib.suppress(TimeoutError):  # whoever asked sees how many are missing
        _until(lambda: deferrals.resumed() == spec["count"], spec["patience"])
    return deferrals.resumed()


def _until(condition: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s")
        time.sleep(0.5)


def _is_calm(pid: int) -> bool:
    """Whether the process that serves the loop has little to do for a while."""
    first = _sample(pid)
    time.sleep(3.0)
    second = _sample(pid)
    used = (second["cpu"] - second["cpu_of_loop"]) - (first["cpu"] - first["cpu_of_loop"])
    return used < _CALM * (second["at"] - first["at"])


def _sample(pid: int) -> dict[str, float]:
    """Return the moment, and the CPU seconds and memory of the triggerer with all that it has started."""
    import psutil

    root = psutil.Process(pid)
    children = root.children(recursive=True)
    times = {each.pid: each.cpu_times() for each in (root, *children)}
    memory = {each.pid: each.memory_full_info() for each in (root, *children)}
    cpu = {number: found.user + found.system for number, found in times.items()}
    return {
        "at": time.monotonic(),
        "cpu": sum(cpu.values()),
        "cpu_of_loop": sum(cpu[each.pid] for each in children),
        "processes": len(cpu),
        "resident": sum(each.rss for each in memory.values()),
        # What processes share after a fork counts once; where the system does not tell, all that is resident.
        "memory": sum(getattr(each, "pss", each.rss) for each in memory.values()),
    }


def _kill(pid: int) -> None:
    import psutil

    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for each in family:
        each.kill()
