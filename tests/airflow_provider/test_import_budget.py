"""A DAG file that names our operators parses fast: what they import is counted, and every newcomer named."""

import json
import os
import subprocess
import sys

import pytest

BUDGET = 40

# Modules of others that may come with our operators, beyond Airflow's SDK: each makes every DAG file slower.
KNOWN = {
    "airflow.models.baseoperatorlink",
    "airflow.models.connection",
    "airflow.models.crypto",
    "airflow.providers.common",
    "airflow.providers.common.compat",
    "airflow.providers.common.compat._compat_utils",
    "airflow.providers.common.compat.connection",
    "airflow.providers.common.compat.sdk",
    "airflow.providers.common.compat.version_compat",
    "airflow.sdk.bases.hook",
    "airflow.sdk.bases.operatorlink",
    "airflow.sdk.bases.sensor",
    "airflow.sdk.definitions.connection",
    "airflow.secrets.cache",
    "airflow.triggers",
    "airflow.triggers.base",
    "airflow.triggers.external_task",
    "airflow.triggers.file",
    "airflow.triggers.temporal",
    "pydantic.functional_serializers",
}

IMPORT = """
import importlib, json, sys
# Airflow 2 has no SDK: there every DAG file needs these.
bases = ["airflow.models.baseoperator", "airflow.sensors.base", "airflow.hooks.base", "airflow.triggers.base"]
for module in ["airflow.sdk"] if sys.argv[1] == "3" else bases:
    importlib.import_module(module)
before = set(sys.modules)
import airflow_provider.operators, airflow_provider.sensors
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture(scope="module")
def imported():
    from importlib.metadata import version

    major = version("apache-airflow").partition(".")[0]
    answer = subprocess.run(
        [sys.executable, "-c", IMPORT, major],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ.copy(),
    )
    return json.loads(answer.stdout.splitlines()[-1])


def test_importing_the_operators_takes_few_modules(imported):
    assert "airflow_provider.operators" in imported
    assert len(imported) <= BUDGET, f"{len(imported)} modules: {imported}"


def test_every_module_of_others_is_known(imported):
    others = {name for name in imported if name.partition(".")[0] != "airflow_provider"}

    assert sorted(others - KNOWN) == []
