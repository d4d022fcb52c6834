"""Files: upload in three steps, download, and how much is kept."""

import base64
import hashlib
from urllib.parse import parse_qsl, urlsplit

import pytest

from retab_orchestration.emulator import Request
from retab_orchestration.emulator.files.store import FileStore
from tests.emulator.conftest import VALUES, Caller

UPLOAD = "/v1/files/upload"


def storage(call, method, url, body=b"", headers=()):
    parts = urlsplit(url)
    return call.service.handle(Request(method, parts.path, parse_qsl(parts.query), dict(headers), body))


def begin(call, content, **more):
    return call.post(UPLOAD, {"filename": "invoice.pdf", "size_bytes": len(content), **more})


def put(call, session, content, **more):
    headers = {name.lower(): value for name, value in session["uploadHeaders"].items()}
    return storage(call, session["uploadMethod"], session["uploadUrl"], content, {**headers, **more}).status


def test_an_upload_in_three_steps_gives_a_file_that_runs_can_use(call, clock, invoice):
    session = begin(call, invoice, sha256=hashlib.sha256(invoice).hexdigest())
    assert put(call, session, invoice) == 200
    stored = call.post(f"{UPLOAD}/{session['fileId']}/complete")
    assert stored == session["mimeData"]

    file = call.get(f"/v1/files/{session['fileId']}")
    link = call.get(f"/v1/files/{session['fileId']}/download-link")
    assert (file["filename"], file["mime_type"], file["page_count"]) == ("invoice.pdf", "application/pdf", 1)
    assert link["mime_data"] == stored
    assert storage(call, "GET", link["download_url"]).body == invoice
    assert call.get("/v1/files")["data"] == [file]

    run = call.post(
        "/v1/workflows/runs", {"workflow_id": "wf_invoice", "documents": {"start-node-1": stored}}, status=202
    )
    clock.tick(2)
    steps = call.get("/v1/workflows/steps", run_id=run["id"])["data"]
    assert steps[-1]["handle_outputs"]["output-json-0"]["data"] == VALUES


def test_an_upload_that_does_not_match_is_refused(call, invoice):
    session = begin(call, invoice)
    complete = f"{UPLOAD}/{session['fileId']}/complete"
    assert call("POST", complete).status == 422

    assert put(call, session, invoice[:-1]) == 200
    assert call("POST", complete).status == 422
    assert put(call, session, invoice) == 200
    assert call("POST", complete, {"sha256": "0" * 64}).status == 422
    assert call("GET", f"/v1/files/{session['fileId']}").status == 404
    assert call("POST", complete).status == 200


def test_a_signed_address_takes_exactly_its_headers(call, invoice):
    session = begin(call, invoice)

    assert put(call, session, invoice, authorization="Bearer k") == 403
    assert put(call, session, invoice, **{"content-type": "text/plain"}) == 403
    assert put(call, session, invoice, **{"x-goog-meta-more": "1"}) == 403
    fewer = {name: value for name, value in session["uploadHeaders"].items() if name == "Content-Type"}
    assert put(call, {**session, "uploadHeaders": fewer}, invoice) == 403
    unsigned = {**session, "uploadUrl": session["uploadUrl"].replace("signature=", "signature=x")}
    assert put(call, unsigned, invoice) == 403


def test_an_upload_session_ends(call, clock, invoice):
    session = begin(call, invoice)
    clock.tick(901)

    assert put(call, session, invoice) == 410
    assert call("POST", f"{UPLOAD}/{session['fileId']}/complete").status == 410
    assert call("POST", f"{UPLOAD}/file_unknown/complete").status == 404


@pytest.mark.parametrize(
    "body", [{}, {"filename": "a"}, {"filename": "a", "size_bytes": 0}, {"filename": "a", "size_bytes": True}]
)
def test_a_session_is_checked(call, body):
    assert call("POST", UPLOAD, body).status == 422


def test_the_oldest_form_holds_the_file(clock, invoice):
    call, strict = Caller(clock), Caller(clock, api="current")
    body = {"filename": "a.pdf", "url": "data:application/pdf;base64," + base64.b64encode(invoice).decode()}

    uploaded = call.post(UPLOAD, body)

    assert call.get(f"/v1/files/{uploaded['fileId']}")["page_count"] == 1
    assert call("POST", UPLOAD, {**body, "url": "nothing"}).status == 422
    assert strict("POST", UPLOAD, body).status == 422


def test_the_documents_of_runs_are_files_too(call, invoice):
    run = call.start("wf_invoice", content=invoice)
    file_id = run["input_documents"]["start-node-1"]["id"]

    link = call.get(f"/v1/files/{file_id}/download-link")

    assert storage(call, "GET", link["download_url"]).body == invoice


def test_files_are_listed_and_filtered(call, clock):
    for number in range(3):
        call.start("wf_invoice", content=b"text %d" % number)
    listed = call.get("/v1/files", limit="2")

    assert len(listed["data"]) == 2
    assert len(call.get("/v1/files", after=listed["list_metadata"]["after"])["data"]) == 1
    assert len(call.get("/v1/files", order="asc", filename="inv", mime_type="application/pdf")["data"]) == 3
    assert call.get("/v1/files", filename="other")["data"] == []
    assert call.get("/v1/files", from_date="2027-01-01")["data"] == []


def test_storage_has_nothing_else(call):
    url = "http://retab.test/_storage/odd/file_1?signature=1_elif"

    assert storage(call, "GET", url).status == 404
    assert storage(call, "PUT", url.replace("odd", "upload")).status == 404


def test_only_the_newest_bytes_are_kept():
    file_store = FileStore()
    megabytes = 1024 * 1024
    for number in range(40):
        file_store.keep(f"file_{number}", bytes(megabytes))
    file_store.keep("file_huge", bytes(33 * megabytes))

    assert file_store.content("file_7") is None
    assert file_store.content("file_8") is not None
    assert file_store.content("file_huge") is None


def test_a_file_without_its_bytes_says_so(call, invoice):
    run = call.start("wf_invoice", content=invoice)
    link = call.get(f"/v1/files/{run['input_documents']['start-node-1']['id']}/download-link")
    call.service.state.file_store.keep("file_big", bytes(32 * 1024 * 1024))

    assert storage(call, "GET", link["download_url"]).status == 410
