import subprocess
import sys

import retab_orchestration


def test_the_exported_names_are_sorted_and_there():
    names = retab_orchestration.__all__

    assert names == sorted(names)
    assert all(hasattr(retab_orchestration, name) for name in names)


def test_nothing_else_looks_public():
    modules = {
        "client",
        "documents",
        "emulator",
        "errors",
        "identity",
        "models",
        "policies",
        "settings",
        "webhooks",
    }

    public = {name for name in vars(retab_orchestration) if not name.startswith("_")}

    assert public <= set(retab_orchestration.__all__) | modules


def test_importing_the_core_brings_neither_a_host_nor_a_server():
    script = (
        "import sys, retab_orchestration\n"
        "unwanted = {'airflow', 'prefect', 'starlette', 'uvicorn', 'pypdf', 'yaml', 'typer'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
