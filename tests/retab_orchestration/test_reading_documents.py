"""What happens to a create when its document cannot be read, changes meanwhile, or is looked at on another machine."""

import io
import mimetypes

import pytest

from retab_orchestration import (
    ApiConnectionError,
    CreateOutcomeUnknownError,
    Document,
    DocumentReadError,
    InvalidInputError,
    RunIdentity,
    with_sha256,
)
from retab_orchestration._arguments import NewRun
from retab_orchestration.documents import LARGE, Spool, read_document
from retab_orchestration.identity import FINGERPRINT

NODE = "start-node-1"
OWNER = RunIdentity.of("task")


class Source:
    """A document somewhere else, which counts the bytes that are read of it and fails when it is told to."""

    def __init__(self, content, name="a.pdf"):
        self.content, self.name = content, name
        self.read = 0
        self.fails_at = None
        self.opens = 0
        self.fails_to_open = None

    def open(self, mode):
        self.opens += 1
        if self.fails_to_open is not None and self.opens >= self.fails_to_open:
            raise RuntimeError("https://signed.example/secret")
        return _Stream(self)


class _Stream(io.BytesIO):
    def __init__(self, source):
        super().__init__(source.content)
        self._source = source

    def read(self, size=-1):
        if self._source.fails_at is not None and self.tell() + max(size, 0) > self._source.fails_at:
            raise OSError(5, "Input/output error")
        piece = super().read(size)
        self._source.read += len(piece)
        return piece


@pytest.fixture
def retab(connect, family):
    return connect(server=family, api=family, auth="bearer", traits={"idempotency": "ignored"})


def create(client, source, **more):
    return client.create_run("wf_invoice", documents={NODE: source}, **more)


def created(runtime):
    return runtime.service.stats()["runs_created"]


@pytest.mark.parametrize("size", [100_000, LARGE + 1])
def test_a_document_that_cannot_be_read_to_its_end_is_named_and_creates_nothing(retab, size):
    client, runtime = retab
    source = Source(b"%PDF" + b"x" * size)
    source.fails_at = 50_000

    with pytest.raises(
        DocumentReadError, match=r"a\.pdf .*Input/output error.*nothing was created"
    ) as failed:
        create(client, source)

    assert failed.value.retryable
    assert created(runtime) == 0
    source.fails_at = None
    assert create(client, source).id
    assert created(runtime) == 1


@pytest.mark.parametrize("opens", [1, 2])
def test_a_store_that_raises_what_it_likes_creates_nothing_and_tells_no_address(retab, opens):
    client, runtime = retab
    source = Source(b"%PDF")
    source.fails_to_open = opens

    with pytest.raises(DocumentReadError) as failed:
        create(client, source)

    assert "signed.example" not in str(failed.value)
    assert (created(runtime), [name for name in runtime.requests if name.startswith("POST")]) == (0, [])


@pytest.mark.parametrize(("size", "times"), [(100_000, 1), (LARGE + 1, 2)])
def test_how_often_a_document_is_read(connect, size, times):
    client, _ = connect(server="current", api="current", auth="bearer")
    source = Source(b"%PDF" + b"x" * (size - 4))

    create(client, source)

    assert source.read == times * size


def test_a_large_document_whose_hash_is_known_is_read_once_more_only(connect):
    client, _ = connect(server="current", api="current", auth="bearer")
    source = Source(b"%PDF" + b"x" * LARGE)

    create(client, with_sha256(source))

    assert source.read == 2 * len(source.content)


@pytest.mark.parametrize("size", [100_000, LARGE + 1])
def test_a_document_that_is_not_what_it_was_when_it_was_hashed_creates_nothing(connect, size):
    client, runtime = connect(server="current", api="current", auth="bearer")
    source = Source(b"%PDF" + b"x" * size)
    known = with_sha256(source)
    source.content = b"%PDF" + b"y" * size

    with pytest.raises(InvalidInputError, match="changed after"):
        create(client, known)

    assert created(runtime) == 0


@pytest.mark.parametrize("wrong", ["", "abc", "A" * 64, 7])
def test_a_hash_that_is_none_is_refused(wrong):
    with pytest.raises(InvalidInputError, match="64 hex digits"):
        read_document(Document(b"x", filename="a.pdf", sha256=wrong))


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.webp", "a.pdf", "a.unheard-of"])
def test_what_a_machine_knows_of_endings_changes_nothing(connect, monkeypatch, name):
    client, runtime = connect(server="current", api="current", auth="bearer")
    seen = []
    for known in ({}, {".docx": "x/docx", ".xlsx": "x/xlsx", ".webp": "x/webp", ".unheard-of": "x/y"}):
        monkeypatch.setattr(mimetypes, "guess_type", lambda given, known=known: (known.get(given[1:]), None))
        run = create(client, (name, b"content"), identity=OWNER, adopt=True)
        seen.append((run.id, run.metadata[FINGERPRINT]))

    assert seen[0] == seen[1]
    assert created(runtime) == 1


def test_what_a_caller_says_of_its_type_is_an_input():
    def fingerprint(mime_type):
        document = Document(b"x", filename="a.bin", mime_type=mime_type)
        return NewRun.read("wf_1", documents={NODE: document}).fingerprint()

    assert fingerprint("application/pdf") != fingerprint(None) != fingerprint("image/png")


def test_documents_share_one_copy_that_several_readers_read():
    spool = Spool()
    contents = [b"a" * 700_001, b"b" * 700_000, b"c"]
    copies = [spool.add(read_document((f"{number}.pdf", given))) for number, given in enumerate(contents)]

    streams = [copy.open() for copy in copies]
    read = [b"", b"", b""]
    while pieces := [stream.read(65_536) for stream in streams]:
        if not any(pieces):
            break
        read = [so_far + piece for so_far, piece in zip(read, pieces, strict=True)]
    spool.close()

    assert read == contents


# ---- a restart on classic routes, whose command the server knows


def lost_restart(connect, **options):
    client, runtime = connect(server="classic", api="classic", auth="bearer")
    run = client.wait_for_run(client.create_run("wf_echo").id)
    runtime.service.faults.post([{"match": "POST *restart", "kind": "reset_before", "times": 99}])
    return client, runtime, run, lambda: client.restart_run(run.id, **options)


def test_a_restart_of_nobody_in_particular_whose_answers_are_lost_is_not_known(connect):
    _, runtime, run, restart = lost_restart(connect)

    with pytest.raises(CreateOutcomeUnknownError, match=run.id) as lost:
        restart()

    assert not lost.value.retryable
    assert runtime.requests.count(f"POST /v1/workflows/runs/{run.id}/restart") == 4


def test_a_restart_of_an_identity_may_be_tried_again_for_its_command_is_the_same(connect):
    client, runtime, run, restart = lost_restart(connect, identity=OWNER)

    with pytest.raises(ApiConnectionError) as lost:
        restart()

    assert lost.value.retryable
    runtime.service.faults.post([{"match": "POST *restart", "kind": "reset_after"}])
    assert restart().id == client.restart_run(run.id, identity=OWNER).id
    assert created(runtime) == 2
