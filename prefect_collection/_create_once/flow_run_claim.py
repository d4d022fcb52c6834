"""The claim of a process on all creates of a flow run: while it has that, its calls need no claims of their own.

It is taken with the first create, and left a second after the last one: creates that follow each other share it.
What is left beside it are the runs that were created meanwhile. Where another process wants to create as well, it
writes that, and the flow run is shared from then on: each call of each process has a claim of its own.
"""

import atexit
import contextvars
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from prefect_collection._create_once.claims import Claim
from prefect_collection._create_once.creates import ALL, RUNS, Creates, read_creates
from prefect_collection._create_once.turns import TURNS
from prefect_collection._prefect_server import (
    api_address,
    context_of_thread,
    prefect_client,
    write_input,
)
from prefect_collection._waiting import run_logger

__all__ = ["Entry", "FlowRunClaim", "claim_on"]

_WANTED = "retab-wanted"
_SHARED = "shared"
_TICK = 1.0
"""Seconds after the last create until the claim is left, and between two questions whether another process wants it."""
_AT_EXIT = 2.0
"""Seconds that a process that ends waits for its claims to be left."""
_REMEMBERED = 1024


@dataclass(eq=False)
class Entry:
    """One create in the claim of its process, or beside it.

    Attributes:
        epoch: Which time that the claim was taken it belongs to; 0 where it needs a claim of its own.
    """

    epoch: int = 0
    is_over: bool = False


class FlowRunClaim:
    """A process's claim on all creates of one flow run; its methods block.

    Attributes:
        news: When another process was found to have had the claim, as `TURNS` counts; 0 where none was.
        others: What the other processes have created.
    """

    def __init__(self, flow_run_id: UUID) -> None:
        self._flow_run_id = flow_run_id
        self._holder = uuid4().hex
        self._lock = threading.Lock()
        self._wanting: Claim | None = None
        self._claim: Claim | None = None
        self._context: contextvars.Context | None = None
        self._number = self._epoch = self._calls = 0
        self._ended = 0.0
        self._runs: dict[str, Mapping[str, Any]] = {}
        self._is_shared = self._is_wanted = self._is_unknown = False
        self.news = 0
        self.others = Creates()

    @property
    def is_held(self) -> bool:
        """Whether this process has the claim, and it has not run out."""
        claim = self._claim
        return claim is not None and claim.is_held

    def has_lost(self, entry: Entry) -> bool:
        """Return whether the claim may have run out since a create was begun in it."""
        return entry.epoch > 0 and not (self.is_held and entry.epoch == self._epoch)

    def enter(self, entry: Entry, *, is_alone: bool) -> bool:
        """Begin a create; return False while another process has to leave first, to be tried again.

        Args:
            entry: The create.
            is_alone: Whether this process is the only one of the flow run as far as it knows.
        """
        with self._lock:
            if self._is_shared or (self.is_held and (self._is_wanted or not is_alone)):
                return True  # what wants the claim as well waits for what was begun in it
            if not self.is_held and not self._is_taken():
                return False
            if self._is_shared or not is_alone:
                self._share()
            elif not entry.is_over:
                self._calls, entry.epoch = self._calls + 1, self._epoch
            return True

    def _is_taken(self) -> bool:
        """Take the claim; return False while another process has it."""
        if self._wanting is None:
            self._wanting = Claim(self._flow_run_id, ALL, self._holder, self._number)
        before = self._wanting.take()
        if before is None:
            self._want()
            return False
        if self._claim is not None:
            self._claim.leave(None)  # it has run out, and is renewed no more
        self._claim, self._wanting = self._wanting, None
        # Prefect's settings are in the context.
        self._context = context_of_thread()
        self._epoch, self._ended = self._epoch + 1, time.monotonic()
        self._is_shared = bool(before.left.get(_SHARED))
        if before.left or before.has_died:
            self.others = read_creates(self._flow_run_id, self._holder)
            self.news = TURNS.now()
        _TICKER.add(self)
        return True

    def _want(self) -> None:
        try:
            write_input(self._flow_run_id, _WANTED, self._holder)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 409:
                raise

    def leave(self, entry: Entry, content: str, run: Mapping[str, Any] | None, *, is_known: bool) -> None:
        """End a create.

        Args:
            entry: The create.
            content: The key of the call and of its contents.
            run: Its run, None where the next process learns of it elsewhere.
            is_known: Whether its outcome is known; if not, the next process takes this one for dead.
        """
        with self._lock:
            entry.is_over = True
            if not entry.epoch:
                return
            self._calls, self._ended = self._calls - 1, time.monotonic()
            self._is_unknown |= not is_known
            if run is not None:
                self._runs[content] = run
            if self._is_wanted and not self._calls:
                self._share()

    def tick(self, *, is_exit: bool = False) -> bool:
        """Leave the claim if it is not needed any more; return whether it is still held."""
        context = self._context
        return context is not None and context.copy().run(self._tick, is_exit=is_exit)

    def _tick(self, *, is_exit: bool) -> bool:
        with self._lock:
            if not self._calls and (is_exit or time.monotonic() - self._ended >= _TICK):
                self._leave()
            if self._claim is None:
                return False
        is_wanted = self._is_wanted or _input(self._flow_run_id, _WANTED) not in {None, self._holder}
        with self._lock:
            self._is_wanted = is_wanted
            if is_wanted and not self._calls:
                self._share()
            return self._claim is not None

    def _share(self) -> None:
        self._is_shared = True
        self._leave()

    def _leave(self) -> None:
        claim, self._claim, self._context = self._claim, None, None
        if claim is not None:
            claim.leave(None if self._is_unknown else {_SHARED: self._is_shared, RUNS: self._runs})
            self._number, self._runs = claim.number, {}


