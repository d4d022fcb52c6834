"""Detecting, once per server and key and with requests that only read, which routes and which header a server takes."""

import copy
from typing import Any

from retab_orchestration import errors
from retab_orchestration._endpoints import current, shared
from retab_orchestration._endpoints.filters import RunFilters
from retab_orchestration._http import Call
from retab_orchestration._transport.sending import Header, Sender, ServerApi

__all__ = ["ApiDetection"]

# By server and key, for as long as the process lives: a wait of days asks once.
_found: dict[tuple[str, str, str], ServerApi] = {}
_failures: dict[tuple[str, str, str], tuple[float, errors.ApiError]] = {}


class ApiDetection:
    """Detects the routes and the header of the server of one account."""

    __slots__ = ("_key", "_sender")

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        settings = sender.settings
        self._key = settings.account, settings.api, settings.auth

    async def get(self, attempts: int | None = None) -> ServerApi:
        """Return the routes and the header, asking the server the first time.

        Args:
            attempts: How often to ask a server that does not answer; None leaves it to the account's setting.
        """
        settings = self._sender.settings
        if settings.api != "auto" and settings.auth != "auto":
            return ServerApi(settings.api, settings.auth)
        return _found.get(self._key) or await self._find_out(attempts or self._sender.retry.attempts)

    def forget(self) -> None:
        """Ask the server again the next time, because its routes or its header have changed."""
        _found.pop(self._key, None)

    async def _find_out(self, attempts: int) -> ServerApi:
        """Ask once for all callers of this moment; they share a failure as well."""
        asked = self._sender.runtime.now()
        async with self._sender.runtime.lock(self._sender.settings.account, self._sender.seconds_left()):
            failed_at, failure = _failures.get(self._key, (asked, None))
            if failure is not None and failed_at > asked:
                raise copy.copy(failure)
            if self._key not in _found:
                try:
                    _found[self._key] = await self._probe(attempts)
                except errors.ApiError as error:
                    _failures[self._key] = (self._sender.runtime.now(), error)
                    raise
            return _found[self._key]

    async def _probe(self, attempts: int) -> ServerApi:
        """Detect the routes and the header with requests that only read.

        The steps of the whole organisation are a route that only current servers have. Where a classic server says that
        it has no such route, that says nothing about the key: the run list, which every server has, settles the header.
        It has to say so again after that: a gateway may not know a route for a moment, and no run is searched for
        before its create on a server that is taken for a classic one.
        """
        steps, runs = current.probe(), shared.list_runs(RunFilters.read(limit=1), "classic")
        if self._sender.settings.api != "auto":
            auth = await self._accepted(runs if self._sender.settings.api == "classic" else steps, attempts)
            return ServerApi(self._sender.settings.api, auth)
        try:
            return ServerApi("current", await self._accepted(steps, attempts))
        except (errors.NotFoundError, errors.RequestRejectedError):
            auth = await self._accepted(runs, attempts)
        try:
            return ServerApi("current", await self._accepted(steps, attempts))
        except (errors.NotFoundError, errors.RequestRejectedError):
            return ServerApi("classic", auth)

    async def _accepted(self, call: Call[Any], attempts: int) -> Header:
        """Return the header with which the server takes the key: Bearer first, on 401 once more with Api-Key."""
        tried: tuple[Header, ...] = (
            ("bearer", "api-key") if self._sender.settings.auth == "auto" else (self._sender.settings.auth,)
        )
        for header in tried:
            try:
                await self._sender.repeat(call, ServerApi("current", header), attempts)
            except errors.PermissionDeniedError:
                return header  # the key is known, it may only not read this
            except errors.AuthenticationError:
                if header == tried[-1]:
                    raise
            else:
                return header
        raise AssertionError("unreachable")
