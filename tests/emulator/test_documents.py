"""Reading documents."""

import base64

import pytest

from retab_orchestration.emulator.files.documents import decode_base64, decode_data_uri, extract, read_file
from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from retab_orchestration.emulator.workflows.values import Field
from tests.emulator.conftest import DOCUMENTS, VALUES

FIELDS = BUILT_IN[0].node("extract-node-1").fields
OTHER = {
    "invoice_number": "7731/B",
    "invoice_date": "2025-11-03",
    "vendor_name": "Harbour Lane Catering",
    "currency": "GBP",
    "total_amount": 488.9,
}


@pytest.mark.parametrize(("name", "values"), [("invoice.pdf", VALUES), ("invoice_other.pdf", OTHER)])
def test_the_samples_are_read(name, values):
    file = read_file((DOCUMENTS / name).read_bytes(), name, "application/pdf", 0.0)

    assert extract(file.text, FIELDS) == values
    assert (file.page_count, file.problem) == (1, None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Total: 1234.56", 1234.56),
        ("Total: 1,234.56", 1234.56),
        ("Total: 1.234,56", 1234.56),
        ("Total: 12,5", 12.5),
        ("Total: 1,234", 1234.0),
        ("Total: EUR 99", 99.0),
        ("Total: -3.50 €", -3.5),
        ("  total :  7  ", 7.0),
        ("Total: much", None),
        ("Total:", None),
        ("Subtotal: 5", None),
        ("", None),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    assert extract(text, {"total": Field("Total", is_number=True)}) == {"total": number}


def test_text_is_taken_from_its_own_line():
    text = "Vendor code: 9\nVendor: A: B \nVendor: second"

    assert extract(text, {"vendor": Field("Vendor")}) == {"vendor": "A: B"}


@pytest.mark.parametrize("encoded", ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\n"])
def test_base64_comes_with_and_without_padding(encoded):
    assert decode_base64(encoded) == b"hello"


@pytest.mark.parametrize("encoded", ["a", "%%%%", "data:a/b;base64,aGVsbG8=", "häää"])
def test_what_is_no_base64_is_refused_without_showing_it(encoded):
    with pytest.raises(ValueError, match="not valid base64"):
        decode_base64(encoded)


def test_data_uris():
    assert decode_data_uri("data:a/b;base64,aGVsbG8=") == (b"hello", "a/b")
    assert decode_data_uri("data:a/b;charset=utf-8;base64,aGVsbG8=") == (b"hello", "a/b")
    assert decode_data_uri("data:,a%20b") == (b"a b", "text/plain")
    with pytest.raises(ValueError, match="not a data URI"):
        decode_data_uri("https://example.com/")


def test_text_and_pictures_are_taken_for_what_they_are():
    assert read_file(b"Vendor: x", "a.txt", "text/plain", 0.0).text == "Vendor: x"
    picture = read_file(b"\x89PNG\r\n\x1a\n\xff", "a.png", "image/png", 0.0)
    assert (picture.text, picture.problem) == ("", None)


def test_a_broken_pdf_has_a_problem():
    assert "not a readable PDF" in read_file(b"%PDF-1.4 oh", "a.pdf", "application/pdf", 0.0).problem


def test_a_file_keeps_little_of_its_text_and_shows_none():
    file = read_file(b"secret " * 100_000, "a.txt", "text/plain", 0.0)

    assert len(file.text) == 65_536
    assert "secret" not in repr(file)


def test_a_file_without_extension_has_a_storage_url_too():
    file = read_file(base64.b64decode(b"aGk="), "README", "text/plain", 0.0)

    assert file.storage_url.endswith(f"/{file.id}.bin")
