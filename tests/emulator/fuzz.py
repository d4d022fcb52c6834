"""Requests that nobody should send, made from a seed: every route, with what it takes and with what it does not."""

import base64
import copy
import json
import random

from retab_orchestration.emulator import Field, Node, Request, Workflow
from retab_orchestration.emulator.service import _MODULES

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj trailer<</Root 1 0 R>>"
DATA = "data:text/plain;base64," + base64.b64encode(b"Vendor: Northwind\nTotal amount: 9").decode()
# What JSON may hold; the strings in angle brackets are put in after it was written.
VALUES = (
    None, True, False, 0, -1, 3, 2**63, 10**400, -(10**400), 0.5, 1e308, "", " ", "x", "0", "null", "\x00", "\u202e",
    "\U0001f600", "é" * 300, "a,b", "../..", "//[", "a.b/c", "a\r\nb: c", "text/html", "data:,", "data:;base64,%%%",
    DATA,
    [], {}, [[]], [{}], {"": {}}, {"a": [1, {"b": None}]}, [None], ["x", 1], {"seconds": 10**400}, {"seconds": -1},
    {"message": [], "category": {}}, "<surrogate>", "<deep>", "<huge>", {"k": "<surrogate>"}, {"<surrogate>": 1},
    "2026-03-01", "asc", "running", "<wide>",
)  # fmt: skip
RAW = {
    '"<surrogate>"': '"\\ud800"', '"<deep>"': "[" * 2000 + "]" * 2000, '"<huge>"': "1e999",
    '"<wide>"': json.dumps([[]] * 50),
}  # fmt: skip
TEXTS = (
    "", "0", "-1", "1", "100", "101", "9" * 30, "\u0663", "x", "asc", "desc", "newest", "running", "failed",
    "cancelled",
    "2026-03-01", "0001-01-01T00:00:00+23:59", "9999-12-31", "9999-12-31T23:59:59-23:59", "20260301", "{}", "[]",
    '{"a":"b"}',
    '{"a":[]}', "[" * 2000, '"\\ud800"', '{"a":"\\ud800"}', "1" * 500, "id,status", "timing.created_at", "api",
    "\ufffd", "\x00",
    "wf_invoice", "wf_gate_first", "production", "../..", "a" * 5000,
)  # fmt: skip
NAMES = (
    "limit", "before", "after", "order", "sort_by", "from_date", "to_date", "status", "exclude_status", "statuses",
    "trigger_type", "trigger_types", "workflow_id", "run_id", "review_id", "search", "metadata", "fields",
    "min_duration",
    "max_duration_ms", "decision_status", "block_ids", "block_type", "step_id", "filename", "mime_type", "signature",
    "test_id", "eval_id", "target_block_id", "source_block", "iteration_key",
)  # fmt: skip
DOCUMENT = {
    "filename": "a.pdf",
    "mime_type": "application/pdf",
    "content": base64.b64encode(PDF).decode(),
    "url": DATA,
}
FILES = {"documents": {"start-node-1": DOCUMENT}}
INPUTS = [
    FILES,
    {**FILES, "json_inputs": {"json-node-1": {"seconds": 0}}, "metadata": {"a": "b"}},
    {"json_inputs": {"json-node-1": {"message": "m", "seconds": 0.5}}, "text_inputs": {"text-node-1": "x"}},
    {"json_inputs": {"json-node-1": [1]}},
]
DECISION = {"node_id": "hil-node-1", "approved": True, "modified_data": {"a": 1}}
SPEC = {
    "yaml_definition": "workflow_id: wf_spec\nblocks:\n- {id: a, type: end}\n- {id: b, type: end}\n"
    "edges:\n- {source_block: a, target_block: b}\n"
}
FAULT = {"match": "GET *", "kind": "http_500", "nth": 10**9, "times": 1, "seconds": 0.1, "retry_after": 1}
# The bodies that a path takes, by how it ends.
BODIES = {
    "/run": INPUTS,
    "/workflows/runs": [{"workflow_id": "ID", "version": "production", **inputs} for inputs in INPUTS],
    "/tests/runs": [
        {"test_id": "wfnodetest_invoice_1", "target": {"block_id": "extract-node-1"}, "n_consensus": 3},
        {"workflow_id": "wf_invoice", "scope": {"type": "single", "test_id": "wfnodetest_invoice_1"}},
    ],
    "/evals/runs": [{"workflow_id": "wf_invoice", "scope": {"type": "block", "block_id": "extract-node-1"}}],
    "/cancel": [{"command_id": "c"}],
    "/restart": [{"command_id": "c"}],
    "/batch": [{"node_ids": ["end-node-1"]}, {"block_ids": ["end-node-1"]}],
    "/resume": [DECISION],
    "/hil-decisions": [DECISION, {**DECISION, "block_id": "hil-node-1"}],
    "/versions": [{"review_id": "ID", "parent_id": "ID", "snapshot": {"a": 1}, "note": "n"}],
    "/approve": [{"version_id": "ID", "acknowledged_superseded_version_ids": []}],
    "/reject": [{"version_id": "ID", "reason": "r"}],
    "/upload": [{"filename": "a.pdf", "size_bytes": 2, "content_type": "text/plain"}, {"filename": "a", "url": DATA}],
    "/complete": [{"sha256": "0" * 64}],
    "/workflows": [{"name": "n", "description": "d"}],
    "/blocks": [{"workflow_id": "ID", "type": "for_each", "config": {"a": 1}, "position_x": 1}],
    "/edges": [{"workflow_id": "ID", "source_block": "ID", "target_block": "ID", "source_handle": "h"}],
    "{block_id}": [{"label": "l", "config": {}}],
    "/export": [{"workflow_id": "wf_mixed", "block_id": "end-node-1", "selected_run_ids": []}],
    "/executions": [{"run_id": "ID", "block_id": "end-node-1"}],
    "/blueprints": [{"file_id": "ID", "background": True}],
    "/tests": [{"workflow_id": "ID", "target": {"block_id": "end-node-1"}, "source": {"a": 1}, "assertion": {"a": 1}}],
    "/experiments": [{"workflow_id": "wf_mixed", "block_id": "extract-node-1", "documents": [{"handle_inputs": {}}]}],
    "/experiments/runs": [{"experiment_id": "ID"}],
    "/validate": [SPEC], "/plan": [SPEC], "/apply": [SPEC],
    "/faults": [[FAULT]],
    "/key": [{"api_key": "k"}],
}  # fmt: skip
CONTROL = [
    ("GET", "/_emulator/stats"),
    ("POST", "/_emulator/faults"),
    ("POST", "/_emulator/release"),
    ("GET", "/_emulator/x"),
]
PAGES = [("GET", "/"), ("GET", "/runs/{id}"), ("POST", "/runs/{id}"), ("GET", "/favicon.ico")]
STORAGE = [("PUT", "/_storage/upload/{id}"), ("GET", "/_storage/download/{id}"), ("POST", "/_storage/{id}")]
ROUTES = sorted({(route.method, route.template) for module in _MODULES for route in module.ROUTES})
CREATES = [
    ("POST", "/v1/workflows/runs"),
    ("POST", "/v1/workflows/{workflow_id}/run"),
    ("GET", "/v1/workflows/reviews/versions"),
]
NO_JSON = (
    b"\xff\xfe",
    b"{",
    b'"\xed\xa0\x80"',
    b"[" * 10**5,
    b"nul",
    b"\x00",
    b"{}{}",
    b"verdict=approve&node_id=hil-node-1",
)
LISTS = (
    "/v1/workflows/runs", "/v1/workflows/steps", "/v1/workflows/reviews", "/v1/workflows/tests/runs",
    "/v1/workflows/evals/runs",
    "/v1/files", "/v1/workflows", "/",
)  # fmt: skip
WORKFLOWS = (
    Workflow("wf_gate_first", "Gate first", (
        Node("start-node-1", "start", "In"), Node("json-node-1", "start_json", "Options"),
        Node("hil-node-1", "hil", "Review", ("start-node-1",)), Node("end-node-1", "end", "Out", ("hil-node-1",)),
    ), seconds=0.0),
    Workflow("wf_mixed", "Mixed", (
        Node("start-node-1", "start", "In"), Node("json-node-1", "start_json", "Options"),
        Node("both-node-1", "functions", "Both", ("start-node-1", "json-node-1")),
        Node("hil-node-1", "hil", "Review", ("both-node-1",)),
        Node("extract-node-1", "extract", "Extract", ("start-node-1",), {"total": Field("Total amount",
        is_number=True)}),
        Node("end-node-1", "end", "Out", ("hil-node-1", "extract-node-1")),
    ), seconds=0.0),
)  # fmt: skip


