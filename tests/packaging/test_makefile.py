"""The Makefile runs every test there is."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dev.hosts.processes import wait_until
from tests.conftest import BOOTING, STRIKING

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
PYTEST = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
FOLDERS = sorted({path.parent.relative_to(ROOT) for path in ROOT.glob("tests/**/test_*.py")})


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_tests_is_named_in_the_makefile(folder):
    named = {Path(word) for word in re.findall(r"\btests/[\w/]+", MAKEFILE)}

    assert named & {folder, *folder.parents}


@pytest.mark.parametrize(
    "environment", re.findall(r"^ENVIRONMENTS := (.+)", MAKEFILE, re.MULTILINE)[0].split()
)
def test_an_environment_has_what_ends_a_test_that_hangs(environment):
    pins = (ROOT / "dev" / "requirements" / f"{environment}.txt").read_text()

    assert re.search(r"^pytest-timeout==\d", pins, re.MULTILINE)


@pytest.mark.parametrize("host", ["airflow", "airflow-floor", "prefect", "prefect-floor"])
def test_the_newest_and_the_oldest_of_a_host_run_unit_tests_and_a_system_test(host):
    run = re.findall(rf"\$\(call PYTEST,{host}\) -m (\"not system\"|system) ", MAKEFILE)

    assert {'"not system"', "system"} <= set(run)


def test_every_test_has_a_limit_of_time_and_so_has_its_process(pytestconfig):
    assert 0 < PYTEST["timeout"] <= 600
    assert PYTEST["timeout_method"] == "signal"
    assert PYTEST["faulthandler_timeout"] > max(BOOTING, STRIKING)
    assert PYTEST["faulthandler_exit_on_timeout"] is True
    assert pytestconfig.pluginmanager.has_plugin("timeout")


HANGS = """
import subprocess, sys, time
from pathlib import Path
import pytest

@pytest.fixture
def child(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait(30)
    Path("ended").touch()

def test_it_waits_for_ever(child):
    child.wait()
"""


def test_a_test_that_hangs_fails_and_its_fixtures_end_what_they_have_started(pytester):
    pytester.makepyfile(HANGS)
    pytester.makefile(".ini", pytest="[pytest]\ntimeout = 1\ntimeout_method = signal\n")

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=120)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Timeout*1.0s*"])
    assert (pytester.path / "ended").exists()


def test_whoever_ends_the_tests_ends_what_their_fixtures_have_started(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest("from tests.conftest import pytest_configure\n")
    pytester.makepyfile(HANGS.replace("    yield process", "    Path('started').touch()\n    yield process"))
    tests = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=pytester.path,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until((pytester.path / "started").exists, timeout=60.0, what="the test")
        tests.terminate()
        tests.wait(60)
    finally:
        tests.kill()
        tests.wait(60)

    assert (pytester.path / "ended").exists()


def test_a_process_of_tests_ends_although_a_thread_of_theirs_does_not(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(
        "from tests import conftest\nconftest.LEAVING = 1\npytest_unconfigure = conftest.pytest_unconfigure\n"
    )
    pytester.makepyfile(
        "import threading\ndef test_it():\n    threading.Thread(target=threading.Event().wait).start()\n"
    )

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=120)

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*1 passed*"])
    result.stderr.fnmatch_lines(["Timeout (0:00:01)!"])
