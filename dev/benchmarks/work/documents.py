"""Part 4: what sending one document costs, through our client or the vendor's SDK."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dev.benchmarks.work.meters import peak_since_reset, reset_peak, resident

Send = Callable[[Path], Any]

WORKFLOW, NODE = "wf_bench", "start-node-1"


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Send a document and return the seconds and the memory that took beyond what the process held before.

    Args:
        spec: `sender` (`classic`, `current` or `sdk`), `url`, `path` of the document, `small`: the path of another that
            is sent first, so that whatever is made once is there.
    """
    send = SENDERS[spec["sender"]](spec["url"])
    send(Path(spec["small"]))
    before = resident()
    reset_peak()
    began = time.perf_counter()
    error = None
    try:
        send(Path(spec["path"]))
    except Exception as raised:  # noqa: BLE001  it is part of the result
        error = f"{type(raised).__name__}: {raised}"[:300]
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "extra": max(0, peak_since_reset() - before), "error": error}


def _ours(url: str, api: str) -> Send:
    from retab_orchestration import RetabClient

    client = RetabClient("rt_test_bench", url, api=api, auth="bearer")  # type: ignore[arg-type]
    return lambda path: client.create_run(WORKFLOW, documents={NODE: path})


def _sdk(url: str) -> Send:
    from retab import Retab

    client = Retab(api_key="rt_test_bench", base_url=url, max_retries=0)
    return lambda path: client.workflows.runs.create(WORKFLOW, documents={NODE: path})


SENDERS: dict[str, Callable[[str], Send]] = {
    "classic": lambda url: _ours(url, "classic"),
    "current": lambda url: _ours(url, "current"),
    "sdk": _sdk,
}
