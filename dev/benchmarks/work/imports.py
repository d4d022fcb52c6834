"""Part 5: what a DAG file pays for naming an operator, once Airflow's own SDK is there."""

import importlib
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OUTSIDE = ("socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen", "os.system")
"""What Python audits that leaves the process."""


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Import modules, or run DAG files, and return what that cost.

    Args:
        spec: `modules` to import, or `files` to run: DAG files, next to which one without operators costs nothing.
    """
    importlib.import_module("airflow.sdk")
    if spec.get("files"):
        runpy.run_path(str(Path(__file__).with_name("empty_dag.py")))
    left: list[str] = []
    sys.addaudithook(lambda event, _: left.append(event) if event in OUTSIDE else None)
    return _cost(lambda: _import(spec)) | {"outside": sorted(set(left))}


def _import(spec: dict[str, Any]) -> None:
    for module in spec.get("modules", ()):
        importlib.import_module(module)
    for file in spec.get("files", ()):
        runpy.run_path(str(Path(file)), run_name="unusual_prefix_dag")


def _cost(work: Callable[[], None]) -> dict[str, Any]:
    known, cpu = set(sys.modules), time.process_time()
    work()
    used = time.process_time() - cpu
    return {"cpu": used, "modules": len(set(sys.modules) - known)}
