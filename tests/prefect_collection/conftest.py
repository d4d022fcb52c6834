import asyncio
import importlib.util
import os
import tempfile
from datetime import UTC, datetime

import pytest

from tests.invoices import invoice_pdf

if importlib.util.find_spec("prefect"):
    # Before Prefect is imported: it reads its settings then, and must leave the user's own home alone.
    _home = tempfile.TemporaryDirectory(prefix="prefect-home-", ignore_cleanup_errors=True)
    os.environ.update(
        {"PREFECT_HOME": _home.name, "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    )
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"):
        os.environ.pop(name, None)
else:
    collect_ignore_glob = ["test_*.py"]

API_KEY = "sk_retab_test_do-not-show-me"


@pytest.fixture(scope="session")
def running_emulator():
    from retab_orchestration.emulator import Emulator

    with Emulator(speed=20.0, idempotency="ignored") as emulator:
        yield emulator


@pytest.fixture
def emulator(running_emulator, monkeypatch):
    running_emulator.reset()
    monkeypatch.setenv("RETAB_API_KEY", API_KEY)
    monkeypatch.setenv("RETAB_API_BASE_URL", running_emulator.url)
    return running_emulator


@pytest.fixture
def invoice(tmp_path):
    path = tmp_path / "invoice.pdf"
    path.write_bytes(invoice_pdf())
    return path


@pytest.fixture
def inputs(monkeypatch):
    """Prefect's server, as far as it keeps the inputs of a flow run: a key can be written only once."""
    import httpx
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL, temporary_settings

    kept = {}

    def answer(status, content):
        return httpx.Response(status, json=content, request=httpx.Request("POST", "http://prefect.test"))

    def request(_, method, path, *, path_params, json):
        if path.endswith("/filter"):
            found = [each for key, each in kept.items() if key.startswith(json["prefix"])]
            return answer(200, [each for each in found if each["key"] not in json["exclude_keys"]])
        if json["key"] in kept:
            error = answer(409, {})
            raise PrefectHTTPStatusError("taken", request=error.request, response=error)
        kept[json["key"]] = {**json, "created": datetime.now(UTC).isoformat()}
        return answer(201, {})

    def read(_, flow_run_id, key):
        if key not in kept:
            error = answer(404, {})
            raise PrefectHTTPStatusError("none", request=error.request, response=error)
        return kept[key]["value"]

    monkeypatch.setattr(SyncPrefectClient, "read_flow_run_input", read)
    monkeypatch.setattr(SyncPrefectClient, "request", request)
    with temporary_settings({PREFECT_API_URL: "http://prefect.test/api"}):
        yield kept


@pytest.fixture(params=["blocking", "async"])
def call(request):
    """Call a task's or flow's function in one colour or the other, without Prefect's engine around it."""
    import prefect_collection

    def blocking(name, *args, **kwargs):
        return getattr(prefect_collection, name).fn(*args, **kwargs)

    def awaiting(name, *args, **kwargs):
        return asyncio.run(getattr(prefect_collection, f"a{name}").fn(*args, **kwargs))

    return blocking if request.param == "blocking" else awaiting
