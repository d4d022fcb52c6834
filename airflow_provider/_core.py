"""`core`: the package retab_orchestration, imported when a name of it is first used, and not before.

Airflow parses DAG files all the time, and importing the core takes longer than everything else that our operators need.
Type checkers see the package itself.
"""

import asyncio
import importlib
import threading
from typing import TYPE_CHECKING, Any

__all__ = ["core", "import_core"]

if TYPE_CHECKING:
    import retab_orchestration as core
else:

    class _Core:
        def __getattr__(self, name: str) -> Any:
            value = getattr(importlib.import_module("retab_orchestration"), name)
            setattr(self, name, value)
            return value

    core = _Core()

_imported = threading.Event()


async def import_core() -> None:
    """Import the core in a thread: the first import takes longer than an event loop may be blocked."""
    if not _imported.is_set():
        await asyncio.to_thread(importlib.import_module, "retab_orchestration")
        _imported.set()
