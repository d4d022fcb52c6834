"""Files: the signed upload in three requests, the facts of a file, and links to download it."""

import hashlib
import mimetypes
import re
from functools import partial
from typing import Any
from urllib.parse import quote

from retab_orchestration.emulator.files.documents import File, decode_data_uri, read_blob, read_file
from retab_orchestration.emulator.files.store import BUDGET, SIGNED, Upload
from retab_orchestration.emulator.runs.creation import object_at, text_at
from retab_orchestration.emulator.serving.blobs import Blob
from retab_orchestration.emulator.serving.paging import date_window, order, page
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment, new_id
from retab_orchestration.emulator.state import ORGANIZATION_ID, State

__all__ = ["ROUTES", "STORAGE", "find_upload", "refuse_storage", "serve_storage"]

STORAGE = "/_storage/"
"""The path of signed addresses; no key is needed there, and none is allowed."""

_SESSION = 900.0
"""Seconds that an upload may take."""

_LINK = 3600.0
"""Seconds after which a link to a document expires."""

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")

_UNKNOWN = "application/octet-stream"

_NOT_SIGNED = Response(403, b"SignatureDoesNotMatch", {"content-type": "text/plain"})
_EXPIRED = Response(
    403,
    b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
    {"content-type": "text/xml"},
)


def create_upload(state: State, request: Request) -> Response:
    """Answer `POST /v1/files/upload`: a session, or at once a file where the body holds one."""
    body, ways = request.json_object(), state.generation.uploads
    where, document = (
        (["body"], body) if "mimeData" not in body else (["body", "mimeData"], object_at(body, "mimeData"))
    )
    filename = text_at(document, "filename", where)
    if "inline" in ways and ("url" in document or "signed" not in ways):
        return _upload_inline(state, filename, text_at(document, "url", where), where)
    size = body.get("size_bytes")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise Refusal.invalid(["body", "size_bytes"], "Input should be an integer greater than 0", "int_type")
    mime_type = _text(body, "content_type") or _guessed(filename)
    if not _is_header(mime_type):
        raise Refusal.invalid(["body", "content_type"], "Input should be a media type", "value_error")
    file = File(new_id("file"), filename, mime_type, size, "", "")
    upload = Upload(file.id, filename, mime_type, size, _text(body, "sha256"), state.clock() + _SESSION)
    state.file_store.uploads[file.id] = upload
    return answer(
        {
            "fileId": file.id,
            "uploadUrl": _signed(request, f"upload/{file.id}"),
            "uploadMethod": "PUT",
            "uploadHeaders": upload.headers,
            "mimeData": {"filename": filename, "url": file.storage_url},
            "expiresAt": moment(upload.expires_at),
        }
    )


def complete_upload(state: State, request: Request, file_id: str) -> Response:
    """Answer `POST /v1/files/upload/{file_id}/complete`."""
    upload = _session(state, file_id)
    sha256 = _text(request.json_object(), "sha256") or upload.sha256
    if upload.arrived is None:
        raise Refusal(422, "Nothing was uploaded to the signed address yet")
    if upload.arrived.size != upload.size:
        raise Refusal(422, f"Uploaded {upload.arrived.size} bytes, announced {upload.size}")
    if sha256 is not None and sha256 != upload.arrived.sha256:
        raise Refusal(422, "SHA-256 of the uploaded bytes does not match")
    state.file_store.files[file_id] = upload.arrived
    return answer({"filename": upload.filename, "url": upload.arrived.storage_url})


def get_file(state: State, _request: Request, file_id: str) -> Response:
    """Answer `GET /v1/files/{file_id}`."""
    return answer(_body(state, _file(state, file_id)))


def list_files(state: State, request: Request) -> Response:
    """Answer `GET /v1/files`."""
    start, end = date_window(request)
    prefix = request.param("filename") or ""
    files = [
        file
        for file in list(state.file_store.files.values())
        if file.filename.startswith(prefix)
        and request.param("mime_type") in {None, file.mime_type}
        and start <= file.created_at <= end
    ]
    if order(request, "desc"):
        files.reverse()
    write = partial(_body, state)
    return answer(page(request, files, lambda file: file.id, write, default=10, strict=state.is_strict))


def get_download_link(state: State, request: Request, file_id: str) -> Response:
    """Answer `GET /v1/files/{file_id}/download-link`."""
    file = _file(state, file_id)
    link: dict[str, Any] = {
        "download_url": f"{_signed(request, f'download/{file.id}')}&expires={state.clock() + _LINK:.0f}",
        "expires_in": "60 minutes",
        "filename": file.filename,
    }
    if state.generation.is_current or state.api == "both":
        link["mime_data"] = {"filename": file.filename, "url": file.storage_url}
    return answer(link)


