"""The bodies of a run, in the shape of Retab and of each peer, all of the same size."""

import json
from collections.abc import Callable
from dataclasses import dataclass

WORKFLOW = "wf_bench"
TAG = "retab-orchestration"
"""The metadata key that all runs of ours have in common."""

# What stands for a value that differs from run to run; nothing in a body looks like these.
_MARKS = ("@RUN@", "@STATUS@", "@CREATED@")

_RETAB: dict[str, object] = {
    "id": "@RUN@",
    "workflow_id": WORKFLOW,
    "workflow_version_id": "ver_bench",
    "trigger": {"type": "api"},
    "lifecycle": {"status": "@STATUS@"},
    "timing": {"created_at": "@CREATED@", "started_at": "@CREATED@"},
    "metadata": {TAG: "1"},
    "inputs": {"documents": {}, "json_data": {}},
}
_DBT: dict[str, object] = {
    "status": {"code": 200},
    "data": {"id": "@RUN@", "status": "@STATUS@", "created_at": "@CREATED@"},
}
_DATABRICKS: dict[str, object] = {
    "run_id": "@RUN@",
    "run_page_url": "http://127.0.0.1/run",
    "state": {"life_cycle_state": "@STATUS@", "state_message": ""},
    "start_time": "@CREATED@",
}
_AIRBYTE: dict[str, object] = {
    "jobId": "@RUN@",
    "status": "@STATUS@",
    "jobType": "sync",
    "startTime": "@CREATED@",
    "connectionId": "conn_bench",
}


@dataclass(frozen=True)
class Shape:
    """How one service shows a run."""

    pieces: tuple[bytes, ...]
    """What stands between the values, in their order."""
    order: tuple[int, ...]
    """Which of the values stand there: 0 the id, 1 the status, 2 the creation."""
    running: bytes
    ended: bytes

    def body(self, run: bytes, created: bytes, *, ended: bool) -> bytes:
        """Return the JSON of one run."""
        values = (run, self.ended if ended else self.running, created)
        found = [self.pieces[0]]
        for which, piece in zip(self.order, self.pieces[1:], strict=True):
            found += (values[which], piece)
        return b"".join(found)


def shapes(size: int) -> dict[str, Shape]:
    """Return the shape of each service, filled up to about so many bytes with what documents hold: lines of values."""
    return {
        "retab": _shape(_RETAB, size, _into_inputs, b"running", b"completed"),
        "dbt": _shape(_DBT, size, _into("data"), b"3", b"10", bare=("@RUN@", "@STATUS@")),
        "databricks": _shape(
            _DATABRICKS,
            size,
            _into(),
            b'RUNNING"',
            b'TERMINATED","result_state":"SUCCESS"',
            bare=("@RUN@",),
            unquoted=("@STATUS@",),
        ),
        "airbyte": _shape(_AIRBYTE, size, _into(), b"running", b"succeeded", bare=("@RUN@",)),
    }


Fill = Callable[[dict[str, object], list[object]], None]


def _into_inputs(body: dict[str, object], lines: list[object]) -> None:
    body["inputs"] = {"documents": {}, "json_data": {"start-json-1": lines}}


def _into(*path: str) -> Fill:
    def fill(body: dict[str, object], lines: list[object]) -> None:
        place = body
        for name in path:
            place = place[name]  # type: ignore[assignment]
        place["lines"] = lines

    return fill


def _shape(
    template: dict[str, object],
    size: int,
    fill: Fill,
    running: bytes,
    ended: bytes,
    *,
    bare: tuple[str, ...] = (),
    unquoted: tuple[str, ...] = (),
) -> Shape:
    body = json.loads(json.dumps(template))
    line = {"sku": "A-100-4711", "text": "Copy paper, 80 g, white", "count": 12, "net": 34.9, "tax": True}
    missing = size - len(json.dumps(body, separators=(",", ":")))
    lines: list[object] = [line] * max(0, missing // len(json.dumps(line, separators=(",", ":")) + ","))
    fill(body, lines)
    text = json.dumps(body, separators=(",", ":"))
    for mark in bare:
        text = text.replace(f'"{mark}"', mark)
    for mark in unquoted:
        text = text.replace(f'{mark}"', mark)
    return _cut(text, running, ended)


def _cut(text: str, running: bytes, ended: bytes) -> Shape:
    pieces, order, rest = [], [], text
    while found := [(rest.index(mark), number) for number, mark in enumerate(_MARKS) if mark in rest]:
        place, number = min(found)
        pieces.append(rest[:place].encode())
        order.append(number)
        rest = rest[place + len(_MARKS[number]) :]
    return Shape((*pieces, rest.encode()), tuple(order), running, ended)
