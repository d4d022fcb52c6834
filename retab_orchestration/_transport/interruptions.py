"""Whether an error comes from a request, or from outside of it: a signal's handler, another thread."""

import asyncio
import socket
import ssl
import sys
from collections.abc import Iterator

__all__ = ["is_anothers"]

# The packages whose code sends a request and reads its answer.
_PARTIES = sys.stdlib_module_names | {
    *("anyio", "h11", "httpcore", "httpx", "idna", "pydantic", "pydantic_core", "retab_orchestration"),
}


def is_anothers(error: BaseException) -> bool:
    """Return whether an error comes from outside of a request: a signal's handler or another thread has raised it.

    What another thread sets off is raised wherever this one is, so that only its type tells where it is from.
    """
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    raised_in = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__"))
    return any(not _is_partys(module) for module in (raised_in, type(error).__module__) if module)


def _is_partys(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _PARTIES or package in _packages_of_sockets() or module in _modules_of_loop()


def _packages_of_sockets() -> Iterator[str]:
    """Yield the packages that have put sockets or TLS of their own in place of the standard library's."""
    for kind in (socket.socket, ssl.SSLContext):
        yield kind.__module__.partition(".")[0]


def _modules_of_loop() -> Iterator[str]:
    """Yield the modules of the event loop, such as uvloop's; the rest of a package may be the user's own."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    for kind in type(loop).__mro__:
        yield kind.__module__
