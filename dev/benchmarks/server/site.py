"""What the bare server answers, and what it counts while it does."""

import json
import time
from array import array
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

from dev.benchmarks.server.runs import FIRST, Plan, Runs

RETAB_RUNS = "/v1/workflows/runs"
RUNS_AT = {f"{RETAB_RUNS}/run_": "retab", "/api/v2/accounts/1/runs/": "dbt", "/jobs/": "airbyte"}
"""Where one run is read, and in whose shape."""


class Site:
    """All addresses of one server, and the requests that came.

    Args:
        clock: Which clock the runs' ends and the counters are on; all processes of a machine share `time.monotonic`.
        wall: The time of day that the runs' creation is told on.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self.runs = Runs(clock=clock, wall=wall)
        self.url = ""
        """Where it listens, for the addresses that it hands out."""
        self.lasting = 60.0
        """Seconds that a run takes which is created over HTTP."""
        self.forget()

    def forget(self) -> None:
        """Count from nothing."""
        self.moments, self.sizes = array("d"), array("q")
        self.kinds: list[str] = []
        self.swallowed = 0

    def swallows(self, method: str, target: str) -> bool:
        """Whether a body is a document, or holds one."""
        return method == "PUT" or (method == "POST" and target.startswith("/v1/"))

    def arrived(self, count: int) -> None:
        """Count the bytes of a document."""
        self.swallowed += count

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Return the status and the JSON to send."""
        path, _, text = target.partition("?")
        if path.startswith("/_bench/"):
            return 200, self._control(path.removeprefix("/_bench/"), body)
        kind, status, answer = self._serve(method, unquote(path), text, body)
        self.moments.append(self._clock())
        self.sizes.append(len(answer))
        self.kinds.append(kind)
        return status, answer

    def _serve(self, method: str, path: str, text: str, body: bytes) -> tuple[str, int, bytes]:
        if method in {"POST", "PUT"}:
            return _write(self, method, path)
        query = dict(parse_qsl(text))
        if path.rstrip("/") == RETAB_RUNS:
            return "list", 200, self.runs.page(query)
        if path.endswith("/jobs/runs/get"):
            number = query.get("run_id") or json.loads(body or b"{}").get("run_id")
            return self._run("databricks", str(number))
        for prefix, shape in RUNS_AT.items():
            if path.startswith(prefix):
                return self._run(shape, path.removeprefix(prefix).rstrip("/"))
        return "other", 200, b'{"data":[],"list_metadata":{"before":null,"after":null}}'

    def _run(self, shape: str, number: str) -> tuple[str, int, bytes]:
        if not number.isdigit() or not self.runs.knows(int(number)):
            return "missing", 404, b'{"detail":"Run not found"}'
        return "get", 200, self.runs.body(shape, int(number))

    def _control(self, command: str, body: bytes) -> bytes:
        asked: dict[str, Any] = json.loads(body or b"{}")
        if command == "plan":
            self.lasting = asked.pop("created_last", self.lasting)
            self.runs = Runs(Plan(**asked), clock=self._clock, wall=self._wall)
            self.forget()
        elif command == "end":
            self.runs.end(**asked)
        return json.dumps(self.told() if command == "told" else {}).encode()

    def told(self) -> dict[str, Any]:
        """Return every request that came, with its moment, kind and bytes, and when each watched run ends."""
        return {
            "moments": self.moments.tolist(),
            "sizes": self.sizes.tolist(),
            "kinds": self.kinds,
            "ends": self.runs.ends,
            "swallowed": self.swallowed,
            "first": FIRST,
        }


def _write(site: Site, method: str, path: str) -> tuple[str, int, bytes]:
    """Answer what writes: a create, the three steps of an upload, a token."""
    if path == "/v1/files/upload":
        told = {
            "fileId": "file_bench",
            "uploadUrl": f"{site.url}/storage/file_bench",
            "uploadMethod": "PUT",
            "uploadHeaders": {"Content-Type": "application/octet-stream"},
            "mimeData": {"filename": "bench.bin", "url": "https://storage.retab.com/file_bench"},
            "expiresAt": "2099-01-01T00:00:00Z",
        }
        return "upload", 200, json.dumps(told).encode()
    if path.endswith("/complete"):
        told = {"filename": "bench.bin", "url": "https://storage.retab.com/file_bench"}
        return "complete", 200, json.dumps(told).encode()
    if method == "PUT":
        return "put", 200, b""
    number = site.runs.create(site.lasting)
    return "create", 202, site.runs.body("retab", number)
