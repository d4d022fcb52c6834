"""What the numbers were measured on and with."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from dev.benchmarks.lab import ROOT

VENVS = ("bench-core", "bench-airflow", "bench-prefect", "sdk-0.0.160")
PACKAGES = (
    "retab-orchestration",
    "httpx",
    "pydantic",
    "apache-airflow",
    "apache-airflow-providers-dbt-cloud",
    "apache-airflow-providers-databricks",
    "apache-airflow-providers-airbyte",
    "aiohttp",
    "prefect",
    "prefect-databricks",
    "retab",
)
_ASK = """
import importlib.metadata as metadata, json, platform, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps({"python": platform.python_version(), **found}))
"""


def machine() -> dict[str, Any]:
    """Return the processor, cores, memory, system and Python of this machine."""
    return {
        "processor": _line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, dict[str, str]]:
    """Return the versions that matter, by venv."""
    found = {}
    for venv in VENVS:
        python = ROOT / ".venvs" / venv / "bin" / "python"
        answer = subprocess.run([python, "-c", _ASK, *PACKAGES], check=True, capture_output=True, text=True)
        found[venv] = json.loads(answer.stdout)
    return found


def _line(path: str, name: str) -> str | None:
    place = Path(path)
    lines = place.read_text().splitlines() if place.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
