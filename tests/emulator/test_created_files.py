"""Workflows that make documents: a split and an edit, on the routes of every age."""

import io

import pypdf
import pytest

from tests.emulator.conftest import Caller


def pdf(pages):
    writer = pypdf.PdfWriter()
    for number in range(pages):
        writer.add_blank_page(width=100 + number, height=100)
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


@pytest.fixture(params=["classic", "current"])
def family(request):
    return request.param


def steps_of(call, run, family):
    if family == "classic":
        return call.get(f"/v1/workflows/runs/{run['id']}/steps")
    return call.get("/v1/workflows/steps", run_id=run["id"])["data"]


def content_of(call, document):
    link = call.get(f"/v1/files/{document['id']}/download-link")["download_url"]
    path, _, query = link.removeprefix("http://retab.test").partition("?")
    pairs = dict(pair.split("=") for pair in query.split("&"))
    answer = Caller.__call__(call, "GET", path, headers={"host": "retab.test"}, **pairs)
    assert answer.status == 200
    return answer.body


def widths(content):
    return [float(page.mediabox.width) for page in pypdf.PdfReader(io.BytesIO(content)).pages]


def test_a_split_makes_a_document_of_each_part(call, clock, family):
    run = call.start("wf_split", content=pdf(3), family=family)
    clock.tick(5)

    split = steps_of(call, run, family)[1]

    documents = {name: handle["document"] for name, handle in split["handle_outputs"].items()}
    assert list(documents) == ["output-file-Invoice", "output-file-Attachments"]
    assert [document["filename"] for document in documents.values()] == [
        "invoice Invoice.pdf",
        "invoice Attachments.pdf",
    ]
    assert [widths(content_of(call, document)) for document in documents.values()] == [[100], [101, 102]]
    assert ("split_documents" in split) is (family == "classic")


def test_a_part_without_pages_is_no_document(call, clock, family):
    run = call.start("wf_split", content=pdf(1), family=family)
    clock.tick(5)

    assert list(steps_of(call, run, family)[1]["handle_outputs"]) == ["output-file-Invoice"]


def test_an_edit_makes_another_document(call, clock, family):
    run = call.start("wf_edit", content=pdf(2), json_input={"remark": "paid"}, family=family)
    clock.tick(5)

    steps = steps_of(call, run, family)
    edited = next(step for step in steps if "edit-node-1" in step.values())
    document = edited["handle_outputs"]["output-file-0"]["document"]

    content = content_of(call, document)
    assert widths(content) == [100, 101]
    assert pypdf.PdfReader(io.BytesIO(content)).metadata.subject == "paid"


@pytest.mark.parametrize("workflow_id", ["wf_split", "wf_edit"])
@pytest.mark.parametrize("content", [b"no PDF", b"%PDF-1.7 broken"])
def test_a_document_that_is_no_pdf_fails_the_run(call, clock, family, workflow_id, content):
    run = call.start(workflow_id, content=content, family=family)
    clock.tick(5)

    body = call.get(f"/v1/workflows/runs/{run['id']}")
    assert body.get("status") == "error" or body["lifecycle"]["status"] == "error"


def test_a_start_is_no_output_though_nothing_follows_it(call, clock):
    run = call.start("wf_edit", content=pdf(1), json_input={"remark": "paid"})
    clock.tick(5)

    assert {*call.get(f"/v1/workflows/runs/{run['id']}")["final_outputs"]} == {"end-node-1"}


def test_a_link_expires_and_gives_parts(call, clock):
    run = call.start("wf_edit", content=pdf(1))
    clock.tick(5)
    edited = next(step for step in steps_of(call, run, "classic") if step["node_id"] == "edit-node-1")
    document = edited["handle_outputs"]["output-file-0"]["document"]
    whole = content_of(call, document)
    link = call.get(f"/v1/files/{document['id']}/download-link")["download_url"]
    path, _, query = link.removeprefix("http://retab.test").partition("?")
    pairs = dict(pair.split("=") for pair in query.split("&"))

    def fetch(**headers):
        asked = {"host": "retab.test", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return call("GET", path, headers=asked, **pairs)

    part = fetch(range="bytes=10-")
    assert (part.status, part.body) == (206, whole[10:])
    assert part.headers["content-range"] == f"bytes 10-{len(whole) - 1}/{len(whole)}"
    assert fetch(range="bytes=2-4").body == whole[2:5]
    assert fetch(range="bytes=10-", if_range='"other"').body == whole
    assert fetch(range="bytes=10-", if_range=part.headers["etag"]).status == 206
    assert fetch(range=f"bytes={len(whole)}-").status == 416
    clock.tick(3601)
    assert fetch().status == 403
