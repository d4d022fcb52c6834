"""Which accounts have runs of a flow run that only their own tags tell: written before the first of their creates.

An input of the flow run says so, one for each account. Inputs are only added, so nothing that is written at the same
moment gets in the way. Labels are read, merged and written again, which a server on SQLite refuses while other things
are written, as is so while many tasks begin, and in which one on PostgreSQL may lose what another process has added.
"""

import json
from collections.abc import Mapping
from uuid import UUID

from prefect.exceptions import PrefectHTTPStatusError

from prefect_collection._batches import Batches
from prefect_collection._prefect_server import is_refused, kept_inputs, write_input
from retab_orchestration.identity import digest_of

__all__ = ["ANNOUNCED", "Announced", "Family", "announce", "read_announced"]

Family = tuple[str, UUID]
"""The owner of runs, and the outermost flow run, which has the claims."""

Announced = Mapping[str | None, frozenset[Family]]
"""The block of an account, None for the environment's -> the owners of its runs."""

_PREFIX = "retab-tagged-"


def announce(flow_run_id: UUID, account: str | None, family: Family) -> bool:
    """Write that there are runs of an account; return False where Prefect's server takes no inputs of flow runs."""
    owner, outermost = family
    key = f"{_PREFIX}{digest_of(account, owner)[:20]}"
    text = json.dumps({"account": account, "owner": owner, "outermost": str(outermost)})
    try:
        write_input(flow_run_id, key, text)
    except PrefectHTTPStatusError as error:
        if error.response.status_code == 409:
            return True  # written by another process, or an earlier one
        if not is_refused(error):
            raise
        return False
    return True


def read_announced(flow_run_id: UUID) -> Announced:
    """Read what is announced with a flow run."""
    found: dict[str | None, frozenset[Family]] = {}
    for each in kept_inputs(flow_run_id, _PREFIX):
        try:
            read = json.loads(each["value"])
            account, family = read["account"], (str(read["owner"]), UUID(read["outermost"]))
        except (KeyError, TypeError, ValueError):
            continue  # not written by this package
        found[account] = found.get(account, frozenset()) | {family}
    return found


def _read_together(key: tuple[str, UUID], _: list[None]) -> Announced:
    return read_announced(key[1])


ANNOUNCED: Batches[tuple[str, UUID], None, Announced] = Batches(_read_together)
"""Reads it once for all calls of a process that ask at the same time, by the address of the server and the flow run."""