def serve_storage(state: State, request: Request) -> Response:
    """Answer a signed address: `PUT` takes an upload, `GET` gives a download."""
    if (refusal := refuse_storage(state, request)) is not None:
        return refusal
    file_id = _target(request)[1]
    if request.method == "PUT":
        return _receive(state, request, file_id)
    content = state.file_store.content(file_id)
    if content is None:
        return Response(410, b"The emulator keeps only the newest files", {"content-type": "text/plain"})
    mime_type = _file(state, file_id).mime_type
    return _part(request, content, mime_type if _is_header(mime_type) else _UNKNOWN)


def refuse_storage(state: State, request: Request) -> Response | None:
    """Return why a request to a signed address is refused, None when it is not, from its head alone.

    Raises:
        Refusal: 404 or 410 when there is nothing at that address, or no more.
    """
    action, file_id = _target(request)
    if request.param("signature") != _signature(file_id):
        return _NOT_SIGNED
    if (request.method, action) == ("GET", "download"):
        expires = request.param("expires") or ""
        return None if expires.isdecimal() and state.clock() <= float(expires) else _EXPIRED
    if (request.method, action) != ("PUT", "upload"):
        raise Refusal(404, "Not Found")
    signed = {name.lower(): value for name, value in _session(state, file_id).headers.items()}
    has_key = "authorization" in request.headers or "api-key" in request.headers
    sent = {
        name: value for name, value in request.headers.items() if name in signed or name.startswith(SIGNED)
    }
    return _NOT_SIGNED if has_key or sent != signed else None


def find_upload(state: State, request: Request) -> Upload | None:
    """Return the upload that a signed address is for, None when it is for none."""
    return state.file_store.uploads.get(request.path.rpartition("/")[2])


def _receive(state: State, request: Request, file_id: str) -> Response:
    upload = _session(state, file_id)
    blob = request.blob or Blob.of(request.body)
    upload.arrived = read_blob(blob, upload.filename, upload.mime_type, state.clock(), file_id)
    if blob.size <= BUDGET:
        with state.lock:
            state.file_store.keep(file_id, blob.start(blob.size))
    return Response(200)


def _upload_inline(state: State, filename: str, url: str, where: list[str]) -> Response:
    try:
        content, mime_type = decode_data_uri(url)
    except ValueError as error:
        raise Refusal.invalid([*where, "url"], "Input should be a data URI with base64 content") from error
    file = read_file(content, filename, mime_type, state.clock())
    with state.lock:
        state.file_store.add(file, content)
    return answer({"fileId": file.id, "filename": filename})


def _part(request: Request, content: bytes, mime_type: str) -> Response:
    """Return the part of a document that is asked for, or all of it."""
    mark = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {"content-type": mime_type, "etag": mark, "accept-ranges": "bytes"}
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or request.headers.get("if-range", mark) != mark:
        return Response(200, content, headers)
    start, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
    if start > end:
        return Response(416, b"", {"content-range": f"bytes */{len(content)}"})
    place = {"content-range": f"bytes {start}-{end}/{len(content)}"}
    return Response(206, content[start : end + 1], {**headers, **place})


def _session(state: State, file_id: str) -> Upload:
    upload = state.file_store.uploads.get(file_id)
    if upload is None:
        raise Refusal(404, "Upload session not found")
    if state.clock() > upload.expires_at:
        raise Refusal(410, "Upload session expired: create another one")
    return upload


def _text(body: dict[str, Any], name: str) -> str | None:
    return None if body.get(name) in (None, "") else text_at(body, name, ["body"])


def _guessed(filename: str) -> str:
    try:
        return mimetypes.guess_type(filename)[0] or _UNKNOWN
    except ValueError:  # some names are taken for malformed addresses
        return _UNKNOWN


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip() != ""


def _target(request: Request) -> tuple[str, str]:
    action, _, file_id = request.path.removeprefix(STORAGE).partition("/")
    return action, file_id


def _file(state: State, file_id: str) -> File:
    if file_id not in state.file_store.files:
        raise Refusal.structured(404, f"File not found: {file_id}")
    return state.file_store.files[file_id]


def _signed(request: Request, path: str) -> str:
    host = request.headers.get("host", "localhost")
    return f"http://{host}{STORAGE}{quote(path)}?signature={_signature(path.partition('/')[2])}"


def _signature(file_id: str) -> str:
    return file_id[::-1]


def _body(state: State, file: File) -> dict[str, Any]:
    return {
        "object": "file",
        "id": file.id,
        **({"organization_id": ORGANIZATION_ID} if state.generation.has_owner else {}),
        "filename": file.filename,
        "mime_type": file.mime_type,
        "page_count": file.page_count,
        "created_at": moment(file.created_at),
        "updated_at": moment(file.created_at),
    }


ROUTES = (
    Route("GET", "/v1/files", list_files),
    Route("POST", "/v1/files/upload", create_upload),
    Route("POST", "/v1/files/upload/{file_id}/complete", complete_upload),
    Route("GET", "/v1/files/{file_id}", get_file),
    Route("GET", "/v1/files/{file_id}/download-link", get_download_link),
)
