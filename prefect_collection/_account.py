"""Calls with an account whose key may be changed before the call, or during it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from prefect_collection.credentials import (
    Credentials,
    RetabCredentials,
    aload_again,
    aload_credentials,
    aopen_client,
    key_of,
    load_again,
    load_credentials,
    name_of,
    open_client,
)
from retab_orchestration import AsyncRetabClient, AuthenticationError, RetabClient
from retab_orchestration.policies import KeyRefusals

__all__ = ["acall_with_account", "await_with_account", "call_with_account", "wait_with_account"]

T = TypeVar("T")


def call_with_account(credentials: Credentials, act: Callable[[RetabClient], T]) -> T:
    """Make a call with an account, once more if its key is refused and the account has another one by now.

    Raises:
        AuthenticationError: The key was refused, and there is no other one; the message names the block.
    """
    block = load_credentials(credentials)
    key = key_of(block)
    try:
        with open_client(block) as client:
            return act(client)
    except AuthenticationError as error:
        now = _changed(error, key, load_again(block))
    with open_client(now) as client:
        return act(client)


async def acall_with_account(credentials: Credentials, act: Callable[[AsyncRetabClient], Awaitable[T]]) -> T:
    """Do what `call_with_account` does, awaiting."""
    block = await aload_credentials(credentials)
    key = key_of(block)
    try:
        async with await aopen_client(block) as client:
            return await act(client)
    except AuthenticationError as error:
        now = _changed(error, key, await aload_again(block))
    async with await aopen_client(now) as client:
        return await act(client)


class Account:
    """The account of one wait, whose key may be changed during the wait.

    Args:
        block: The block that the wait begins with, None for the environment's account.
    """

    def __init__(self, block: RetabCredentials | None) -> None:
        self.block = block
        # Read now: the environment may have another key when this one is refused.
        self._key = key_of(block)
        self._refusals = KeyRefusals()

    def pause_after(self, error: AuthenticationError, now: RetabCredentials | None) -> float:
        """Return the seconds until the next poll after one that was refused.

        Args:
            error: The refusal.
            now: The account, read again.

        Raises:
            AuthenticationError: It was refused every time; the message names the block.
        """
        before, self._key, self.block = self._key, key_of(now), now
        pause = self._refusals.pause_after(time.monotonic(), is_changed=self._key != before)
        if pause is not None:
            return pause
        raise _wrong_key(error, now, "wait for the run again") from error


def wait_with_account(
    credentials: Credentials, act: Callable[[RetabClient], T], on_tick: Callable[[], None] | None = None
) -> T:
    """Wait with an account, and go on with its new key when that is changed.

    Args:
        credentials: The account.
        act: Waits.
        on_tick: Called every second while a key that was refused is tried again later, as the wait itself does.
    """
    account = Account(load_credentials(credentials))
    while True:
        try:
            with open_client(account.block) as client:
                return act(client)
        except AuthenticationError as error:
            pause = account.pause_after(error, load_again(account.block))
            for seconds in _ticking(pause, on_tick):
                time.sleep(seconds)  # noqa: TID251  nothing is being waited for meanwhile


async def await_with_account(
    credentials: Credentials,
    act: Callable[[AsyncRetabClient], Awaitable[T]],
    on_tick: Callable[[], None] | None = None,
) -> T:
    """Do what `wait_with_account` does, awaiting."""
    account = Account(await aload_credentials(credentials))
    while True:
        try:
            async with await aopen_client(account.block) as client:
                return await act(client)
        except AuthenticationError as error:
            pause = account.pause_after(error, await aload_again(account.block))
            for seconds in _ticking(pause, on_tick):
                await asyncio.sleep(seconds)  # noqa: TID251  nothing is being waited for meanwhile


def _ticking(pause: float, on_tick: Callable[[], None] | None) -> Iterator[float]:
    """Yield what to sleep, a second at a time, and call `on_tick` before each."""
    while on_tick is not None and pause > 1.0:
        on_tick()
        yield 1.0
        pause -= 1.0
    yield pause


def _changed(error: AuthenticationError, key: str, now: RetabCredentials | None) -> RetabCredentials | None:
    if key_of(now) == key:
        raise _wrong_key(error, now, "try again") from error
    return now


def _wrong_key(error: AuthenticationError, block: RetabCredentials | None, then: str) -> AuthenticationError:
    name = name_of(block)
    whose = f"the Retab Credentials block {name!r}" if name else "the block" if block else "RETAB_API_KEY"
    return error.with_message(
        f"Retab refuses the API key of {whose}, also after it was read again: put the key that is good now there, "
        f"then {then}. {error.message}"
    )
