"""`make release-check`: build what would be released, serve it as an index does, install it from there, and use it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from dev.hosts.processes import Process, exit_on_terminate, free_port, stop_all
from retab_orchestration import __version__

ROOT = Path(__file__).parents[1]
UV = ROOT / ".venvs" / "uv" / "bin" / "uv"
NAME = "retab-orchestration"
LISTENING = "listening on "

USE = """
import importlib.metadata, json, sys
import retab_orchestration
with retab_orchestration.RetabClient("any-key", sys.argv[1]) as retab:
    run = retab.create_run("wf_echo", json_inputs={"json-node-1": {"greeting": "hello"}})
    run = retab.wait_for_run(run.id, timeout=60).raise_for_status()
print(json.dumps({
    "file": retab_orchestration.__file__,
    "version": retab_orchestration.__version__,
    "metadata": importlib.metadata.metadata("retab-orchestration").json,
    "outputs": run.outputs,
}))
"""


def _output_of(*command: str | Path, cwd: Path) -> str:
    env = {**os.environ, "PIP_USER": "0"}
    done = subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{command} ended with code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _install(into: Path, index: str) -> Path:
    """Install the version that the index has, with the emulator, into a new venv; return its programs."""
    _output_of(sys.executable, "-m", "venv", "--without-pip", into / "venv", cwd=into)
    python = into / "venv" / "bin" / "python"
    wanted = f"{NAME}[emulator]=={__version__}"
    pip = ("python3", "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check")
    _output_of(*pip, "--extra-index-url", index, wanted, cwd=into)
    return python.parent


def _use(programs: Path, into: Path, started: list[Process]) -> Any:
    """Start a run at an emulator, both as they were installed, and return what is known of them then."""
    command = (programs / "retab-emulator", "--speed", "100")
    emulator = Process("retab-emulator", command, output=into / "emulator.log")
    started.append(emulator)
    emulator.wait_until(lambda: LISTENING in emulator.tail(), timeout=60)
    address = emulator.tail().partition(LISTENING)[2].split()[0]
    return json.loads(_output_of(programs / "python", "-I", "-c", USE, address, cwd=into).splitlines()[-1])


def rehearse(into: Path) -> Any:
    """Build, serve, install and use what would be released, all below a folder.

    Returns:
        Of what was installed its `file`, `version` and `metadata`, and the `outputs` of the run.
    """
    simple = into / "simple"
    _output_of(UV, "build", "--quiet", "--out-dir", simple / NAME, ROOT, cwd=into)
    port = str(free_port())
    serve = (sys.executable, "-u", "-m", "http.server", port, "--bind", "127.0.0.1")
    index = Process("index", serve, output=into / "index.log", cwd=simple)
    started = [index]
    try:
        index.wait_until(lambda: "Serving" in index.tail(), timeout=60)
        programs = _install(into, f"http://127.0.0.1:{port}/")
        told = _use(programs, into, started)
    finally:
        stop_all(started)
    if not re.search(r'"GET /\S+\.whl HTTP/1.1" 200', index.output.read_text()):
        raise SystemExit(f"what was installed did not come from here:\n{index.tail()}")
    return {**told, "files": sorted(path.name for path in (simple / NAME).glob("retab_*"))}


if __name__ == "__main__":
    exit_on_terminate()
    folder = ROOT / "build" / "release"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(json.dumps(rehearse(folder), indent=1))
