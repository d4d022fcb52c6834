"""What is built from this tree, installed where nothing else is, imports and runs."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from retab_orchestration import __version__

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


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    output_of(UV, "build", "--sdist", "--quiet", "--out-dir", folder, cwd=ROOT)
    (path,) = folder.glob("*.tar.gz")
    return path


@pytest.fixture
def unpacked(sdist, tmp_path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / f"retab_orchestration-{__version__}"


@pytest.fixture
def empty_venv(tmp_path) -> Path:
    output_of(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    return tmp_path / "venv"


def install(venv: Path, what: str) -> None:
    output_of(UV, "pip", "install", "--quiet", "--python", venv, what, cwd=venv)


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    info = f"retab_orchestration-{__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {*PACKAGES, info}
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert f"{info}/licenses/LICENSE" in names


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this tree is itself out of an sdist")
def test_the_sdist_holds_what_the_repository_holds(unpacked):
    listed = output_of("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT).split(
        "\0"
    )

    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert names - {"PKG-INFO"} == {name for name in listed if name and (ROOT / name).exists()}


def test_tests_run_in_what_the_sdist_holds(unpacked):
    some = (
        "packaging/test_metadata.py",
        "packaging/test_reliability.py",
        "emulator/test_definitions.py",
        "retab_orchestration/test_models_samples.py",
    )

    said = output_of(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "not system",
        *[f"tests/{name}" for name in some],
        cwd=unpacked,
    )

    assert " passed" in said


@pytest.mark.parametrize("built", ["wheel", "sdist"])
def test_the_core_installs_and_imports_alone(built, request, empty_venv):
    install(empty_venv, str(request.getfixturevalue(built)))

    names = output_of(
        empty_venv / "bin" / "python",
        "-c",
        "import retab_orchestration as core; print(core.__file__, *[getattr(core, n) for n in core.__all__])",
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
