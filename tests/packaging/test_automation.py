"""What runs by itself, before a commit and on a server, runs what a developer runs by hand."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


def prerequisites(target: str) -> list[str]:
    (found,) = re.findall(rf"^{target}:(.*?)(?: ##.*)?$", MAKEFILE, re.MULTILINE)
    return found.split()


def test_the_hooks_run_what_make_check_runs():
    (local,) = HOOKS["repos"]
    entries = [hook["entry"].split() for hook in local["hooks"]]

    assert local["repo"] == "local"
    assert [words[0] for words in entries] == ["make"] * len(entries)
    assert [target for _, target in entries] == prerequisites("check")
    assert not any(hook["pass_filenames"] for hook in local["hooks"])


def test_every_hook_is_installed_for_its_stage():
    stages = {stage for hook in HOOKS["repos"][0]["hooks"] for stage in hook["stages"]}

    assert stages == set(HOOKS["default_install_hook_types"])


def test_the_workflow_checks_out_and_runs_what_has_to_pass():
    (job,) = WORKFLOW["jobs"].values()
    checkout, python, run = job["steps"]

    assert checkout["uses"].startswith("actions/checkout@v")
    assert python["uses"].startswith("actions/setup-python@v")
    assert run == {"run": ".ci/run"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert job["timeout-minutes"] <= 120
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_the_workflow_runs_for_main_and_for_every_pull_request():
    when = WORKFLOW[True]  # YAML 1.1 reads the key `on` as true

    assert when == {"push": {"branches": ["main"]}, "pull_request": None}


@pytest.mark.parametrize("environment", ["airflow-floor", "prefect-floor", "sdk-0.0.112", "core"])
def test_the_workflow_has_a_python_that_the_environments_take(environment):
    (job,) = WORKFLOW["jobs"].values()
    python = tuple(map(int, job["steps"][1]["with"]["python-version"].split(".")))
    ranges = dict(re.findall(r"^PYTHON_RANGE_(\S+) := (.+)", MAKEFILE, re.MULTILINE))
    (usual,) = re.findall(r"\$\(or \$\(PYTHON_RANGE_\$\(1\)\),([\d. ]+)\)", MAKEFILE)
    lowest, below = (tuple(map(int, word.split("."))) for word in ranges.get(environment, usual).split())

    assert lowest <= python < below


def test_help_shows_first_what_most_come_for():
    shown = subprocess.run(
        [shutil.which("make"), "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    first, _, rest = shown.stdout.partition("\n\n")
    documented = re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)

    names = [line.split()[1] for line in first.splitlines()]
    others = [line.split()[1] for line in rest.splitlines()]
    assert names == [name for name in ("demo", "test", "check", "bench", "docs") if name in documented]
    assert sorted(names + others) == sorted(documented)
