"""Which run is meant: the tags by which a run is found again, so that it is never started twice."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from retab_orchestration._texts import kind_of, printable
from retab_orchestration.errors import InvalidInputError

__all__ = [
    "FAMILY",
    "FINGERPRINT",
    "IDENTITY",
    "INPUTS",
    "NOTE",
    "RESERVED_PREFIX",
    "RunIdentity",
    "checked_metadata",
    "digest_of",
    "digests_of",
]

RESERVED_PREFIX = "retab-orchestration"
"""The prefix of our own metadata keys."""

# Characters of a tag. It is searched for in an address, where each takes at most twelve.
_LONGEST = 150

# Within these years a time stays a valid date in another zone, or a day earlier or later.
_FIRST_YEAR, _LAST_YEAR = 1970, 9000

OURS = RESERVED_PREFIX
IDENTITY = f"{RESERVED_PREFIX}.identity"
FAMILY = f"{RESERVED_PREFIX}.family"
FINGERPRINT = f"{RESERVED_PREFIX}.fingerprint"
"""The tags of every run that we start: that it is ours, its identity, that without the generation, its fingerprint."""
INPUTS = f"{RESERVED_PREFIX}.inputs"
"""One more tag: a short hash of each argument that a run was started with, to name those that have changed."""

# Hex digits of such a hash, which is to tell one value from another and nothing more.
_SHORT = 8
NOTE = f"{RESERVED_PREFIX}.note"
"""The tag of what the owner of a run has to find with it."""


def digest_of(*parts: Any) -> str:
    """Return the SHA-256 of JSON values, in hex; the order of a dict's keys does not matter."""
    # Keys may be numbers until they are encoded as JSON, and numbers and strings cannot be sorted together.
    plain = json.loads(json.dumps(parts))
    return hashlib.sha256(json.dumps(plain, separators=(",", ":"), sort_keys=True).encode()).hexdigest()


def digests_of(parts: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the `digest_of` the values, in their order, and the beginning of a digest of each, by its name."""
    texts: list[str] = []
    short: dict[str, str] = {}
    for name, plain in zip(parts, json.loads(json.dumps([*parts.values()])), strict=True):
        texts.append(json.dumps(plain, separators=(",", ":"), sort_keys=True))
        short[name] = hashlib.sha256(texts[-1].encode()).hexdigest()[:_SHORT]
    return hashlib.sha256(f"[{','.join(texts)}]".encode()).hexdigest(), short


@dataclass(frozen=True)
class RunIdentity:
    """One intended run. Two creates with the same identity are meant to be the same run.

    `RunIdentity.of("prod", dag_id, run_id, task_id, map_index, generation=max_tries)` hashes its arguments, so that no
    name of the host is sent to Retab.
    """

    key: str
    """The hash of the names of the run, 64 hex digits."""
    family: str
    """The same without the generation: a deliberate second run has the same."""
    on_mismatch: Literal["error", "create"] = "error"
    """What a run of this identity with other inputs means: an error, or another run to create."""
    since: datetime | None = field(default=None, compare=False)
    """The earliest time of its first create, in UTC; it only narrows the search for its run on servers that do not
    filter by tags."""
    begun: datetime | None = field(default=None, compare=False)
    """When a create of it was sent whose outcome is not known, because its process died, in UTC. A list may lag, so its
    run is searched for until `RetryPolicy.find_for` after that."""
    note: str | None = field(default=None, compare=False)
    """What the owner has to find again with the run: a tag of the run, and no part of its identity."""

    def __post_init__(self) -> None:
        for name, moment in (("since", self.since), ("begun", self.begun)):
            if moment is not None:
                _check_moment(name, moment)
        for tag in (self.key, self.family):
            if not (isinstance(tag, str) and tag.isprintable() and 0 < len(tag) <= _LONGEST):
                raise InvalidInputError(
                    f"an identity's key and family must be strings of 1 to {_LONGEST} printable characters; build "
                    "it with RunIdentity.of"
                )
        if self.note is not None and not (isinstance(self.note, str) and self.note.isprintable()):
            raise InvalidInputError(
                f"note must be a string of printable characters, not {kind_of(self.note)}"
            )
        if not isinstance(self.on_mismatch, str) or self.on_mismatch not in {"error", "create"}:
            raise InvalidInputError(f"on_mismatch must be error or create, not {kind_of(self.on_mismatch)}")

    @classmethod
    def of(
        cls,
        *parts: str | int | None,
        generation: str | int = 0,
        on_mismatch: Literal["error", "create"] = "error",
        since: datetime | None = None,
        begun: datetime | None = None,
        note: str | None = None,
    ) -> "RunIdentity":
        """Build an identity from the names of the owner of the run.

        Args:
            parts: Namespace, DAG or flow, its run, the task, its map index: everything that tells two runs apart, and
                nothing that a retry changes.
            generation: Changes when a second run is wanted.
            on_mismatch: `error`, or `create` where one owner may start several runs.
            since: The earliest time of its first create, where that is known.
            begun: When a create of it was sent whose outcome is not known.
            note: What is to be found again with the run.

        Raises:
            InvalidInputError: Nothing was given, so that every run would be the same; or a time has no zone.
        """
        if parts.count(None) + parts.count("") == len(parts):
            raise InvalidInputError("an identity needs at least one part that tells this run from others")
        try:
            return cls(digest_of(*parts, generation), digest_of(*parts), on_mismatch, since, begun, note)
        except InvalidInputError:
            raise
        except (TypeError, ValueError, RecursionError):
            raise InvalidInputError(
                "an identity's parts and generation must be strings, whole numbers or None"
            ) from None

    @property
    def tags(self) -> dict[str, str]:
        """The metadata that marks a run as this one; the create adds the fingerprint."""
        note = {} if self.note is None else {NOTE: self.note}
        return {OURS: "1", IDENTITY: self.key, FAMILY: self.family, **note}


def _check_moment(name: str, moment: Any) -> None:
    if not isinstance(moment, datetime) or not _has_zone(moment):
        what = "one without" if isinstance(moment, datetime) else kind_of(moment)
        raise InvalidInputError(f"{name} must have a time zone, as datetime.now(UTC) has, not {what}")
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise InvalidInputError(
            f"{name} must be in the years {_FIRST_YEAR} to {_LAST_YEAR}, not in {moment.year}"
        )


def _has_zone(moment: datetime) -> bool:
    try:
        return moment.utcoffset() is not None
    except Exception:  # noqa: BLE001  a zone is whatever its author made of it
        return False


def checked_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return a caller's metadata, or raise InvalidInputError if it has keys with our prefix."""
    for key in metadata:
        if key.startswith(RESERVED_PREFIX):
            raise InvalidInputError(
                f"metadata must not have the key {printable(key, 60)}; keys that start with {RESERVED_PREFIX} are ours"
            )
    return metadata
