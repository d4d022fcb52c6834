"""Session: everything in the core that sends goes through the session of an account."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from retab_orchestration import errors
from retab_orchestration._endpoints import current
from retab_orchestration._http import Call, Runtime
from retab_orchestration._texts import kind_of
from retab_orchestration._transport.api_detection import ApiDetection
from retab_orchestration._transport.sending import TRANSIENT, Sender
from retab_orchestration.models import RouteFamily
from retab_orchestration.policies import RetryPolicy
from retab_orchestration.settings import Settings

__all__ = ["TRANSIENT", "Session"]

T = TypeVar("T")


class Session:
    """Sends calls to one account.

    Args:
        runtime: The network and the clocks.
        settings: The account.
        retry: How often a request that may be repeated is repeated.
        until: When the last answer has to be there, on the runtime's clock; None for no limit.
    """

    __slots__ = ("_detection", "_sender", "runtime", "settings", "tests_word")

    def __init__(
        self, runtime: Runtime, settings: Settings, retry: RetryPolicy, until: float | None = None
    ) -> None:
        if not isinstance(retry, RetryPolicy):
            raise errors.InvalidInputError(f"retry must be a RetryPolicy, not {kind_of(retry)}")
        self.runtime = runtime
        self.settings = settings
        self.tests_word: current.TestsWord = "evals"
        self._sender = Sender(runtime, settings, retry, until)
        self._detection = ApiDetection(self._sender)

    @property
    def retry(self) -> RetryPolicy:
        """How often a request that may be repeated is repeated, and for how long a run is searched for."""
        return self._sender.retry

    def over(self, runtime: Runtime) -> "Session":
        """Return a session with the same account over another runtime."""
        return Session(runtime, self.settings, self.retry)

    def within(self, seconds: float | None) -> "Session":
        """Return a session of the same account with a time limit in seconds; None for no limit."""
        if seconds is None:
            return self
        return Session(self.runtime, self.settings, self.retry, self.runtime.now() + seconds)

    async def family(self, attempts: int | None = None) -> RouteFamily:
        """Return the route family to use, asking the server the first time if it is to be detected.

        Args:
            attempts: How often to ask a server that does not answer; None leaves it to the account's setting.
        """
        return (await self._detection.get(attempts)).family

    async def exchange(self, call: Call[T]) -> T:
        """Send a call until it is answered or its retries are used up.

        A create is sent again only after an answer that proves that nothing was created.

        Raises:
            CreateOutcomeUnknownError: A create got no answer, or one that leaves open whether it took effect.
            ApiError: Anything else that went wrong.
        """
        try:
            return await self._sender.repeat(call, await self._detection.get())
        except errors.AuthenticationError:
            self._detection.forget()  # the server may require the other header by now
            raise

    async def exchange_once(self, call: Call[T], *, seconds: float | None = None) -> T:
        """Send a call that may be repeated, without repeating it: for a wait, which polls again anyway.

        Args:
            call: What to send.
            seconds: How long it may take, with detecting the routes; None leaves it to the account's
                setting.
        """
        sender, detection = self._sender, self._detection
        if seconds is not None:
            sender = Sender(self.runtime, self.settings, sender.retry, self.runtime.now() + seconds)
            detection = ApiDetection(sender)
        return await sender.send(call, await detection.get(attempts=1))

    async def family_anew(self) -> RouteFamily:
        """Return the route family after detecting it again, because the server refused a route that it had."""
        self._detection.forget()
        return await self.family()

    async def in_routes(self, work: Callable[[RouteFamily], Awaitable[T]]) -> T:
        """Run what depends on the routes; where classic ones are gone, once more on current ones.

        The reverse is not tried: a gateway may answer that a current route is gone, and on classic routes no run is
        found by its tags.
        """
        family = await self.family()
        try:
            return await work(family)
        except errors.UnsupportedRouteError:
            if family == "current":
                raise
            if await self.family_anew() == family:
                raise
        return await work("current")
