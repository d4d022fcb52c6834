"""What the claims on all creates of a flow run tell of the processes that have had them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from prefect_collection._create_once.claims import RENEWAL_INTERVAL, claim_state_of, prefix_of
from prefect_collection._prefect_server import inputs_of

__all__ = ["ALL", "RUNS", "Creates", "creates_of", "read_creates"]

ALL = "all"
"""In the place of the key of a call."""

RUNS = "runs"
"""Where a claim that is left has the runs that were created in it."""


@dataclass(frozen=True)
class Creates:
    """What the claims of other processes tell of their creates."""

    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The key of a call and its content -> its record, and the flow runs that it belongs to."""
    cut_off: datetime | None = None
    """Until when a process may have sent creates of which nothing is known, because it died; in UTC."""
    is_held: bool = False
    """A process may be creating at this moment."""


def creates_of(inputs: Iterable[Mapping[str, Any]], holder: str, now: datetime) -> Creates:
    """Return what the claims on all creates tell of the processes but one.

    Args:
        inputs: The inputs of the flow run as Prefect's server gives them, with `key`, `value` and `created`.
        holder: The process that asks.
        now: The server's time.
    """
    prefix, inputs = prefix_of(ALL), list(inputs)
    state = claim_state_of(inputs, prefix, holder, now)
    claims: dict[int, tuple[str, datetime]] = {}
    left: set[int] = set()
    runs: dict[str, Mapping[str, Any]] = {}
    for each in sorted(inputs, key=lambda each: str(each["created"])):
        number, _, is_left = str(each["key"]).removeprefix(prefix).partition("-")
        if is_left:
            left.add(int(number))
            runs |= _runs_in(each["value"])
        else:
            claims[int(number)] = str(each["value"]), datetime.fromisoformat(each["created"])
    ends = [
        early
        for early, late in pairwise([*sorted(claims), 0])
        if not late or claims[late][0] != claims[early][0]
    ]
    died = [claims[end][1] for end in ends if end not in left and claims[end][0] != holder]
    sent = timedelta(seconds=RENEWAL_INTERVAL)
    return Creates(runs, min(now, max(died) + sent) if died else None, state.is_held)


def _runs_in(text: Any) -> dict[str, Mapping[str, Any]]:
    try:
        runs = json.loads(text)[RUNS]
        return {content: run for content, run in runs.items() if isinstance(run, dict)}
    except (TypeError, ValueError, KeyError, AttributeError):
        return {}


def read_creates(flow_run_id: UUID, holder: str = "") -> Creates:
    """Read what the claims of other processes tell of their creates."""
    inputs, now = inputs_of(flow_run_id, prefix_of(ALL))
    return creates_of(inputs, holder, now)
