import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider import get_provider_info

AIRFLOW = Path(airflow.__file__).parent


def test_provider_info_fits_the_schema_of_this_airflow():
    schema = json.loads((AIRFLOW / "provider_info.schema.json").read_text())

    jsonschema.validate(get_provider_info(), schema)


def test_connection_form_fits_the_schema_of_this_airflow():
    schema = json.loads((AIRFLOW / "provider.yaml.schema.json").read_text())["properties"]

    jsonschema.validate(get_provider_info()["connection-types"], schema["connection-types"])


def test_everything_it_names_exists():
    info = get_provider_info()
    paths = [info["connection-types"][0]["hook-class-name"], *info["extra-links"]]
    modules = [
        part["python-modules"]
        for kind in ("operators", "sensors", "hooks", "triggers")
        for part in info[kind]
    ]

    for path in paths:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name)
    for [module] in modules:
        import_module(module)


def test_provider_info_is_read_without_airflow():
    script = "import sys, airflow_provider; airflow_provider.get_provider_info(); sys.exit('airflow' in sys.modules)"

    subprocess.run([sys.executable, "-c", script], check=True)


def test_operators_are_imported_without_the_core():
    script = (
        "import sys, airflow_provider.operators, airflow_provider.sensors\n"
        "sys.exit('retab_orchestration' in sys.modules or 'airflow_provider.triggers' in sys.modules)"
    )

    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ.copy())


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("list", "retab-orchestration"),
        ("hooks", "airflow_provider.hooks.RetabHook"),
        ("links", "RetabRunLink"),
    ],
)
def test_airflow_shows_the_provider(airflow_database, capsys, what, expected):
    from airflow.cli import cli_parser

    arguments = cli_parser.get_parser().parse_args(["providers", what, "--output", "json"])
    arguments.func(arguments)

    assert expected in capsys.readouterr().out
