"""A wheel built from this tree, installed where nothing else is, imports and runs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venvs" / "uv" / "bin" / "uv"
PACKAGES = ("retab_orchestration", "airflow_provider", "prefect_collection")

RUN_A_WORKFLOW = """
from retab_orchestration import RetabClient
from retab_orchestration.emulator import Emulator

with Emulator(speed=100) as emulator, RetabClient("any-key", emulator.url) as client:
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"greeting": "hello"}})
    run = client.wait_for_run(run.id, timeout=60).raise_for_status()
    print(run.final_outputs)
"""


def output_of(*command: object, cwd: Path) -> str:
    answer = subprocess.run(
        list(map(str, command)),
        check=False,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    output_of(UV, "build", "--wheel", "--quiet", "--out-dir", folder, cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def empty_venv(tmp_path) -> Path:
    output_of(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    return tmp_path / "venv"


def install(venv: Path, what: str) -> None:
    output_of(UV, "pip", "install", "--quiet", "--python", venv, what, cwd=venv)


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    info = "retab_orchestration-0.1.0.dist-info"
    assert {name.split("/")[0] for name in names} == {*PACKAGES, info}
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert f"{info}/licenses/LICENSE" in names


def test_the_core_installs_and_imports_alone(wheel, empty_venv):
    install(empty_venv, str(wheel))

    names = output_of(
        empty_venv / "bin" / "python",
        "-c",
        "import retab_orchestration as core; print(core.__file__, *[getattr(core, n).__name__ for n in core.__all__])",
        cwd=empty_venv,
    )
    installed = output_of(UV, "pip", "list", "--quiet", "--python", empty_venv, cwd=empty_venv)

    assert names.startswith(str(empty_venv))
    assert not {"starlette", "uvicorn", "typer", "pypdf", "apache-airflow", "prefect"} & set(
        installed.split()
    )


def test_the_emulator_extra_runs_a_workflow(wheel, empty_venv):
    install(empty_venv, f"retab-orchestration[emulator] @ {wheel.as_uri()}")

    usage = output_of(empty_venv / "bin" / "retab-emulator", "--help", cwd=empty_venv)
    outputs = output_of(empty_venv / "bin" / "python", "-c", RUN_A_WORKFLOW, cwd=empty_venv)

    assert "port" in usage
    assert "hello" in outputs
