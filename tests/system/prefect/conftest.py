import importlib.util

import pytest

from tests.prefect_collection.conftest import emulator, invoice, running_emulator  # noqa: F401

collect_ignore_glob = [] if importlib.util.find_spec("prefect") else ["test_*.py"]


@pytest.fixture
def prefect_api(prefect_host):
    """Let flows that run in this process use the session's server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_host.api_url}):
        yield
