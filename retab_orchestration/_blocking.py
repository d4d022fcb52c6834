"""Running the core without an event loop: a blocking runtime never suspends, so one `send(None)` runs a coroutine."""

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar, cast

__all__ = ["iterate_blocking", "run_blocking"]

T = TypeVar("T")


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of the core to its end.

    Raises:
        RuntimeError: It was suspended, because something other than a blocking runtime was awaited.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    finally:
        coroutine.close()
    raise RuntimeError(f"{coroutine!r} awaited something that is not a blocking runtime")


def iterate_blocking(items: AsyncIterator[T]) -> Iterator[T]:
    """Iterate over what an async iterator of the core yields."""
    generator = cast("AsyncGenerator[T, None]", items)
    try:
        while True:
            try:
                item = run_blocking(generator.asend(None))
            except StopAsyncIteration:
                return
            yield item
    finally:
        run_blocking(generator.aclose())
