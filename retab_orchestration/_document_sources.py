"""Documents from paths, objects that can be opened, and open files: checked and measured, but not read yet."""

import io
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast
from weakref import WeakSet

from retab_orchestration._document_streams import OpenedDocument, cause_of, reading, reason_of
from retab_orchestration._texts import printable
from retab_orchestration.errors import DocumentReadError, InvalidInputError, RetabError

__all__ = ["from_openable", "from_path", "from_stream"]


class _Shared:
    """An open file that several threads may give as a document, each of which reads it from where it stood at first.

    Args:
        stream: The file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.lock = threading.RLock()  # a signal's handler may read the file that its thread is reading
        self.users = 0
        self.start: int | None = None
        """Where it stood."""
        self.reader: object = None
        """Whose position it has; None for nobody's."""

    def rewind(self, start: int) -> None:
        """Let it stand where it stood."""
        with self.lock:
            self.reader = None
            _seek_back(self.stream, start)


# By the id of the file, as long as it is measured or read.
_in_use: dict[int, _Shared] = {}
_guard: Any = threading.RLock()


def _enter(stream: BinaryIO) -> _Shared:
    with _guard:
        shared = _in_use.setdefault(id(stream), _Shared(stream))
        shared.users += 1
        return shared


def _leave(shared: _Shared) -> None:
    with _guard:
        shared.users -= 1
        if not shared.users:
            _in_use.pop(id(shared.stream), None)


@contextmanager
def _shared(stream: BinaryIO) -> Iterator[_Shared]:
    """Have an open file for oneself."""
    shared = _enter(stream)
    try:
        with shared.lock:
            yield shared
    finally:
        _leave(shared)


def _forget() -> None:
    global _guard  # noqa: PLW0603
    _in_use.clear()
    _guard = threading.RLock()


# A lock that another thread held while the process forked would never be released in the child.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)


class _Rewound(io.BufferedIOBase):
    """The caller's open file from its position; closing it leaves the file open and restores the position."""

    def __init__(self, stream: BinaryIO, start: int) -> None:
        self._shared, self._start, self._at = _enter(stream), start, start
        with self._shared.lock:
            if self._shared.start is None:
                self._shared.start = start
            self._shared.reader = self
            stream.seek(start)

    def read(self, size: int | None = -1, /) -> bytes:
        shared = self._shared
        with shared.lock:
            is_read = False
            while not is_read:
                if shared.reader is not self:
                    shared.reader = self
                    shared.stream.seek(self._at)
                piece = shared.stream.read(-1 if size is None else size)
                is_read = shared.reader is self  # unless a signal's handler has read it meanwhile
            self._at += len(piece or b"")
        return piece

    def fileno(self) -> int:
        # A NamedTemporaryFile is one around the file.
        stream = getattr(self._shared.stream, "file", self._shared.stream)
        if isinstance(stream, io.BufferedIOBase | io.RawIOBase):
            return stream.fileno()
        return super().fileno()

    def close(self) -> None:
        if not self.closed:
            self._shared.rewind(self._start)
            _leave(self._shared)
        super().close()


# Streams that broke off and cannot be read from their start any more: the rest would be half a document.
_broken: "WeakSet[Any]" = WeakSet()


def _break(stream: Any) -> None:
    with suppress(TypeError):  # it allows no weak references
        _broken.add(stream)


def _is_broken(stream: Any) -> bool:
    try:
        return stream in _broken
    except TypeError:
        return False


def _seek_back(stream: BinaryIO, start: int) -> None:
    try:
        stream.seek(start)
    except Exception:  # noqa: BLE001  whatever it says, it was read, and is refused from now on
        _break(stream)


def _measured(stream: BinaryIO) -> int:
    start = stream.tell()
    try:
        return stream.seek(0, os.SEEK_END) - start
    finally:
        stream.seek(start)


def _spooled(stream: BinaryIO, name: str) -> BinaryIO:
    # A pipe can be read once only, and its length is not known before its end: past 1 MiB the copy is on disk.
    copy = tempfile.SpooledTemporaryFile(max_size=1024 * 1024)  # noqa: SIM115  it lives as long as the document
    try:
        with reading(name or "the document", "broke off", "and it cannot be read twice: open it again"):
            shutil.copyfileobj(stream, copy)
    except BaseException:
        copy.close()
        _break(stream)
        raise
    copy.seek(0)
    return cast("BinaryIO", copy)


