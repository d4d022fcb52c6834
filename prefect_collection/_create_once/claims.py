"""Claims: which process of a flow run may create, decided by Prefect's server.

A flow run may have two processes, if one is taken for lost and the flow run is started again elsewhere. Labels cannot
decide between them, because the server reads, merges and writes labels. The inputs of a flow run can: a key can be
written only once. So claims are numbered. The process that writes number one has the first claim; it renews the claim
by writing the next number, and finally writes the outcome beside the last. A claim with neither a newer number nor an
outcome after the lease may be taken by writing the next number.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from prefect.exceptions import PrefectHTTPStatusError

from prefect_collection._create_once.turns import LONGEST_TURN
from prefect_collection._prefect_server import context_of_thread, inputs_of, is_refused, write_input
from prefect_collection._waiting import run_logger
from retab_orchestration import RetabError

__all__ = ["Before", "Claim", "ClaimState", "claim_state_of"]

LEASE = timedelta(seconds=30)
"""How long a claim holds without being renewed; after that its process is taken for dead."""

RENEWAL_INTERVAL = 8.0
"""Seconds between two renewals."""

_LEFT = "left"
_NEVER = float("-inf")


@dataclass(frozen=True)
class Before:
    """What the holder before has left."""

    left: Mapping[str, Any] = field(default_factory=dict)
    """The outcome; empty where there was no holder."""
    has_died: bool = False
    """There was a holder, and its outcome is not known."""


@dataclass(frozen=True)
class ClaimState:
    """The state of a claim for a process that wants it."""

    number: int = 0
    """The newest claim, 0 where there is none."""
    is_own: bool = False
    is_held: bool = False
    """Another process has it."""
    before: Before = Before()


def claim_state_of(
    inputs: Iterable[Mapping[str, Any]], prefix: str, holder: str, now: datetime
) -> ClaimState:
    """Return the state of a claim.

    Args:
        inputs: The inputs of the flow run as Prefect's server gives them, with `key`, `value` and `created`.
        prefix: What the keys of this claim begin with.
        holder: The process that wants it.
        now: The server's time.
    """
    claims: dict[int, tuple[str, datetime]] = {}
    left: dict[int, Mapping[str, Any] | None] = {}
    for each in inputs:
        number, _, what = str(each["key"]).removeprefix(prefix).partition("-")
        if what == _LEFT:
            left[int(number)] = _json(each["value"])
        else:
            claims[int(number)] = str(each["value"]), datetime.fromisoformat(each["created"])
    newest = max(claims, default=0)
    last = max((number for number, (whose, _) in claims.items() if whose != holder), default=0)
    outcome = left.get(last, None if last else {})
    before = Before(has_died=True) if outcome is None else Before(outcome)
    if newest != last:
        return ClaimState(newest, is_own=newest not in left, before=before)
    is_held = last > 0 and last not in left and now - claims[last][1] < LEASE
    return ClaimState(newest, is_held=is_held, before=before)


def _json(text: Any) -> Mapping[str, Any] | None:
    try:
        read = json.loads(text)
    except (TypeError, ValueError):
        return None
    return read if isinstance(read, dict) else None


class Claim:
    """The right of one process to make one create; its methods block, and a thread renews it while it is held.

    Args:
        flow_run_id: The flow run of all these processes.
        call: The key of the call, lower case letters and digits.
        holder: What the process is known by, if it may take the same claim again.
        number: The number that it had when it left the claim the last time.
    """

    def __init__(self, flow_run_id: UUID, call: str, holder: str | None = None, number: int = 0) -> None:
        self._flow_run_id = flow_run_id
        self._prefix = prefix_of(call)
        self._holder = holder or uuid4().hex
        self._is_first_try = True
        self.number = number
        self._wanted = time.monotonic()
        self._renewed = _NEVER
        self._lock = threading.Lock()
        # Prefect's settings are in the context.
        self._context = context_of_thread()

    @property
    def is_held(self) -> bool:
        """Whether the lease has not run out."""
        return time.monotonic() - self._renewed < LEASE.total_seconds()

    def take(self) -> Before | None:
        """Take the claim; return None if another process has it, to be tried again.

        Raises:
            RetabError: Another process has had it for too long.
        """
        with self._lock:
            requested_at = time.monotonic()
            if self._is_first_try and self._write(str(self.number + 1), self._holder):
                return self._taken(self.number + 1, Before(), requested_at)
            state = self._read_state()
            if state.is_own:
                return self._taken(state.number, state.before, requested_at)
            if not state.is_held and self._write(str(state.number + 1), self._holder):
                return self._taken(state.number + 1, state.before, requested_at)
        if self._is_first_try:
            run_logger().info("Another process of this flow run may be starting this run; waiting for it")
        self._is_first_try, self.number = False, max(1, state.number)
        if requested_at - self._wanted > LONGEST_TURN:
            raise RetabError(
                f"another process of this flow run has been starting this run for {LONGEST_TURN:g} s; if both shall "
                "go on, try again later"
            )
        return None

    def leave(self, left: Mapping[str, Any] | None) -> None:
        """Give the claim up and write its outcome; an outcome that is not known leaves the lease to run out."""
        with self._lock:
            _RENEWALS.remove(self)
            is_held, self._renewed = self.is_held, _NEVER
            if left is None or not is_held:
                return
            try:
                self._write(f"{self.number}-{_LEFT}", json.dumps(dict(left)))
            except Exception as error:  # noqa: BLE001  what came of it is noted elsewhere as well
                run_logger().warning("Could not note what came of a create: %r", error)

    def renew(self) -> None:
        """Renew the claim, unless another process has it by now."""
        self._context.run(self._renew)

    def _renew(self) -> None:
        with self._lock:
            requested_at = time.monotonic()
            if not self.is_held:
                return
            if self._write(str(self.number + 1), self._holder):
                self.number, self._renewed = self.number + 1, requested_at
            elif (state := self._read_state()).is_own:
                self.number, self._renewed = state.number, requested_at
            else:
                self._renewed = _NEVER

    def _taken(self, number: int, before: Before, requested_at: float) -> Before:
        self.number, self._renewed = number, requested_at
        _RENEWALS.add(self)
        return before

    def _write(self, key: str, value: str) -> bool:
        """Write an input; return whether its key was new."""
        try:
            write_input(self._flow_run_id, self._prefix + key, value)
        except PrefectHTTPStatusError as error:
            if error.response.status_code == 409:
                return False
            if not is_refused(error):
                raise
            _without_claims(error.response.status_code)
        return True

    def _read_state(self) -> ClaimState:
        inputs, now = inputs_of(self._flow_run_id, self._prefix)
        return claim_state_of(inputs, self._prefix, self._holder, now)


def prefix_of(call: str) -> str:
    """Return what the keys of the claims of a call begin with."""
    return f"retab-claim-{call}-"


@cache
def _without_claims(status: int) -> None:
    run_logger().warning(
        "Prefect's server refuses inputs of flow runs (%d), so two processes of one flow run that create at the same "
        "moment may start two runs",
        status,
    )


class _Renewals:
    """One thread that renews all claims of this process, while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: set[Claim] = set()
        self._thread: threading.Thread | None = None

    def add(self, claim: Claim) -> None:
        with self._lock:
            self._claims.add(claim)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="retab-claims", daemon=True)
                self._thread.start()

    def remove(self, claim: Claim) -> None:
        with self._lock:
            self._claims.discard(claim)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(RENEWAL_INTERVAL):
            with self._lock:
                claims = [*self._claims]
                if not claims:
                    self._thread = None
                    return
            for claim in claims:
                try:
                    claim.renew()
                except Exception as error:  # noqa: BLE001  it is tried again, and runs out after that
                    run_logger().debug("A claim could not be renewed: %r", error)


_RENEWALS = _Renewals()
