"""Large documents on current routes: uploaded once, to a signed address, before the run that needs them."""

import hashlib
import json
from dataclasses import replace

import pytest

from retab_orchestration import (
    ApiConnectionError,
    CreateOutcomeUnknownError,
    DocumentTooLargeError,
    FileReference,
    InvalidInputError,
    RunIdentity,
    UploadNotAllowedError,
    UploadRefusedError,
)
from retab_orchestration._arguments import NewRun
from retab_orchestration._http import Response
from retab_orchestration.documents import LARGE
from retab_orchestration.identity import FINGERPRINT
from tests.invoices import large_invoice
from tests.retab_orchestration.conftest import ok, refused

IDENTITY = RunIdentity.of("uploads", "a task")
NODE = "start-node-1"
OPEN, CREATE = "POST /v1/files/upload", "POST /v1/workflows/runs"
PUT = "PUT (signed address)"
INVOICE = large_invoice(LARGE + 1)


@pytest.fixture
def current(connect):
    def build(*faults, **options):
        client, runtime = connect(server="current", api="current", auth="bearer", **options)
        runtime.service.faults.post(list(faults))
        return client, runtime

    return build


def names(runtime):
    """The requests, without the id of the upload."""
    return [name if not name.endswith("/complete") else "complete" for name in runtime.requests]


def create(client, content=None, **options):
    return client.create_run(
        "wf_invoice", documents={NODE: ("a.pdf", INVOICE if content is None else content)}, **options
    )


def test_a_large_document_is_uploaded_before_its_run(current):
    client, runtime = current()

    run = client.wait_for_run(create(client).id)

    [output] = run.outputs.values()
    assert output["invoice_number"] == "INV-2024-001"
    assert names(runtime)[:4] == [OPEN, PUT, "complete", CREATE]


def test_the_signed_address_gets_its_headers_and_no_key(current):
    client, runtime = current()

    create(client)

    [put] = [request for request in runtime.sent if request.signed_url]
    opened = runtime.service.state.file_store.uploads
    assert put.headers == next(iter(opened.values())).headers
    assert "key-1" not in repr(put.headers)
    assert put.body.length == LARGE + 1


@pytest.mark.parametrize(
    ("sizes", "uploaded"),
    [
        ([LARGE], 0),
        ([LARGE + 1], 1),
        ([LARGE] * 4, 0),
        ([LARGE] * 5, 1),
        ([LARGE] * 6, 2),
        ([LARGE + 1, *[LARGE] * 4], 1),
        ([1, LARGE + 1, LARGE + 2], 2),
    ],
)
def test_what_is_large_alone_or_with_the_others_is_uploaded(current, tmp_path, sizes, uploaded):
    client, runtime = current()
    documents = {}
    for number, size in enumerate(sizes):
        path = tmp_path / f"{number}.pdf"
        with path.open("wb") as stream:
            stream.truncate(size)
        documents[f"start-{number}"] = path

    with pytest.raises(Exception, match="is no start node"):
        client.create_run("wf_invoice", documents=documents)

    assert runtime.requests.count(OPEN) == uploaded
    assert runtime.sent[-1].body.length < 32 * 1024 * 1024


def test_a_run_has_the_same_fingerprint_however_its_document_was_sent(current):
    client, _ = current()
    given = NewRun.read("wf_invoice", documents={NODE: ("a.pdf", INVOICE)}).fingerprint()

    assert create(client).metadata[FINGERPRINT] == given


def test_a_task_that_tries_again_uploads_nothing(current):
    client, runtime = current()
    first = create(client, identity=IDENTITY, adopt=True)
    runtime.sent.clear()

    assert create(client, identity=IDENTITY, adopt=True).id == first.id
    assert runtime.requests == ["GET /v1/workflows/runs", f"GET /v1/workflows/runs/{first.id}"]


@pytest.mark.parametrize("kind", ["http_500", "reset_before", "reset_after", "garbage"])
def test_a_create_that_is_sent_again_uploads_nothing_again(current, kind):
    client, runtime = current({"match": CREATE, "kind": kind}, idempotency="ignored")

    create(client)

    assert runtime.requests.count(OPEN) == runtime.requests.count(PUT) == 1
    assert runtime.service.stats()["runs_created"] == 1


def test_a_second_upload_under_the_same_idempotency_key_finds_the_first_run(current):
    # What a process does that knows nothing of the one before it, on a server whose list of runs showed it nothing.
    client, runtime = current()

    first, second = create(client, identity=IDENTITY), create(client, identity=IDENTITY)

    assert first.id == second.id
    assert runtime.service.stats()["runs_created"] == 1


def test_a_conflict_whose_run_is_not_to_be_found_leaves_the_outcome_open(current):
    client, runtime = current({"match": CREATE, "kind": "http_409"})

    with pytest.raises(CreateOutcomeUnknownError, match="came before"):
        create(client)

    assert runtime.requests.count(CREATE) == 1


