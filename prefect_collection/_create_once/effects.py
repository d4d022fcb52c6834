"""The steps of a call that starts a run, which either colour can take."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from prefect_collection._create_once.turns import Running

__all__ = ["Apart", "Ask", "AtAnyRate", "Pause", "Step", "Steps", "Wait"]


@dataclass(frozen=True)
class Apart:
    """Something that blocks: in a thread of its own where an event loop must not be blocked."""

    do: Callable[[], Any]


@dataclass(frozen=True)
class AtAnyRate(Apart):
    """Something that blocks, and is done even where the call is being stopped: others go by what it notes."""


@dataclass(frozen=True)
class Ask:
    """A request to Retab: awaited where the client is async."""

    do: Callable[[], Any]


@dataclass(frozen=True)
class Wait:
    """Another equal call's end; the answer is whether it was waited for."""

    running: Running


@dataclass(frozen=True)
class Pause:
    """Some time, in which another process may get on."""

    seconds: float


Step = Apart | Ask | Wait | Pause
Steps = Generator[Step, Any, Any]
