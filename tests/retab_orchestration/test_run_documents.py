"""The documents that a run has made: each once, where it was made; and all of them in a folder."""

import asyncio
import hashlib
import io
import itertools
import json
from pathlib import Path

import fsspec
import httpx
import pypdf
import pytest

from retab_orchestration import (
    AsyncRetabClient,
    DownloadRefusedError,
    InvalidInputError,
    NotFoundError,
    PollPolicy,
    ResponseTooLargeError,
    RetabClient,
    RetryPolicy,
    UnsupportedRouteError,
)
from retab_orchestration._file_names import path_in_folder
from retab_orchestration.emulator import Emulator
from retab_orchestration.models import DocumentRef, Step, documents_of_run
from tests.retab_orchestration.raw_server import answering, head, raw_server

INPUT = {"file_id": "file_0", "filename": "in.pdf", "mime_type": "application/pdf"}


def file(number, **more):
    return {"id": f"file_{number}", "filename": f"{number}.pdf", "mime_type": "application/pdf", **more}


def step(node, *files, read=(), at=0, **more):
    """A step that has ended at second `at`."""

    def handles(side, documents):
        return {
            f"{side}-file-{number}": {"type": "file", "document": document}
            for number, document in enumerate(documents)
        }

    return Step.model_validate(
        {
            "node_id": node,
            "step_id": f"step-{node}",
            "node_label": node.title(),
            "status": "completed",
            "started_at": "2026-05-01T10:00:00Z",
            "completed_at": f"2026-05-01T10:00:{at:02}Z",
            "handle_inputs": handles("input", read),
            "handle_outputs": handles("output", files),
            **more,
        }
    )


def in_loop(*passes):
    """The loops around a step, as the first servers say it."""
    containers = [{"container_id": f"for_each-{n}", "iteration": each} for n, each in enumerate(passes)]
    return {"iteration_context": {"containers": containers}}


def documents(steps, inputs=(), outputs=None):
    return documents_of_run(steps, [DocumentRef.model_validate(each) for each in inputs], outputs or {})


def places(found):
    return [(each.node_id, each.iteration, each.document.id) for each in found]


def test_a_document_has_its_node_its_step_and_its_type():
    [found] = documents([step("edit", file(1))])

    assert found.model_dump() == {
        "node_id": "edit",
        "node_label": "Edit",
        "step_id": "step-edit",
        "iteration": (),
        "handle": "output-file-0",
        "document": {"id": "file_1", "filename": "1.pdf", "mime_type": "application/pdf", "url": None},
    }


def test_a_loop_gives_one_for_each_pass():
    steps = [
        step("edit", file(10 * outer + inner), at=outer + inner, **in_loop(outer, inner))
        for outer in (0, 1)
        for inner in (0, 1)
    ]

    assert sorted(places(documents(steps))) == [
        ("edit", (0, 0), "file_0"),
        ("edit", (0, 1), "file_1"),
        ("edit", (1, 0), "file_10"),
        ("edit", (1, 1), "file_11"),
    ]


@pytest.mark.parametrize(
    "loop",
    [
        {"iteration": 3},
        {"loop_id": "loop", "iteration": 3},
        {"iteration_context": {"containers": [{"container_id": "loop", "iteration": 3}]}},
        {"loop_containers": [{"container_id": "loop", "iteration": 3}]},
        {"loop_containers": [{"container_id": "loop", "is_parallel": True, "parallel_item_index": 3}]},
    ],
)
def test_the_pass_is_known_however_a_server_says_it(loop):
    assert places(documents([step("edit", file(1), **loop)])) == [("edit", (3,), "file_1")]


@pytest.mark.parametrize("ended", [0, 5])
def test_a_loop_that_gives_what_was_made_in_it_has_not_made_it(ended):
    # The loop has started first, so it is first in the list.
    steps = [
        step("for_each", file(1), file(2), read=[INPUT], at=ended),
        *(step("edit", file(n + 1), read=[INPUT], at=0, **in_loop(n)) for n in (0, 1)),
    ]

    assert places(documents(steps, [INPUT])) == [("edit", (0,), "file_1"), ("edit", (1,), "file_2")]