@pytest.mark.parametrize(
    "given", [{"text_inputs": {"text-node-1": "x"}}, {"metadata": {"a": 1}}, {"version": "../x"}]
)
def test_nothing_is_uploaded_for_a_create_that_cannot_succeed(current, given):
    client, runtime = current()

    with pytest.raises(InvalidInputError):
        create(client, **given)

    assert runtime.sent == []


def test_nothing_is_uploaded_next_to_a_file_that_retab_does_not_have(current):
    client, runtime = current()
    documents = {NODE: ("a.pdf", INVOICE), "other": FileReference("file_unknown")}

    with pytest.raises(Exception, match="file_unknown"):
        client.create_run("wf_invoice", documents=documents)

    assert OPEN not in runtime.requests


STALE = ["http_403", "http_404", "http_409", "http_410", "http_422"]


@pytest.mark.parametrize("match", ["PUT *", "POST */complete"])
@pytest.mark.parametrize("kind", STALE)
def test_a_refused_upload_is_made_once_more(current, match, kind):
    client, runtime = current({"match": match, "kind": kind})

    create(client)

    assert runtime.requests.count(OPEN) == 2
    assert runtime.service.stats()["runs_created"] == 1


@pytest.mark.parametrize("match", ["PUT *", "POST */complete"])
@pytest.mark.parametrize("kind", STALE)
def test_an_upload_that_is_refused_twice_is_an_error_that_says_what_to_do(current, match, kind):
    client, runtime = current({"match": match, "kind": kind, "times": 2})

    with pytest.raises(UploadRefusedError, match=r"a\.pdf was refused twice.*no proxy changes it") as caught:
        create(client)

    assert caught.value.status == int(kind.removeprefix("http_"))
    assert caught.value.retryable
    assert runtime.requests.count(OPEN) == 2
    assert runtime.service.stats()["runs_created"] == 0


@pytest.mark.parametrize("kind", ["http_500", "http_503", "http_429", "reset_before", "reset_after"])
@pytest.mark.parametrize("match", ["POST /v1/files/upload", "PUT *", "POST */complete"])
def test_what_may_pass_is_sent_again(current, match, kind):
    client, runtime = current({"match": match, "kind": kind})

    create(client)

    assert len(runtime.requests) == 5
    assert runtime.service.stats()["runs_created"] == 1


def test_a_storage_that_stays_away_is_given_up(current):
    client, runtime = current({"match": "PUT *", "kind": "reset_before", "times": 99})

    with pytest.raises(ApiConnectionError):
        create(client)

    assert runtime.requests.count(PUT) == 4
    assert CREATE not in runtime.requests


def test_a_session_that_ends_meanwhile_is_opened_again(current, clock):
    client, runtime = current({"match": "PUT *", "kind": "timeout_after", "seconds": 901})
    send = runtime.send

    async def slowly(request):
        try:
            return await send(request)
        finally:
            if request.signed_url and runtime.requests.count(PUT) == 1:
                clock.time += 901

    runtime.send = slowly
    create(client)

    assert runtime.requests.count(OPEN) == 2


def test_the_signed_address_is_told_to_nobody(current):
    client, runtime = current({"match": "PUT *", "kind": "http_403", "times": 2})

    with pytest.raises(UploadRefusedError) as caught:
        create(client)

    secret = next(request.signed_url for request in runtime.sent if request.signed_url)
    error = caught.value
    told = f"{error} {error!r} {error.__dict__} {error.__cause__} {error.__cause__.__dict__} {runtime.sent!r}"
    assert "_storage" not in told
    assert secret.partition("signature=")[2] not in told


def test_a_document_does_not_leave_tls(script):
    client, runtime = script(ok(session(uploadUrl="http://storage.test/a")), api="current")
    client._session.settings = replace(client._session.settings, base_url="https://retab.test")

    with pytest.raises(UploadNotAllowedError, match="without TLS"):
        create(client)

    assert runtime.requests == [OPEN]


def test_of_what_a_storage_says_only_the_code_is_told(script):
    body = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>the secret</StringToSign></Error>"
    answers = [ok(session()), refused(403), ok(session()), refused(403)]
    for answer in answers[1::2]:
        object.__setattr__(answer, "content", body)
    client, _ = script(*answers, api="current")

    with pytest.raises(UploadRefusedError) as caught:
        create(client)

    assert caught.value.code == "SignatureDoesNotMatch"
    assert "the secret" not in f"{caught.value} {caught.value.__dict__} {caught.value.__cause__}"


def session(**more):
    return {
        "fileId": "file_1",
        "uploadUrl": "https://storage.test/a?signature=s",
        "uploadMethod": "PUT",
        "uploadHeaders": {"Content-Type": "application/pdf"},
        "mimeData": {"filename": "a.pdf", "url": "https://storage.retab.com/org/file_1.pdf"},
        "expiresAt": "2030-01-01T00:00:00Z",
        **more,
    }


RUN = {"id": "run_1", "lifecycle": {"status": "running"}}


