import importlib.util
import sys
from pathlib import Path

import pytest

from hosts.prefect_host import PrefectHost
from tests.prefect_collection.conftest import emulator, invoice, running_emulator  # noqa: F401

collect_ignore_glob = [] if importlib.util.find_spec("prefect") else ["test_*.py"]


@pytest.fixture(scope="session")
def host():
    """A real Prefect server, once for the session; scripts run in the environment of these tests."""
    with PrefectHost(Path(sys.prefix)) as prefect:
        yield prefect
        if "prefect.logging.handlers" in sys.modules:
            # At the end of this process Prefect would try for a minute to send these to a server that is gone.
            sys.modules["prefect.logging.handlers"].APILogHandler().flush()


@pytest.fixture
def prefect_api(host):
    """Let flows that run in this process use the session's server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: host.api_url}):
        yield
