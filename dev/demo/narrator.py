"""Tells on stderr what happens while it happens: with a spinner in a terminal, in plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table

# Bytes; a smaller document has arrived before a bar could be seen.
_VISIBLE = 5_000_000


class Narrator:
    """A line for everything that happened, with the seconds since the start before it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._status: Status | None = None
        self._text = ""

    def saw(self, text: str) -> None:
        """Tell what happened."""
        self._console.print(f"[dim]{time.monotonic() - self._started:5.0f} s[/dim]  {text}")

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        """Tell what is being done, for as long as it takes."""
        if not self._console.is_terminal:
            self.saw(text)
            yield
            return
        self._text = f"{text} …"
        with self._console.status(self._text) as self._status:
            yield
        self._status = None
        self.saw(text)

    def receives(self, filename: str, arrived: int, size: int) -> None:
        """Draw a bar for a document that is large enough to see one, and say when it has arrived."""
        if size < _VISIBLE:
            return
        megabytes = f"{arrived / 1e6:.0f} of {size / 1e6:.0f} MB"
        if self._status is not None:
            line = Table.grid(padding=(0, 1))
            line.add_row(f"Retab receives {filename}", ProgressBar(size, arrived, width=40), megabytes)
            self._status.update(line)
        if arrived == size:
            if self._status is not None:
                self._status.update(self._text)
            self.saw(f"Retab has received {filename}, {size / 1e6:.0f} MB")
