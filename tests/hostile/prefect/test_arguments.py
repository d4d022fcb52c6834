"""What a flow, a task or a block of Prefect is given where something else belongs: refused before a run is created."""

import asyncio
import collections
import os
import stat
from functools import partial

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import get_call_parameters
from pydantic import ValidationError

import prefect_collection
from prefect_collection import RetabWorkflow
from prefect_collection._create_once.creation import Creation
from prefect_collection._create_once.errors import gone
from prefect_collection._documents import RemoteFile
from prefect_collection._state import Given, Record
from retab_orchestration import RetabError
from tests.hostile.harness import Case
from tests.hostile.prefect import tasks
from tests.hostile.retab import SIGNED, role_of

INFINITE = float("inf")
LOOPED: dict = {}
LOOPED["a"] = LOOPED
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]
PIECE = "document-7c1e-do-not-show-me"
NO_NODES = [[], [""], [" "], ["a/b"], [".."], ["x" * 300], ["\ud800"]]
# Arguments of the flow, and what they were given.
FLOWS = {
    "output_nodes": [*NO_NODES, "end-1", [7]],
    "poll_interval_seconds": [INFINITE, float("nan"), 1e-9, 1e12, 1e308, "inf"],
    "json_inputs": [{"n": LOOPED}, {"n": DEEP}],
    "documents": [
        {"n": frozenset({PIECE.encode()})},
        {"n": collections.deque([PIECE.encode()])},
        {"n": LOOPED},
        {"n": "data://text/plain,QUJD"},
    ],
}
CREATES = {"json_inputs": [{"n": bad} for bad in (LOOPED, DEEP, {1}, float("nan"), {1: 1, "1": 2})]}
DATA = ["data://text/plain,QUJD", "data:,x://", " DATA://x,QUJD", {"url": "data:,x", "filename": "a"}]
CREATES["documents"] = [{"n": given} for given in DATA]
# Arguments of a wait.
WAITS = {"output_nodes": NO_NODES, "poll_interval_seconds": [INFINITE, 1e-9, 1e12]}
BLOCKS = {"output_nodes": NO_NODES[1:], "poll_interval_seconds": [INFINITE, 1e-9, 1e12]}
# Places where no file can be written; {inside} has a folder, a file, a pipe and a link to itself.
PLACES = [
    *("{inside}/file/x.json", "{inside}/file/", "{inside}/pipe", "{inside}/loop", "{inside}/a\x00b"),
    *(
        "{inside}/\ud800",
        "{inside}/device",
        "/proc/x.json",
        "/proc/a/b.json",
        "{inside}/" + "x" * 9000,
    ),
    *("file://{inside}/pipe", "local://{inside}/pipe", "://x", "nowhere://x/y", "", " "),
]
# Documents that are no file.
URIS = ["file://{inside}/pipe", "local://{inside}/pipe", "file://{inside}/folder", "file:///dev/zero", "://x"]
KEYS = [None, object(), ["a"], {}, b"a", 1.5]


class Bytes(os.PathLike):
    def __fspath__(self):
        return b"/tmp/x.json"


def refusing(act):
    """Return an act after which nothing may have been created."""

    def acting(world):
        try:
            return act(world)
        finally:
            assert "create" not in {role_of(request) for request in world.site.requests}, "a run was created"

    return acting


def flow(world, name="run_workflow", **given):
    """Do with a flow's parameters what Prefect's engine does, without a server for it."""
    called = getattr(prefect_collection, name)
    account = tasks.credentials(world)
    parameters = get_call_parameters(called.fn, (), {"workflow_id": "wf_1", "credentials": account, **given})
    called.serialize_parameters(parameters)
    answer = called.fn(**called.validate_parameters(parameters))
    return asyncio.run(answer) if called.isasync else answer


def places(world):
    (world.inside / "folder").mkdir()
    (world.inside / "file").touch()
    os.mkfifo(world.inside / "pipe")
    (world.inside / "loop").symlink_to("loop")
    # Never a device itself, which code that writes carelessly would replace.
    (world.inside / "device").symlink_to("/dev/null")


def read_from(world, uri):
    places(world)
    return tasks.blocking(
        "create_run", world, "wf_1", documents={"n": uri.replace("{inside}", str(world.inside))}
    )


def written(world, way, place):
    places(world)
    given = place.replace("{inside}", str(world.inside)) if isinstance(place, str) else place
    try:
        return way(world, output_path=given)
    finally:
        assert stat.S_ISFIFO((world.inside / "pipe").lstat().st_mode), "the pipe was replaced"


def created(world, **given):
    return tasks.blocking("create_run", world, "wf_1", **given)


def waited(world, **given):
    return tasks.blocking("wait_for_run", world, "run_1", **{"poll_interval_seconds": 0.1, **given})


def block(world, **given):
    return RetabWorkflow(credentials=tasks.credentials(world), workflow_id="wf_1", **given)


def gone_from(world, uri):
    """Say that a document is gone, as a retry does."""
    creation = Creation("create_run", {}, None, *[print] * 4, target={}, documents={"n": RemoteFile(uri)})
    raise gone(creation, Record(run_id="run_1"))


def each(what, table, act):
    """Yield what is done with every value of every argument in a table."""
    for name, values in table.items():
        for number, bad in enumerate(values):
            yield f"{what} {name} {number}", partial(act, **{name: bad})


def acts():
    yield from each("a flow", FLOWS, flow)
    yield from each("an async flow", FLOWS, partial(flow, name="arun_workflow"))
    yield from each("create_run", CREATES, created)
    yield from each("wait_for_run", WAITS, waited)
    yield from each("a block", BLOCKS, block)
    for number, place in enumerate([*PLACES, Bytes(), 7]):
        yield f"a flow's place {number}", partial(written, way=flow, place=place)
        yield f"a wait's place {number}", partial(written, way=waited, place=place)
    for number, uri in enumerate(URIS):
        yield f"a document {number}", partial(read_from, uri=uri)
    for number, key in enumerate(KEYS):
        yield f"a dedupe_key {number}", lambda _, key=key: Given("create_run", {}, key)
    for start in ("https://u:word-4d1c@x/a.pdf", "zip://a.pdf::https://u:word-4d1c@x/a.zip"):
        yield f"{start[:5]} that is gone", partial(gone_from, uri=f"{start}?X-Amz-Signature={SIGNED}")


def cases():
    fails = (RetabError, ValidationError, ParameterTypeError)
    for name, act in acts():
        options = {"documented": fails, "secrets": (PIECE, "word-4d1c"), "may_have_lines": True}
        yield Case(name, refusing(act), expected=fails, **options)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_argument(case, check):
    check(case)