def test_what_a_node_passes_on_it_has_not_made_wherever_it_stands():
    steps = [
        step("end", file(1), read=[file(1)]),
        step("edit", file(1), read=[INPUT]),
    ]

    assert places(documents(steps, [INPUT])) == [("edit", (), "file_1")]


def test_what_nobody_else_has_made_is_of_the_first_node_that_gives_it():
    steps = [step("merge", file(1), read=[file(1)]), step("end", file(1), read=[file(1)], at=1)]

    assert places(documents(steps)) == [("merge", (), "file_1")]


def test_what_a_loop_hands_to_its_passes_is_listed_only_where_a_node_gives_it():
    steps = [step("loop", file(n), node_type="for_each_sentinel_start", at=n, **in_loop(n)) for n in (1, 2)]
    keeps = step("keep", file(2), read=[file(2)], at=3, **in_loop(2))

    assert documents(steps) == []
    assert places(documents([*steps, keeps])) == [("keep", (2,), "file_2")]


@pytest.mark.parametrize("kind", ["start", "start_document"])
def test_what_the_run_was_given_is_no_document_of_its_own(kind):
    steps = [step("start", file(1), node_type=kind), step("extract", file(1), at=1)]

    assert documents(steps) == []
    assert documents([step("extract", INPUT)], [INPUT]) == []


@pytest.mark.parametrize("status", ["running", "error", "skipped", "cancelled"])
def test_only_completed_steps_count(status):
    assert documents([step("edit", file(1), status=status)]) == []


def test_what_only_the_outputs_of_the_run_have_is_listed_as_well():
    outputs = {
        "end-1": {"label": "End", "json_data": None, "document": file(1)},
        "end-2": {"label": "Pages", "json_data": [], "document": [None, file(2), [file(3)]]},
        "end-3": {"label": "JSON", "json_data": {"document": file(9)}},
    }
    found = documents([step("edit", file(1))], outputs=outputs)

    assert places(found) == [("edit", (), "file_1"), ("end-2", (1,), "file_2"), ("end-2", (2, 0), "file_3")]
    assert (found[1].node_label, found[1].document.mime_type) == ("Pages", "application/pdf")


@pytest.mark.parametrize("given", [{"output_document": file(1)}, {"split_documents": {"Invoice": file(1)}}])
def test_older_servers_say_it_beside_the_handles(given):
    assert places(documents([step("split", **given)])) == [("split", (), "file_1")]
    assert len(documents([step("split", file(1), **given)])) == 1


# Their places in a folder


def place(node="edit-1", *, run="run_1", step_id="step_1", iteration=(), file_id="file_1", filename="a.pdf"):
    return path_in_folder(run, node, step_id=step_id, iteration=iteration, file_id=file_id, filename=filename)


def test_a_document_lies_under_its_run_and_its_node():
    assert place() == ("run_1", "edit-1", "step_1-file_1-a.pdf")
    assert place(iteration=(2,))[2] == "2-file_1-a.pdf"
    assert place(iteration=(0, 12))[2] == "0_12-file_1-a.pdf"
    assert place(step_id=None)[2] == "step-file_1-a.pdf"
    assert place(filename=None)[2] == "step_1-file_1-document"


@pytest.mark.parametrize(
    ("given", "encoded"),
    [
        ("a b", "a%20b"),
        ("..", "%2e%2e"),
        ("a/../b", "a%2f%2e%2e%2fb"),
        ("C:\\x", "%43%3a%5cx"),
        ("Node", "%4eode"),
        ("a%20b", "a%2520b"),
        ("con", "%63on"),
        ("lpt1", "%6cpt1"),
        ("console", "console"),
        ("x\ty", "x%09y"),
        ("~", "%7e"),
        ("é", "%c3%a9"),
    ],
)
def test_ids_are_encoded(given, encoded):
    assert place(given, run=given)[:2] == (encoded, encoded)
    assert place(step_id=given, file_id=given)[2] == f"{encoded}-{encoded}-a.pdf"


