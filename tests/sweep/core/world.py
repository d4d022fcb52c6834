"""A server in memory, the time of day, and a client that uses the one at the other."""

from retab_orchestration import RetabError, RunIdentity
from retab_orchestration._operations import process_runs, tags
from retab_orchestration._transport import session as sessions
from retab_orchestration.emulator import Service
from tests.retab_orchestration.conftest import make_client
from tests.retab_orchestration.fake_runtime import Clock, FakeRuntime

IDENTITY = RunIdentity.of("sweep", "the-task")


class BoundedRuntime(FakeRuntime):
    """A wait that would not end is a failure instead."""

    limit = 500

    async def send(self, request):
        assert len(self.sent) < self.limit, "this does not end"
        return await super().send(request)


class World:
    """The routes of a server are of one family, unless another word for them is given."""

    def __init__(self, family, colour="blocking", server=None, *, idempotency="ignored"):
        self.clock, self.colour = Clock(), colour
        self.service = Service(api=server or family, clock=self.clock, idempotency=idempotency)
        self.runtime = BoundedRuntime(self.service, self.clock)

    def live(self, life):
        """Live a life in a process of its own, and return the error it ended with."""
        sessions._found.clear()
        tags._known.clear()
        tags._created.clear()
        process_runs._own.clear()
        sessions._failures.clear()
        self.runtime.sent.clear()
        client = make_client(self.colour, self.runtime)
        try:
            life(client)
        except RetabError as error:
            return error
        finally:
            self.service.faults.release()
        return None

    @property
    def created(self):
        return self.service.stats()["runs_created"]

    @property
    def alive(self):
        """The runs that nobody has cancelled."""
        runs = self.service.state.runs.values()
        return [run for run in runs if run.cancelled_at is None]
