"""A PostgreSQL of the tests' own, where its programs are found: temporary, on loopback, as an unprivileged user."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from dev.hosts.processes import Process, free_port, wait_until


def programs():
    """Return the directory of `initdb`, None where there is no PostgreSQL."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    # Debian keeps the server's programs off the PATH.
    return max((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


@contextmanager
def cluster(bin_dir):
    """Start a cluster with an empty database `airflow`, and yield its URL for SQLAlchemy and its version."""
    place = Path(tempfile.mkdtemp(prefix="postgres-"))
    as_user = _unprivileged(place)
    port = free_port()
    try:
        _run([*as_user, bin_dir / "initdb", "-D", place / "data", "-U", "airflow", "-A", "trust", "-N"])
        server = Process(
            "postgres",
            [*as_user, bin_dir / "postgres", "-D", place / "data", *_settings(place, port)],
            output=place / "server.log",
            cwd=place,
        )
        try:
            server.wait_until(lambda: _is_ready(bin_dir, port), timeout=60)
            _run([bin_dir / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "airflow", "airflow"])
            version = _run([bin_dir / "postgres", "--version"]).split()[2]
            yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/airflow", f"PostgreSQL {version}"
        finally:
            server.kill()
    finally:
        _remove(place)


def _unprivileged(place):
    """Return how to start a program as a user that PostgreSQL accepts, which is anybody but root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("nobody")
    os.chown(place, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _settings(place, port):
    # What a test writes need not survive the machine, only the processes that are killed.
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": place,
        "fsync": "off",
        "max_connections": 200,
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _is_ready(bin_dir, port):
    asked = [str(bin_dir / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(asked, check=False, timeout=30).returncode == 0


def _run(command):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd="/", timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(str(command[0])).name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _remove(place):
    # Its processes may still be writing their last.
    def is_gone():
        shutil.rmtree(place, ignore_errors=True)
        return not place.exists()

    with suppress(TimeoutError):
        wait_until(is_gone, timeout=10, what="the cluster's files to go")
