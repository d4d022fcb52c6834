"""The official SDK, in venvs of its own, against the emulator: what keeps the emulator honest."""

import subprocess
from pathlib import Path

import pytest

from retab_orchestration.emulator import Emulator
from tests.sdk.venvs import python_of

HERE = Path(__file__).parent
LEGS = {"0.0.95": "classic", "0.0.112": "classic", "0.0.160": "current"}


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
