import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.hosts.processes import Process, ProcessError, free_port, stop_all, wait_until, with_default_signals

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
FOREVER = "import time\nprint('ready', flush=True)\ntime.sleep(3600)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
FAMILY = (
    "import os, subprocess, sys\n"
    f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], process_group=0)\n"
    "print(child.pid, flush=True)\n" + FOREVER
)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def ended(process):
    """End a process after the block, whatever became of it."""
    try:
        yield
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.fixture
def start(tmp_path):
    started = []

    def run(script):
        started.append(Process("it", [sys.executable, "-c", script], output=tmp_path / "it.log"))
        return started[-1]

    yield run
    stop_all(started, grace=0.1)


def test_what_it_writes_is_in_its_file(start):
    process = start(FOREVER)

    process.wait_until(lambda: "ready" in process.tail(), timeout=60)

    assert process.tail() == "ready"
    assert process.is_running


def test_process_that_ends_early_tells_why(start):
    process = start("raise SystemExit('no such thing')")

    with pytest.raises(ProcessError, match=r"it ended with code 1:\nno such thing"):
        process.wait_until(lambda: False, timeout=60)


def test_process_that_is_never_ready_tells_what_it_did(start):
    process = start(FOREVER)
    process.wait_until(lambda: "ready" in process.tail(), timeout=60)

    with pytest.raises(ProcessError, match=r"waited 0.3 s for it to be ready:\nready"):
        process.wait_until(lambda: False, timeout=0.3)


def test_waiting_for_a_failure_raises(start):
    with pytest.raises(ProcessError, match="code 3"):
        start("raise SystemExit(3)").wait(timeout=60)


def test_waiting_too_long_raises_and_stops_nothing(start):
    process = start(FOREVER)

    with pytest.raises(ProcessError, match="still runs"):
        process.wait(timeout=0.2)

    assert process.is_running


@pytest.mark.parametrize("script", [FOREVER, STUBBORN], ids=["willing", "stubborn"])
def test_stop_ends_it(start, script):
    process = start(script)
    process.wait_until(lambda: "ready" in process.tail(), timeout=60)

    process.stop(grace=0.5)

    assert not process.is_running


@pytest.mark.parametrize("end", [lambda process: process.stop(grace=0.5), Process.kill], ids=["stop", "kill"])
def test_descendants_in_groups_of_their_own_end_with_it(start, end):
    process = start(FAMILY)
    process.wait_until(lambda: process.tail().count("ready") == 2, timeout=60)
    child = next(int(line) for line in process.tail().splitlines() if line.isdigit())
    assert is_alive(child)

    end(process)

    wait_until(lambda: not is_alive(child), timeout=5, what="the child's end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_terminate_leave_nothing_behind(number, tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from dev.hosts.processes import Process, exit_on_terminate\n"
        "exit_on_terminate()\n"
        f"process = Process('it', [sys.executable, '-c', {FOREVER!r}], output=Path({str(tmp_path / 'it.log')!r}))\n"
        "try:\n"
        "    print(process.pid, flush=True)\n"
        "    process.wait(3600)\n"
        "finally:\n"
        "    process.stop()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        with_default_signals([sys.executable, "-c", script]),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with ended(process):
        pid = int(process.stdout.readline())
        process.send_signal(number)
        process.wait(timeout=30)

    wait_until(lambda: not is_alive(pid), timeout=10, what="the process' end")


IGNORING = (
    "import signal, sys\nfrom pathlib import Path\n"
    "for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):\n"
    "    signal.signal(number, signal.SIG_IGN)\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))\n"
    "from dev.hosts.processes import Process\n"
    "process = Process('it', [sys.executable, '-c', sys.argv[1]], output=Path(sys.argv[2]))\n"
    "try:\n"
    "    process.wait_until(lambda: 'ready' in process.tail(), timeout=60)\n"
    "    process._popen.send_signal(int(sys.argv[3]))\n"
    "    process._popen.wait(30)\n"
    "finally:\n"
    "    process.kill()\n"
    "print(process._popen.returncode)\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_a_process_ends_by_its_signal_although_its_parent_ignores_it(number, tmp_path):
    """What a shell starts in the background ignores SIGINT, and so would all that is started from there."""
    asked = [sys.executable, "-c", IGNORING, FOREVER, tmp_path / "it.log", str(int(number))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    parent = subprocess.run(asked, capture_output=True, text=True, check=False, env=environment, timeout=120)

    assert (parent.stdout.strip(), parent.stderr) == (str(-number), "")


def test_a_program_that_is_not_there_is_told_by_its_name(tmp_path):
    process = Process("it", [tmp_path / "nowhere"], output=tmp_path / "it.log")

    with pytest.raises(ProcessError, match=r"cannot start .*nowhere: No such file or directory"):
        process.wait(timeout=30)


def test_free_port_can_be_listened_on():
    assert 1024 < free_port() < 65536


def test_wait_until_says_what_it_waited_for():
    began = time.monotonic()

    with pytest.raises(TimeoutError, match=r"waited 0.2 s for rain"):
        wait_until(lambda: False, timeout=0.2, what="rain", interval=0.05)

    assert time.monotonic() - began < 2
