"""The official SDK, in venvs of its own, against the emulator: what keeps the emulator honest."""

import subprocess
from pathlib import Path

import pytest

from retab_orchestration.emulator import Emulator

HERE = Path(__file__).parent
VENVS = HERE.parents[1] / ".venvs"

LEGS = {"0.0.95": "classic", "0.0.112": "classic", "0.0.160": "current"}
MISSING = {
    "0.0.95": "retab 0.0.95 has no venv: `make sdks` builds it where there is a Python 3.12 or newer",
    "0.0.112": "retab 0.0.112 has no venv: no Python 3.12 or newer was found, and it imports on nothing older",
}


def python_of(version):
    python = VENVS / f"sdk-{version}" / "bin" / "python"
    if not python.exists():
        if version in MISSING:
            pytest.skip(MISSING[version])
        pytest.fail(f"{python} is missing: run `make sdk-venvs`")
    return python


@pytest.mark.system
@pytest.mark.parametrize(("version", "api"), [(v, api) for v, own in LEGS.items() for api in ("both", own)])
def test_official_sdk_works_against_the_emulator(version, api):
    python = python_of(version)
    script = HERE / f"leg_{version.replace('.', '_')}.py"
    with Emulator(api=api, api_key="rt_test_right", speed=5) as emulator:
        leg = subprocess.run(
            [python, script, emulator.url], capture_output=True, text=True, timeout=300, check=False
        )
        assert leg.returncode == 0, leg.stdout + leg.stderr
        assert leg.stderr == ""
        assert emulator.stats()["runs_created"] > 0
