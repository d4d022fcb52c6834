"""Start a process, wait until it is ready, and end it together with everything that it started."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType

_LAUNCH = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.exit(f"cannot start {sys.argv[1]}: {error.strerror}")
"""

_KILL_TIMEOUT = 30.0
"""Seconds within which a process is gone that was killed; more means that it hangs in the kernel."""


class ProcessError(RuntimeError):
    """A process ended, or was not ready in time; the message ends with the last lines that it wrote."""


class Process:
    """A process in a session of its own, which writes to a file and never to our terminal."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        output: Path,
        errors: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start `command`.

        Args:
            name: What to call it in errors, `scheduler`.
            command: The program, by its path, and its arguments.
            output: The file that its two output streams are appended to.
            errors: The file for its error stream alone; None is `output` for both.
            env: Its whole environment; None hands ours on.
            cwd: Its working directory; None is ours.
        """
        self.name = name
        self.output = output
        output.parent.mkdir(parents=True, exist_ok=True)
        self.errors = errors or output
        with output.open("ab") as stream, self.errors.open("ab") as error_stream:
            # A session of its own: Ctrl-C in the terminal reaches us alone, and we end it in our own order.
            self._popen = subprocess.Popen(
                with_default_signals(command),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=error_stream,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its session."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def tail(self, lines: int = 30) -> str:
        """Return the last lines that it wrote, of its error stream if that has a file of its own."""
        text = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def check(self) -> None:
        """Raise ProcessError if it has ended."""
        if not self.is_running:
            raise ProcessError(f"{self.name} ended with code {self._popen.returncode}:\n{self.tail()}")

    def wait(self, timeout: float) -> None:
        """Wait for its end, which must be a success.

        Args:
            timeout: Seconds.

        Raises:
            ProcessError: It failed, or still runs after `timeout`; it is not stopped then.
        """
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.name} still runs after {timeout:g} s:\n{self.tail()}") from None
        if code != 0:
            raise ProcessError(f"{self.name} ended with code {code}:\n{self.tail()}")

    def wait_until(self, condition: Callable[[], bool], *, timeout: float, what: str = "ready") -> None:
        """Ask `condition` until it says yes.

        Raises:
            ProcessError: The process ended first, or `timeout` seconds passed.
        """

        def holds() -> bool:
            self.check()
            return condition()

        try:
            wait_until(holds, timeout=timeout, what=f"{self.name} to be {what}")
        except TimeoutError as error:
            raise ProcessError(f"{error}:\n{self.tail()}") from None

    def kill(self) -> None:
        """End it and its descendants at once, as a crash would."""
        _kill_session(self.pid)
        try:
            self._popen.wait(_KILL_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ProcessError(
                f"{self.name} was killed and is still there after {_KILL_TIMEOUT:g} s"
            ) from None

    def stop(self, grace: float = 10.0) -> None:
        """Ask it to end, and kill after `grace` seconds what is left of it and of its descendants."""
        stop_all([self], grace)


def with_default_signals(command: Sequence[str | Path]) -> list[str]:
    """Return a command that runs `command`, under the same process id, with the signals that end it as by default.

    A shell starts what it runs in the background (`make test &`) with SIGINT ignored, and whatever is started from
    there ignores it as well. A program of its own sets that right, for between fork and exec no Python code is safe in
    a process with threads, and changing our own signals for the moment is for the main thread alone.
    """
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, *map(str, command)]


def stop_all(processes: Iterable[Process], grace: float = 10.0) -> None:
    """Ask all to end at the same time, and kill after `grace` seconds what is left of any of them."""
    stopping = list(processes)
    deadline = time.monotonic() + grace
    try:
        for process in stopping:
            if process.is_running:
                os.kill(process.pid, signal.SIGTERM)
        while any(process.is_running for process in stopping) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        with contextlib.ExitStack() as killing:
            for process in reversed(stopping):
                killing.callback(process.kill)


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str, interval: float = 0.2) -> None:
    """Ask `condition` every `interval` seconds until it says yes.

    Raises:
        TimeoutError: `timeout` seconds passed; the message names `what` was waited for.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(interval)


def free_port() -> int:
    """Return a loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def exit_on_terminate() -> None:
    """Let SIGTERM end us as an exception does, so that `finally` and `with` stop what was started."""

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def _kill_session(leader: int) -> None:
    # Airflow gives each task a process group of its own, so a group is not enough; the session has them all.
    killed: set[int] = set()
    while found := _session(leader) - killed:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= found


def _session(leader: int) -> set[int]:
    members = set()
    for pid in _process_ids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                members.add(pid)
    return members


def _process_ids() -> list[int]:
    proc = Path("/proc")
    if (proc / "self").exists():
        return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]
    listing = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True, timeout=10
    )
    return [int(line) for line in listing.stdout.split()]