def test_a_name_of_a_server_cannot_lead_out_of_its_folder():
    for name in ("../../../etc/passwd", "/etc/passwd", "C:\\..\\passwd", "a/b\\c:passwd", "\0/passwd"):
        assert place(filename=name)[2] == "step_1-file_1-passwd"


def test_every_part_of_a_path_is_a_name_on_every_disk():
    worst = {"node": "Ä" * 256, "run": "R" * 256, "step_id": "-" * 256, "file_id": "F" * 256}
    for filename in ("é" * 300 + ".pdf", "x" * 300, "CON", "nul.txt", "a.", " "):
        for part in place(**worst, filename=filename):
            assert len(part.encode()) <= 255
            assert part == part.strip(" .")
    assert place(filename="é" * 300 + ".pdf")[2].endswith("é.pdf")


SIMILAR = [
    "a",
    "A",
    "a-b",
    "a_b",
    "a%2db",
    "b",
    "b-a",
    "a-b-c",
    "c",
    "C",
    "x" * 256,
    "x" * 255 + "y",
    "X" * 256,
    "con",
]


def test_two_documents_never_share_a_path_even_where_case_counts_for_nothing():
    kinds = itertools.product(SIMILAR, [(), (0,), (0, 1)], SIMILAR, ["a.pdf", "b-a.pdf", "c-a.pdf", None])
    seen = {}
    for step_id, iteration, file_id, filename in kinds:
        found = "/".join(place(step_id=step_id, iteration=iteration, file_id=file_id, filename=filename))
        # One file has one place in a run: what is at another place is another file.
        assert seen.setdefault(found.casefold(), file_id) == file_id, found
    nodes = ["/".join(place(node, run=run)).casefold() for node in SIMILAR for run in SIMILAR]
    assert len(set(nodes)) == len(nodes)


# All of them


@pytest.fixture(params=["blocking", "awaiting"])
def download(request):
    """Fetch all documents of a run: `download(url, run_id, to)`."""
    settings = {"retry": RetryPolicy(base=0.01, cap=0.02)}

    def blocking(url, *args, **more):
        with RetabClient("key-1", url, **settings) as client:
            return client.download_documents(*args, **more)

    def awaiting(url, *args, **more):
        async def call():
            async with AsyncRetabClient("key-1", url, **settings) as client:
                return await client.download_documents(*args, **more)

        return asyncio.run(call())

    return blocking if request.param == "blocking" else awaiting


