"""What the distribution promises: floors that are tested, pins without addresses, a core that stands alone."""

import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import airflow_provider
import retab_orchestration

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
PACKAGES = ("retab_orchestration", "airflow_provider", "prefect_collection")
EXTRAS = PROJECT["optional-dependencies"]
PIN_FILES = sorted((ROOT / "dev" / "requirements").glob("*.txt"))
PIN = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][A-Za-z0-9.+!]*( ; [a-z_]+ .+)?")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "dev" / "requirements" / f"{name}.txt").read_text().splitlines()
    return dict(line.partition(" ;")[0].split("==") for line in lines)


def floors(*groups: list[str]) -> list[Requirement]:
    return [Requirement(text) for group in groups for text in group]


@pytest.mark.parametrize("requirement", floors(PROJECT["dependencies"], *EXTRAS.values()), ids=str)
def test_a_dependency_is_a_floor_without_a_cap(requirement):
    (specifier,) = requirement.specifier

    assert specifier.operator == ">="


@pytest.mark.parametrize(
    "requirement", floors(PROJECT["dependencies"], EXTRAS["airflow"], EXTRAS["emulator"]), ids=str
)
def test_the_floor_environment_is_resolved_to_the_floors(requirement):
    pin = pins("airflow-floor")[requirement.name]

    # >=2.11 is tested as 2.11.0
    (specifier,) = requirement.specifier
    assert specifier.contains(pin)
    assert re.fullmatch(rf"{re.escape(specifier.version)}(\.0)*", pin)


def test_the_oldest_prefect_that_is_promised_is_the_one_that_is_tested():
    (requirement,) = floors(EXTRAS["prefect"])
    (specifier,) = requirement.specifier

    assert re.fullmatch(rf"{re.escape(specifier.version)}(\.0)*", pins("prefect-floor")["prefect"])


@pytest.mark.parametrize("path", PIN_FILES, ids=lambda path: path.stem)
def test_a_pin_is_a_name_and_a_version(path):
    lines = path.read_text().splitlines()

    assert lines
    assert [line for line in lines if not PIN.fullmatch(line)] == []


def test_every_source_has_its_pins():
    groups = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"])

    assert groups - {"tests"} == {path.stem for path in PIN_FILES}


def test_the_newest_environments_hold_the_series_they_are_named_for():
    assert pins("airflow")["apache-airflow"].startswith("3.3.")
    assert pins("airflow-floor")["apache-airflow"].startswith("2.11.")
    assert pins("prefect")["prefect"].startswith("3.")
    assert pins("prefect-floor")["prefect"].startswith("3.4.")


def test_the_version_is_written_in_one_place():
    assert "version" in PROJECT["dynamic"]
    assert importlib.metadata.version("retab-orchestration") == retab_orchestration.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", retab_orchestration.__version__)


def test_the_addresses_are_those_that_the_provider_info_has():
    urls = importlib.metadata.metadata("retab-orchestration").get_all("Project-URL")
    info = airflow_provider.get_provider_info()

    assert f"Documentation, {info['integrations'][0]['external-doc-url']}" in urls
    assert all(url.partition(", ")[2] in README for url in urls if url.startswith("Homepage"))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("apache_airflow_provider", "provider_info", "airflow_provider:get_provider_info"),
        ("prefect.collections", "prefect_collection", "prefect_collection"),
        ("console_scripts", "retab-emulator", "retab_orchestration.emulator.__main__:main"),
    ],
)
def test_an_entry_point_is_registered(group, name, value):
    entry_points = importlib.metadata.distribution("retab-orchestration").entry_points

    (found,) = entry_points.select(group=group, name=name)

    assert found.value == value


def test_the_provider_info_loads_without_airflow():
    entry_points = importlib.metadata.distribution("retab-orchestration").entry_points
    (provider_info,) = entry_points.select(group="apache_airflow_provider")

    info = provider_info.load()()

    assert info["package-name"] == "retab-orchestration"


def test_every_public_name_is_there():
    core = importlib.import_module("retab_orchestration")

    assert list(core.__all__) == sorted(core.__all__)
    assert [name for name in core.__all__ if not hasattr(core, name)] == []


def test_the_core_imports_nothing_of_its_extras():
    modules = "'airflow', 'prefect', 'pypdf', 'starlette', 'typer', 'uvicorn', 'yaml', 'retab_orchestration.emulator'"
    code = f"import sys, retab_orchestration; print([name for name in ({modules}) if name in sys.modules])"

    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )

    assert answer.stdout.strip() == "[]"