# How the ids begin that stand in a place of a path, and those that are known from the beginning.
KINDS = {
    "parent_id": "rvr_", "acknowledged_superseded_version_ids": "rvr_", "workflow_id": "wf_", "run_id": "run_",
    "review_id": "rev_", "version_id": "rvr_", "file_id": "file_", "node_id": "hil-",
    "block_id": "hil-",
    "source_block": "", "target_block": "hil-", "experiment_id": "exp_",
    "test_run_id": "wftestrun_", "result_id": "wfresult_", "id": "",
}  # fmt: skip
KNOWN = (
    "wf_gate_first",
    "wf_mixed",
    "wf_invoice",
    "wf_echo",
    "wf_fail",
    "hil-node-1",
    "start-node-1",
    "wfnodetest_invoice_1",
)
STRANGE = ("x", "%00", "..", "%ff", "a%2Fb", "%ed%a0%80", "é")


class Fuzz:
    """Makes requests, and takes up the ids in their answers for later ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)  # noqa: S311 - a seed is the point of it
        self.learned = []

    def request(self):
        """Make a request: of a real route in nine cases of ten."""
        pick = self.random.choice
        method, template = pick(
            [pick(ROUTES)] * 7
            + [pick(CREATES)] * 2
            + [pick([*CONTROL, *PAGES, *STORAGE, ("GET", "/v1/nowhere")])]
        )
        parts = [self.an_id(part[1:-1]) if part.startswith("{") else part for part in template.split("/")]
        path = "/".join(parts).replace("é", "%c3%a9")
        if self.random.random() < 0.05:
            method = pick(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE"])
        query = [self.parameter() for _ in range(pick([0, 0, 1, 2, 4]))]
        if template.startswith("/_storage"):
            query.append(("signature", path.rpartition("/")[2][::-1]))
        headers = {"api-key": "k", "host": "127.0.0.1:1"} if self.random.random() < 0.97 else {}
        if self.random.random() < 0.1:
            headers["idempotency-key"] = pick(["a", "b", "x" * 500])
        return Request(
            method, path, query, headers, b"" if method in {"GET", "HEAD"} else self.body(template)
        )

    def parameter(self):
        """Make a parameter of the query."""
        name = self.random.choice(NAMES)
        return name, self.an_id(name) if name in KINDS else self.random.choice(TEXTS)

    def an_id(self, name):
        """Choose an id that may stand in some place, or in three cases of twenty any other."""
        right = [each for each in (*KNOWN, *self.learned) if each.startswith(KINDS.get(name, ""))]
        return self.random.choice(
            right if right and self.random.random() < 0.85 else [*KNOWN, *self.learned, *STRANGE]
        )

    def body(self, template):
        """Make a body: right, changed in one or two places, or no JSON."""
        chance = self.random.random()
        if chance < 0.03:
            return self.random.choice(NO_JSON)
        right = next((known for end, known in BODIES.items() if template.endswith(end)), [{}])
        value = self.named(copy.deepcopy(self.random.choice(right)))
        for _ in range(0 if chance < 0.4 else self.random.choice([1, 1, 2])):
            value = self.changed(value)
        text = json.dumps(value)
        for mark, raw in RAW.items():
            text = text.replace(mark, raw)
        return text.encode()

    def named(self, value):
        """Put ids where they are wanted."""
        if isinstance(value, list):
            return [self.named(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {key: self.an_id(key) if each == "ID" else self.named(each) for key, each in value.items()}

    def changed(self, value):
        """Change something somewhere inside of a value."""
        if isinstance(value, dict | list) and value and self.random.random() < 0.85:
            where = self.random.choice(list(value) if isinstance(value, dict) else range(len(value)))
            if self.random.random() < 0.1:
                del value[where]
            else:
                value[where] = self.changed(value[where])
            return value
        return copy.deepcopy(self.random.choice(VALUES))

    def learn(self, body):
        """Take up the ids of an answer."""
        if isinstance(body, dict):
            found = [body[key] for key in ("id", "fileId") if isinstance(body.get(key), str)]
            self.learned = [*self.learned, *(each for each in found if each not in self.learned)][-60:]
            body = list(body.values())
        if isinstance(body, list):
            for value in body[:30]:
                self.learn(value)
