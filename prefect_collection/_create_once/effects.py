"""The effects of a call that starts a run: a generator yields them, and a driver of either colour runs them."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from prefect_collection._batches import Batches
from prefect_collection._create_once.turns import Running

__all__ = ["AwaitCall", "Effect", "Effects", "InThread", "InThreadShielded", "Request", "Share", "Sleep"]


@dataclass(frozen=True)
class InThread:
    """Run blocking work, in a thread where there is an event loop."""

    do: Callable[[], Any]


@dataclass(frozen=True)
class InThreadShielded(InThread):
    """Run blocking work to its end even while the call is cancelled, because other calls depend on what it writes."""


@dataclass(frozen=True)
class Share:
    """Do work together with the calls that need the same at this moment."""

    batches: Batches[Any, Any, Any]
    key: Any
    item: Any = None


@dataclass(frozen=True)
class Request:
    """Send requests to Retab, awaiting them where the client is async."""

    do: Callable[[], Any]


@dataclass(frozen=True)
class AwaitCall:
    """Wait for the end of another call; the answer is whether that was possible."""

    running: Running
    longest: float | None = None
    """Seconds after which this call does without; None where it cannot."""


@dataclass(frozen=True)
class Sleep:
    """Sleep, while another process has the claim."""

    seconds: float


Effect = InThread | Share | Request | AwaitCall | Sleep
Effects = Generator[Effect, Any, Any]