_NO_FILE = "is a pipe or a device; open it with mode 'rb' and give the open file"


def _opened(path: Path) -> BinaryIO:
    """Open a file without blocking: what was a file when it was checked may be a pipe by now."""
    if type(path).open is not Path.open:  # a path on another filesystem
        return cast("BinaryIO", path.open("rb"))
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInputError(f"{printable(str(path), 200)} {_NO_FILE}")
    return os.fdopen(descriptor, "rb")


def from_path(path: Path) -> OpenedDocument:
    """Return the document of a path; raise InvalidInputError if there is no file."""
    called = printable(str(path), 200)
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise InvalidInputError(f"{called} is a directory; give one file")
        if stat.S_IFMT(facts.st_mode) not in {0, stat.S_IFREG}:
            raise InvalidInputError(f"{called} {_NO_FILE}")
        _opened(path).close()
    except FileNotFoundError as error:
        raise InvalidInputError(
            f"there is no file {called}; check the path on the machine that sends it"
        ) from cause_of(error)
    except OSError as error:
        raise InvalidInputError(
            f"{called} cannot be read ({reason_of(error)}); check its permissions"
        ) from None
    except RetabError:
        raise
    except ValueError:
        raise InvalidInputError(
            f"{called} has a character that no path has; check where it comes from"
        ) from None
    return OpenedDocument(path.name, "", facts.st_size, lambda: _opened(path))


def _name_of(source: Any) -> str:
    """Return the last part of the name of what can be opened, without the signature of an address."""
    name = str(getattr(source, "name", ""))
    return PurePath(name.partition("?")[0] if "://" in str(source) else name).name


def _place_of(source: Any) -> str:
    """Return its name for an error: its address without user, query and fragment, or its name."""
    address = re.split(r"[?#]", str(source), maxsplit=1)[0]
    if "://" not in address:
        return printable(_name_of(source), 200) or "the document"
    return printable(re.sub(r"://[^/@]*@", "://", address), 200)


def from_openable(source: Any) -> OpenedDocument:
    """Open and measure what has `.open("rb")`; no error repeats its own, which may hold a signed address."""

    def opened() -> BinaryIO:
        return cast("BinaryIO", source.open("rb"))

    called = "the document"
    try:
        name, called = _name_of(source), _place_of(source)
        with opened() as stream:
            size = _measured(stream)
    except FileNotFoundError as error:
        raise InvalidInputError(f"there is no file {called}; check its address") from cause_of(error)
    except RetabError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"{called} cannot be read from any place in it ({reason_of(error)}); check its address and your access"
        ) from None
    except Exception as error:  # noqa: BLE001  whatever a store raises, it may have another answer next time
        raise DocumentReadError(
            f"{called} cannot be read ({reason_of(error)}); nothing was created, try again"
        ) from None
    return OpenedDocument(name, "", size, opened)


def from_stream(stream: Any) -> OpenedDocument:
    """Measure an open file from its position, copying one that can be read only once."""
    if isinstance(stream, io.TextIOBase):
        raise InvalidInputError("the document is a file that is open as text; open it with mode 'rb'")
    if getattr(stream, "closed", False):
        raise InvalidInputError("the document is a file that is closed already; open it, or give its path")
    if _is_broken(stream):
        raise InvalidInputError(
            "the document is a file that broke off while it was read, and does not go back to where it began; open it "
            "again, or give its path"
        )
    filename = ""
    try:
        name = getattr(stream, "name", None)
        filename = PurePath(name).name if isinstance(name, str) else ""
        if not stream.seekable():
            with _shared(stream):
                stream = _spooled(stream, filename)
        with _shared(stream) as shared:
            start = stream.tell() if shared.start is None else shared.start
            stream.seek(start)
            size, shared.reader = _measured(stream), None
    except RetabError:
        raise
    except Exception as error:  # noqa: BLE001  it may be anything that has these methods
        raise InvalidInputError(
            f"the document is a file that cannot be measured ({reason_of(error)}); open it again, or give its path"
        ) from None
    return OpenedDocument(filename, "", size, lambda: cast("BinaryIO", _Rewound(stream, start)))
