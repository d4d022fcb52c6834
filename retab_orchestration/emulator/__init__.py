"""A Retab that runs on this machine, for demos, for our tests and for yours.

    with Emulator() as emulator:
        client = RetabClient("any key", emulator.url)

See `docs/emulator.md`.
"""

from retab_orchestration.emulator.embedded import Emulator
from retab_orchestration.emulator.faults import Fault
from retab_orchestration.emulator.service import Service
from retab_orchestration.emulator.wire import Request, Response

__all__ = ["Emulator", "Fault", "Request", "Response", "Service"]
