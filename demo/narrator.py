"""Tells on stderr what happens while it happens: with a spinner in a terminal, in plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Narrator:
    """A line for everything that happened, with the seconds since the start before it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = time.monotonic()

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
        with self._console.status(f"{text} …"):
            yield
        self.saw(text)
