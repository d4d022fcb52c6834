"""One Airflow of four processes for all tests that need one, on PostgreSQL where there is one, and their Retabs."""

import json
import shutil
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from dev.hosts.airflow_host import AirflowHost
from retab_orchestration.emulator import Emulator
from tests.crash import account, postgres
from tests.readme import block_with

ROOT = Path(__file__).parents[1]
DAGS = ("example_dags", "tests/system/airflow/dags", "tests/crash/airflow/dags")
KEY = "rt_test_77aa10"
ACCOUNTS = 12


@dataclass
class RealAirflow:
    """The host and what its connections lead to."""

    host: AirflowHost
    emulator: Emulator
    """Of `retab_default` and, by its classic routes, of `retab_classic`."""
    accounts: list
    """Each with a Retab of its own."""
    database: str
    """`PostgreSQL 15.8` or `SQLite`."""
    url: str | None
    """PostgreSQL's, None for SQLite, which is a file in the host's home."""

    @property
    def versions(self):
        return {"Airflow": version("apache-airflow"), "database": self.database}

    def dump(self, path):
        """Write every row of every table to a file, where the database is no file itself."""
        if self.url is None:
            return
        import psycopg2

        address = self.url.replace("+psycopg2", "")
        with (
            closing(psycopg2.connect(address)) as database,
            database.cursor() as cursor,
            path.open("wb") as file,
        ):
            for query in _tables(cursor):
                cursor.execute(query)
                for row in cursor:
                    values = (value if isinstance(value, str) else bytes(value or b"") for value in row)
                    file.write(
                        b"\t".join(value.encode() if isinstance(value, str) else value for value in values)
                    )
                    file.write(b"\n")


@contextmanager
def booted():
    """Boot all of it, and stop it again."""
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator(api_key=KEY))
        accounts = stack.enter_context(account.opened_accounts(ACCOUNTS))
        database, url = _database(stack)
        env = {
            **({"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url} if url else {}),
            **_settings(),
            **_connections(emulator, accounts),
        }
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dags-")))
        for source in DAGS:
            shutil.copytree(ROOT / source, folder, dirs_exist_ok=True)
        (folder / "readme.py").write_text(block_with("airflow.sdk"))
        host = AirflowHost(ROOT / ".venvs" / "airflow", folder, env=env, parallelism=8)
        yield RealAirflow(stack.enter_context(host), emulator, accounts, database, url)


def _database(stack):
    bin_dir = postgres.programs()
    if bin_dir is None:
        return "SQLite", None
    url, name = stack.enter_context(postgres.cluster(bin_dir))
    return name, url


def _settings():
    settings = {
        # So that whatever could leak a secret into a log does.
        "LOGGING__LOGGING_LEVEL": "DEBUG",
        # Airflow is to notice within seconds what it takes minutes to notice by default.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 30,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 20,
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 5,
        "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": 2,
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 20,
    }
    return {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}


def _connections(emulator, accounts):
    extras = {
        "retab_default": {"dashboard_url": emulator.url + "/runs/{run_id}"},
        "retab_classic": {"api": "classic", "auth": "api-key"},
    }
    connections = {
        name: {"conn_type": "retab", "host": emulator.url, "password": KEY, "extra": extra}
        for name, extra in extras.items()
    } | {
        each.name: {"conn_type": "retab", "host": each.emulator.url, "password": account.KEY}
        for each in accounts
    }
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(each) for name, each in connections.items()}


def _tables(cursor):
    """Return a query for each table: its bytes as they are, everything else as text."""
    cursor.execute(
        "SELECT table_name, string_agg(quote_ident(column_name) || CASE data_type WHEN 'bytea' THEN '' ELSE '::text' "
        "END, ', ') FROM information_schema.columns WHERE table_schema = 'public' GROUP BY table_name"
    )
    return [f'SELECT {columns} FROM "{table}"' for table, columns in cursor.fetchall()]  # noqa: S608
