"""The files that an emulator knows, with the bytes of the newest ones, up to a fixed amount."""

from collections import OrderedDict
from dataclasses import dataclass, field

from retab_orchestration.emulator.files.documents import File

__all__ = ["BUDGET", "SIGNED", "FileStore", "Upload"]

SIGNED = "x-goog-"
"""The prefixes of headers that a signed address takes only if they were signed."""

BUDGET = 32 * 1024 * 1024
"""Bytes of files that are kept for download; older files are dropped."""


@dataclass
class Upload:
    """An upload that was begun, with what its bytes have to be."""

    file_id: str
    filename: str
    mime_type: str
    size: int
    sha256: str | None
    expires_at: float
    arrived: File | None = None
    """What was sent to the signed address, None until then."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that were signed."""
        return {"Content-Type": self.mime_type, f"{SIGNED}meta-file-id": self.file_id}


@dataclass
class FileStore:
    """Files by id, uploads by file id, and as many bytes as the budget allows."""

    files: dict[str, File] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    _contents: OrderedDict[str, bytes] = field(default_factory=OrderedDict, repr=False)

    def add(self, file: File, content: bytes) -> None:
        """Add a file, and keep its bytes as long as there is room for them."""
        self.files[file.id] = file
        self.keep(file.id, content)

    def keep(self, file_id: str, content: bytes) -> None:
        """Keep the bytes of a file for download, dropping the oldest ones where there is no room."""
        if len(content) <= BUDGET:
            self._contents[file_id] = content
        while sum(map(len, self._contents.values())) > BUDGET:
            self._contents.popitem(last=False)

    def content(self, file_id: str) -> bytes | None:
        """Return the bytes of a file, None when they are not kept any more."""
        return self._contents.get(file_id)

    def find(self, url: str) -> File | None:
        """Return the file of a storage URL, None when there is none."""
        file_id = url.rpartition("/")[2].rpartition(".")[0]
        file = self.files.get(file_id)
        return file if file is not None and file.storage_url == url else None
