"""References to documents: where a file is and what it is, never what is in it."""

from typing import Any, ClassVar

from pydantic import Field

from retab_orchestration.models._reading import Places, Reading, fields, ident, places, read_places, text

__all__ = ["DocumentRef", "document_fields"]


class DocumentRef(Reading):
    """A file that Retab stores.

    Attributes:
        id: The file's id, `file_…` (`file_id` in the first API versions).
        filename: Its name.
        mime_type: Its MIME type.
        url: Where it is stored, opaque; None where the server sent the bytes themselves, which are not kept.
    """

    id: str | None = None
    filename: str | None = None
    mime_type: str | None = None
    url: str | None = Field(default=None, repr=False)  # it may be signed

    _places: ClassVar[Places] = places(id=(ident, "id", "file_id"), filename=text, mime_type=text, url=text)

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        found = read_places(cls._places, body)
        url = found.get("url", "")
        if url[:5].lower() != "data:":
            return found
        return {"mime_type": _mime_type_in(url), **found, "url": None}


def document_fields(value: Any) -> dict[str, str]:
    """Return a document reference as a plain dict of what is known of it: id, filename, mime_type, url."""
    known = fields(DocumentRef.model_validate(fields(value)))
    return {name: item for name, item in known.items() if item is not None}


def _mime_type_in(data_uri: str) -> str | None:
    # A data URI is as long as its document: only its head is looked at.
    head = data_uri[5:261]
    return head.partition(",")[0].partition(";")[0] or None
