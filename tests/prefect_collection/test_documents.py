import io
import traceback
from collections import deque
from pathlib import Path

import fsspec
import pytest

from prefect_collection._documents import RemoteFile, as_documents, read_all, refuse_contents
from prefect_collection.credentials import load_credentials
from retab_orchestration import (
    ConfigurationError,
    Document,
    FileReference,
    InvalidInputError,
    RetabClient,
)
from tests.invoices import invoice_pdf
from tests.prefect_collection.conftest import API_KEY


def test_paths_uris_and_references_become_what_the_client_takes():
    reference = FileReference(id="file_1", filename="a.pdf", mime_type="application/pdf")

    documents = as_documents(
        {
            "text": "/inbox/a.pdf",
            "path": Path("/inbox/a.pdf"),
            "uri": "s3://bucket/year/a.pdf",
            "reference": reference,
            "object": {"file_id": "file_1", "filename": "a.pdf", "mime_type": "application/pdf"},
        }
    )

    assert documents == {
        "text": Path("/inbox/a.pdf"),
        "path": Path("/inbox/a.pdf"),
        "uri": RemoteFile("s3://bucket/year/a.pdf"),
        "reference": reference,
        "object": reference,
    }


def test_no_documents_stay_none():
    assert as_documents(None) is None


@pytest.mark.parametrize(
    "contents",
    [
        b"%PDF",
        bytearray(b"%PDF"),
        memoryview(b"%PDF"),
        ("a.pdf", b"%PDF"),
        io.BytesIO(b"%PDF"),
        Document(b"%PDF", filename="a.pdf"),
        [{"deep": [b"%PDF"]}],
        {b"%PDF"},
        frozenset({b"%PDF"}),
        deque([b"%PDF"]),
        {b"%PDF": "a key"},
    ],
)
def test_contents_are_refused_and_not_repeated(contents):
    with pytest.raises(InvalidInputError, match=r"documents\['start'\].*Prefect stores") as refused:
        refuse_contents("documents", {"start": contents})

    assert "%PDF" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://bucket/year/a.pdf", "a.pdf"),
        ("memory://a.pdf", "a.pdf"),
        ("https://example.com/a.pdf?signature=b/c", "a.pdf"),
        ("gs://bucket/folder/", "folder"),
        ("zip://folder/a.pdf::s3://bucket/all.zip", "a.pdf"),
        ("simplecache::s3://bucket/a.pdf", "a.pdf"),
        ("zip://a.pdf::https://example.com/all.zip?signature=b/c", "a.pdf"),
    ],
)
def test_a_uri_names_its_document_by_its_last_part(uri, name):
    assert RemoteFile(uri).name == name


def test_a_file_behind_a_uri_reaches_the_client_by_its_name(emulator):
    fsspec.filesystem("memory").pipe("/inbox/remote.pdf", invoice_pdf())

    with RetabClient() as client:
        run = client.create_run(
            "wf_invoice", documents=as_documents({"start-node-1": "memory://inbox/remote.pdf"})
        )
        read = client.get_run(run.id)

    assert read.inputs.documents["start-node-1"].filename == "remote.pdf"


SIGNED = "memory://user:sesame-4711@nobody/wrote.pdf?X-Amz-Signature=0123456789abcdef"


def test_a_signed_address_is_in_no_error_and_no_repr():
    remote = as_documents({"start-node-1": SIGNED})["start-node-1"]

    with pytest.raises(InvalidInputError, match=r"there is no file memory://nobody/wrote\.pdf") as refused:
        read_all({"start-node-1": remote})

    said = "".join(traceback.format_exception(refused.value))
    assert "Signature" not in f"{said} {remote!r}"
    assert "sesame" not in f"{said} {remote!r}"


def test_what_is_no_filesystem_repeats_no_address():
    remote = as_documents({"start-node-1": SIGNED.replace("memory", "nowhere")})["start-node-1"]

    with pytest.raises(InvalidInputError, match="no filesystem is known for nowhere://") as refused:
        read_all({"start-node-1": remote})

    assert "Signature" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("node", [b"%PDF-1.4 TOP SECRET", "TOP SECRET" * 20])
def test_what_is_no_name_of_a_node_is_not_repeated(node):
    with pytest.raises(InvalidInputError, match=r"documents\[\.\.\.\]") as refused:
        as_documents({node: 7})

    assert "TOP SECRET" not in str(refused.value)


def test_a_key_that_is_given_for_a_block_is_not_repeated():
    with pytest.raises(
        ConfigurationError, match=r"credentials is no name of a block.*never a key"
    ) as refused:
        load_credentials(API_KEY)

    assert API_KEY not in "".join(traceback.format_exception(refused.value))