def _input(flow_run_id: UUID, key: str) -> str | None:
    try:
        return prefect_client().read_flow_run_input(flow_run_id, key)
    except (ObjectNotFound, PrefectHTTPStatusError):
        return None


class _Ticker:
    """One thread that leaves the claims of this process, while it has any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: set[FlowRunClaim] = set()
        self._thread: threading.Thread | None = None
        self._exits, self._is_done = threading.Event(), threading.Event()

    def add(self, claim: FlowRunClaim) -> None:
        with self._lock:
            self._claims.add(claim)
            if self._thread is None or not self._thread.is_alive():
                self._is_done.clear()
                self._thread = threading.Thread(target=self._run, name="retab-flow-run-claims", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            is_exit = self._exits.wait(_TICK)
            with self._lock:
                if not self._claims:
                    self._thread = None
                    break
                claims = [*self._claims]
            for claim in claims:
                self._tick(claim, is_exit=is_exit)
            if is_exit:
                break
        self._is_done.set()

    def _tick(self, claim: FlowRunClaim, *, is_exit: bool) -> None:
        try:
            is_held = claim.tick(is_exit=is_exit)
        except Exception as error:  # noqa: BLE001  it is tried again, and runs out after that
            run_logger().debug("A claim on a flow run could not be left: %r", error)
            return
        if not is_held:
            with self._lock:
                self._claims.discard(claim)

    def exit(self) -> None:
        """Leave the claims of a process that ends, if that takes no time."""
        if self._thread is not None:
            self._exits.set()
            self._is_done.wait(_AT_EXIT)


_TICKER = _Ticker()
_claims: OrderedDict[tuple[str, UUID], FlowRunClaim] = OrderedDict()
_lock = threading.Lock()


def claim_on(flow_run_id: UUID) -> FlowRunClaim:
    """Return this process's claim on the creates of a flow run."""
    key = (api_address(), flow_run_id)
    with _lock:
        claim = _claims.setdefault(key, FlowRunClaim(flow_run_id)) if key not in _claims else _claims[key]
        _claims.move_to_end(key)
        if len(_claims) > _REMEMBERED:
            _claims.popitem(last=False)
        return claim


def _forget_all() -> None:
    global _TICKER, _lock
    _TICKER, _lock = _Ticker(), threading.Lock()
    _claims.clear()


def _exit() -> None:
    _TICKER.exit()


atexit.register(_exit)
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget_all)