@pytest.mark.parametrize(
    ("completed", "url"),
    [
        ({"filename": "b.pdf", "url": "https://storage.retab.com/x"}, "https://storage.retab.com/x"),
        ({"fileId": "file_1", "storageUrl": "https://storage.retab.com/y"}, "https://storage.retab.com/y"),
        ({}, "https://storage.retab.com/org/file_1.pdf"),
    ],
)
def test_the_reference_is_read_in_each_form_it_has_had(script, completed, url):
    client, runtime = script(ok(session()), ok({}), ok(completed), ok(RUN), api="current")

    create(client)

    sent = [json.loads(body) for body in (runtime.bodies[0], runtime.bodies[2], runtime.bodies[3])]
    assert sent[0] == {"filename": "a.pdf", "size_bytes": LARGE + 1, "content_type": "application/pdf"}
    assert sent[1] == {"sha256": hashlib.sha256(INVOICE).hexdigest()}
    assert sent[2]["documents"] == {NODE: {"filename": completed.get("filename", "a.pdf"), "url": url}}


def test_what_a_storage_answers_need_not_be_json(script):
    client, runtime = script(ok(session()), ok(None), ok({}), ok(RUN), api="current")
    object.__setattr__(runtime.answers[1], "content", b"<html>")

    assert create(client).id == "run_1"


@pytest.mark.parametrize("address", ["ftp://host/x", "/relative", "https://", 7])
def test_an_address_that_is_none_is_not_sent_to(script, address):
    client, runtime = script(*[ok(session(uploadUrl=address))] * 4, api="current")

    with pytest.raises(Exception, match="not what the API promises"):
        create(client)

    assert set(runtime.requests) == {OPEN}


@pytest.mark.parametrize("match", ["POST /v1/files/upload", "PUT *", "POST */complete", CREATE])
def test_a_413_of_any_request_says_the_limit_and_is_not_sent_again(current, match):
    client, runtime = current({"match": match, "kind": "http_413", "times": 9})

    with pytest.raises(DocumentTooLargeError, match=r"had [\d.]+ MiB.*32 MiB.*api='current'") as caught:
        create(client)

    assert not caught.value.retryable
    assert names(runtime).count(names(runtime)[-1]) == 1
    assert runtime.service.stats()["runs_created"] == 0


def test_on_classic_routes_a_document_that_is_too_large_says_how_large_it_was(connect):
    client, runtime = connect(server="classic", api="classic", auth="bearer")
    runtime.service.faults.post([{"match": "*", "kind": "http_413"}])

    with pytest.raises(DocumentTooLargeError, match=r"had 5\.3 MiB.*24 MiB of documents"):
        create(client)


class Progress(list):
    def __call__(self, progress):
        self.append((progress.node, progress.filename, progress.sent, progress.size))


SIZE = 6 * 1024 * 1024


@pytest.mark.parametrize("family", ["classic", "current"])
def test_progress_of_a_large_document_is_told_to_its_end(connect, family):
    client, _ = connect(server=family, api=family, auth="bearer")
    told = Progress()

    create(client, large_invoice(SIZE), on_progress=told)

    sent = [entry[2] for entry in told]
    assert {(node, name, size) for node, name, _, size in told} == {(NODE, "a.pdf", SIZE)}
    assert sent == sorted(set(sent))
    assert sent[-1] == SIZE
    assert 5 <= len(sent) <= 9


@pytest.mark.parametrize("family", ["classic", "current"])
def test_a_small_document_has_no_progress(connect, family):
    client, _ = connect(server=family, api=family, auth="bearer")
    told = Progress()

    create(client, large_invoice(LARGE), on_progress=told)

    assert told == []


def test_progress_starts_anew_when_a_document_is_sent_again(current):
    client, _ = current({"match": "PUT *", "kind": "http_500"})
    told = Progress()

    create(client, large_invoice(SIZE), on_progress=told)

    sent = [entry[2] for entry in told]
    assert sent.count(SIZE) == 2
    assert len(sent) == 2 * len(set(sent))


def test_progress_must_be_a_plain_function(current):
    client, runtime = current()

    async def on_progress(progress):
        raise AssertionError(progress)

    with pytest.raises(InvalidInputError, match="plain function"):
        create(client, on_progress=on_progress)

    assert runtime.sent == []


def test_a_document_that_changes_while_it_is_uploaded_creates_nothing(current, tmp_path):
    client, runtime = current()
    path = tmp_path / "a.pdf"
    path.write_bytes(INVOICE)

    with pytest.raises(InvalidInputError, match="changed while"):
        client.create_run(
            "wf_invoice", documents={NODE: path}, on_progress=lambda _: path.write_bytes(b"shorter")
        )

    assert CREATE not in runtime.requests


def test_a_storage_that_answers_before_it_has_read_everything_gets_the_hash_of_everything(script):
    client, runtime = script(ok(session()), ok({}), ok(RUN), api="current")
    send = runtime.send

    async def hasty(request):
        if request.signed_url:
            next(request.body.chunks())
            return Response(200)
        return await send(request)

    runtime.send = hasty
    create(client)

    assert json.loads(runtime.bodies[1]) == {"sha256": hashlib.sha256(INVOICE).hexdigest()}
