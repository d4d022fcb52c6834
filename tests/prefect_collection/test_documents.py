import io
from pathlib import Path

import fsspec
import pytest

from prefect_collection.documents import RemoteFile, as_documents, refuse_contents
from retab_orchestration import Document, FileReference, InvalidInputError, RetabClient
from tests.invoices import invoice_pdf


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