def pages(count):
    writer = pypdf.PdfWriter()
    for _ in range(count):
        writer.append(str(Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf"))
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


def finished(emulator, workflow_id):
    """Return a run that has ended, and the SHA-256 of what the server has of each file."""
    with RetabClient("key-1", emulator.url) as client:
        run = client.create_run(workflow_id, documents={"start-node-1": ("a.pdf", pages(2))})
        run = client.wait_for_run(run.id, poll=PollPolicy(first=0.02, shortest=0.02))
        hashes = {}
        for each in client.list_documents(run.id):
            link = f"{emulator.url}/v1/files/{each.document.id}/download-link"
            url = httpx.get(link, headers={"Authorization": "Bearer key-1", "Api-Key": "key-1"}).json()[
                "download_url"
            ]
            hashes[each.document.id] = hashlib.sha256(httpx.get(url).content).hexdigest()
    return run, hashes


@pytest.mark.parametrize("api", ["classic", "current"])
@pytest.mark.parametrize(
    "target", ["{}/new/folder", "{}", "file://{}", "memory://bucket/folder", "memory://bucket/"]
)
def test_every_document_of_a_run_comes_out_byte_for_byte(download, tmp_path, api, target):
    to = target.format(tmp_path)
    with Emulator(api=api, speed=100) as emulator:
        for workflow_id, nodes in (("wf_split", ["split-node-1"] * 2), ("wf_edit", ["edit-node-1"])):
            run, hashes = finished(emulator, workflow_id)
            manifest = download(emulator.url, run.id, to)

            assert json.loads(json.dumps(manifest)) == manifest
            assert (manifest["run_id"], manifest["status"]) == (run.id, "completed")
            assert manifest["waiting_for_node_ids"] == []
            assert [each["node_id"] for each in manifest["documents"]] == nodes
            for each in manifest["documents"]:
                with fsspec.open(each["uri"], "rb") as stream:
                    content = stream.read()
                assert len(content) == each["size"]
                assert hashlib.sha256(content).hexdigest() == each["sha256"] == hashes[each["file_id"]]
                assert each["mime_type"] == "application/pdf"
                folder, name = each["uri"].split(f"/{run.id}/{each['node_id']}/")
                assert folder.startswith(to.rstrip("/") if "://" in to else f"file://{to}")
                assert name.endswith(f"-{each['file_id']}-{each['filename']}")
            assert len({each["uri"] for each in manifest["documents"]}) == len(nodes)


@pytest.mark.parametrize("api", ["classic", "current"])
def test_documents_of_a_loop_lie_beside_each_other_each_with_its_pass(download, tmp_path, api):
    with Emulator(api=api, speed=100) as emulator:
        run, hashes = finished(emulator, "wf_for_each")
        manifest = download(emulator.url, run.id, tmp_path)

    assert [each["iteration"] for each in manifest["documents"]] == [[0], [1]]
    assert {each["file_id"]: each["sha256"] for each in manifest["documents"]} == hashes
    names = sorted(path.name for path in (tmp_path / run.id / "edit-node-1").iterdir())
    assert [name.partition("-")[0] for name in names] == ["0", "1"]


def test_a_second_time_replaces_what_is_there(download, tmp_path):
    with Emulator(speed=100) as emulator:
        run, _ = finished(emulator, "wf_split")
        first = download(emulator.url, run.id, tmp_path)
        for each in first["documents"]:
            Path(each["uri"].removeprefix("file://")).write_bytes(b"old")

        assert download(emulator.url, run.id, tmp_path) == first
    assert all(path.stat().st_size > 3 for path in tmp_path.rglob("*.pdf"))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_one_that_cannot_be_fetched_leaves_nothing_and_those_before_it_stay(download, tmp_path):
    with Emulator(speed=100) as emulator:
        run, hashes = finished(emulator, "wf_split")
        second = list(hashes)[1]
        emulator.post_faults([{"match": f"GET /_storage/download/{second}*", "kind": "http_403", "times": 9}])

        with pytest.raises(DownloadRefusedError, match="Check in Retab that the file is still there"):
            download(emulator.url, run.id, tmp_path)

    [only] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert next(iter(hashes)) in only.name


def test_each_has_the_limit(download, tmp_path):
    with Emulator(speed=100) as emulator:
        run, _ = finished(emulator, "wf_edit")
        with pytest.raises(ResponseTooLargeError, match="max_bytes"):
            download(emulator.url, run.id, tmp_path, max_bytes=10)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_run_without_documents_makes_no_folder(download, tmp_path):
    with Emulator(speed=100) as emulator:
        with RetabClient("key-1", emulator.url) as client:
            run = client.create_run("wf_echo", json_inputs={"json-node-1": {}})
            client.wait_for_run(run.id, poll=PollPolicy(first=0.02, shortest=0.02))

        assert download(emulator.url, run.id, tmp_path / "new")["documents"] == []
        with pytest.raises(NotFoundError):
            download(emulator.url, "run_none", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("to", [None, 7, "", "a\0b", b"bytes", io.BytesIO()])
def test_what_is_no_folder_is_refused_before_anything_is_sent(download, to):
    with pytest.raises(InvalidInputError, match=r"^to must be a folder"):
        download("http://127.0.0.1:9", "run_1", to)


@pytest.mark.parametrize("api", ["classic", "current"])
def test_a_server_without_links_says_since_when_there_are_any(api, tmp_path):
    body = b'{"detail": "Not Found"}'
    old = head(404, content_length=len(body), content_type="application/json") + body
    with (
        raw_server(answering(old)) as server,
        RetabClient("key-1", server.url, api=api, auth="bearer") as client,
        pytest.raises(UnsupportedRouteError, match=r"since release 0\.0\.103 of Retab's SDK"),
    ):
        client.download_document("file_1", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
