"""The filters of the run list, checked once and spelled as the server of each route family expects them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Literal, TypedDict

from retab_orchestration._arguments import checked_choice, checked_id, checked_pairs, checked_text
from retab_orchestration._texts import LONGEST_ID, kind_of, printable
from retab_orchestration.errors import InvalidInputError
from retab_orchestration.models import RouteFamily, RunStatus, WorkflowRun

__all__ = ["RunFilter", "RunFilters"]


class RunFilter(TypedDict, total=False):
    """What a list of runs may be narrowed to, ordered by and paged with; None is the same as no value.

    Attributes:
        workflow_id: Runs of this workflow only.
        status: Runs in this state only, in any spelling of it. Servers call a run that failed `error` or `failed`, some
            of them both: `iter_runs` asks for both, and `list_runs`, which sends one request, for the one that this
            server was seen to use, else `error`.
        exclude_status: Runs in any other state, in any spelling of it.
        trigger_type: manual, api, schedule, webhook, email, restart or custom.
        from_date: Created on this UTC day or later: a date or YYYY-MM-DD; or from this moment on: a datetime, in UTC if
            it has no zone.
        to_date: Created on this UTC day or earlier, or up to this moment. Servers know days; a page may have fewer
            runs than `limit` for a moment within one.
        min_duration_ms: Runs that took at least so many milliseconds.
        max_duration_ms: Runs that took at most so many milliseconds.
        search: A run id, or the beginning of one.
        metadata: Runs that carry all these pairs; current routes only. Not every server filters by it: a page may have
            fewer runs than `limit` there.
        before: The page before this run id, or `RunPage.before`; with `iter_runs` all before it, the nearest first.
        after: The page after this run id, or `RunPage.after`.
        limit: Runs per page, 1 to 100; the server takes 20 when it is not given.
        order: asc or desc; the server takes desc, newest first, when it is not given.
        sort_by: created_at or started_at, with or without `timing.` before it.
    """

    workflow_id: str | None
    status: RunStatus | str | None
    exclude_status: RunStatus | str | None
    trigger_type: str | None
    from_date: date | str | None
    to_date: date | str | None
    min_duration_ms: int | None
    max_duration_ms: int | None
    search: str | None
    metadata: Mapping[str, str] | None
    before: str | None
    after: str | None
    limit: int | None
    order: Literal["asc", "desc"] | None
    sort_by: str | None


_LARGEST = 2**63 - 1
# Characters of the metadata to filter by, as JSON. Servers take addresses of about 8 KiB.
_LONGEST = 2000
_LONGEST_CURSOR = 4096

_TRIGGER_TYPES = ("manual", "api", "schedule", "webhook", "email", "restart", "custom")
_SORTS = {
    "created_at": "created_at",
    "timing.created_at": "created_at",
    "started_at": "started_at",
    "timing.started_at": "started_at",
}


def _status(name: str, value: Any) -> RunStatus:
    try:
        status = RunStatus(value) if isinstance(value, str) else RunStatus.UNKNOWN
    except ValueError:
        status = RunStatus.UNKNOWN
    if status is RunStatus.UNKNOWN:
        known = ", ".join(sorted(member.value for member in RunStatus if member is not RunStatus.UNKNOWN))
        raise InvalidInputError(f"{name} must be one of {known}, not {kind_of(value)}")
    return status


def _day(name: str, value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, datetime):
            return (value if value.utcoffset() is None else value.astimezone(UTC)).date()
        return date.fromisoformat(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInputError(f"{name} must be a date or YYYY-MM-DD, not {kind_of(value)}") from None


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.utcoffset() is None else value


def _whole(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    wrong = isinstance(value, bool) or not isinstance(value, int) or value < least
    if wrong or value > (_LARGEST if most is None else most):
        span = f"from {least} to {most}" if most is not None else f"of at least {least} and of 64 bits"
        raise InvalidInputError(f"{name} must be a whole number {span}, not {kind_of(value)}")
    return int(value)


def _ordered(low_name: str, low: Any, high_name: str, high: Any) -> None:
    if low is not None and high is not None and low > high:
        raise InvalidInputError(f"{low_name} must not be after or above {high_name}: {low} and {high}")


def _short(name: str, text: str, most: int) -> str:
    if len(text) > most:
        raise InvalidInputError(
            f"{name} must have at most {most} characters, for it goes into an address, not {len(text)}"
        )
    return text


def _cursor(name: str, value: Any) -> str:
    """Return the id of a run, or another text that a server has given as a cursor."""
    text = _short(name, checked_text(name, value), _LONGEST_CURSOR)
    if not set(text) - set("."):
        raise InvalidInputError(f"{name} must be a cursor, as a page has it, not {kind_of(value)}")
    return text


def _metadata(name: str, value: Any) -> str | None:
    pairs = checked_pairs(name, value)
    return _short(name, json.dumps(pairs, sort_keys=True), _LONGEST) if pairs else None


# What checks each filter that is given.
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "workflow_id": checked_id,
    "status": _status,
    "exclude_status": _status,
    "trigger_type": partial(checked_choice, allowed=_TRIGGER_TYPES),
    "from_date": _day,
    "to_date": _day,
    "min_duration_ms": _whole,
    "max_duration_ms": _whole,
    "search": lambda name, value: _short(name, checked_text(name, value), LONGEST_ID),
    "metadata": _metadata,
    "before": _cursor,
    "after": _cursor,
    "limit": partial(_whole, least=1, most=100),
    "order": partial(checked_choice, allowed=("asc", "desc")),
    "sort_by": lambda name, value: _SORTS[checked_choice(name, value, tuple(_SORTS))],
}


@dataclass(frozen=True)
class RunFilters:
    """Checked filters of the run list."""

    workflow_id: str | None = None
    status: RunStatus | None = None
    exclude_status: RunStatus | None = None
    trigger_type: str | None = None
    from_date: date | None = None
    to_date: date | None = None
    min_duration_ms: int | None = None
    max_duration_ms: int | None = None
    search: str | None = None
    metadata: str | None = None
    before: str | None = None
    after: str | None = None
    limit: int | None = None
    order: str | None = None
    sort_by: str | None = None
    moments: tuple[datetime | None, datetime | None] = (None, None)
    """From when and until when, where the caller gave more than the day that servers filter by."""
    failed_word: Literal["error", "failed"] = "error"
    """The server's word for runs that failed."""

    @classmethod
    def read(cls, **given: Any) -> "RunFilters":
        """Check what `list_runs` was given.

        Raises:
            InvalidInputError: The message names the filter and lists what it may be.
        """
        if unknown := given.keys() - _CHECKS.keys():
            known = ", ".join(sorted(_CHECKS))
            names = printable(", ".join(sorted(unknown)), 200)
            raise InvalidInputError(f"list_runs has no filter {names}; it has {known}")
        if given.get("before") is not None and given.get("after") is not None:
            raise InvalidInputError("before and after exclude each other: one pages back, the other forward")
        asked = {name: value for name, value in given.items() if value is not None}
        checked = cls(
            **{name: check(name, asked[name]) for name, check in _CHECKS.items() if name in asked},
            moments=(_moment(asked.get("from_date")), _moment(asked.get("to_date"))),
        )
        _ordered("from_date", checked.from_date, "to_date", checked.to_date)
        _ordered("min_duration_ms", checked.min_duration_ms, "max_duration_ms", checked.max_duration_ms)
        return checked

    def query(self, family: RouteFamily) -> tuple[tuple[str, str], ...]:
        """Return the query in the spelling of a route family.

        Raises:
            InvalidInputError: The family has no such filter.
        """
        if family == "classic" and self.metadata is not None:
            raise InvalidInputError(
                "classic routes have no run metadata to filter by; filter by workflow_id and from_date"
            )
        is_classic = family == "classic"
        spelled = {
            **{name: getattr(self, name) for name in _CHECKS},
            "status": self._spelled(self.status, family),
            "exclude_status": self._spelled(self.exclude_status, family),
            "sort_by": self.sort_by and ("" if is_classic else "timing.") + self.sort_by,
            # Classic servers have known both names for these.
            "min_duration": self.min_duration_ms if is_classic else None,
            "max_duration": self.max_duration_ms if is_classic else None,
        }
        return tuple((name, str(value)) for name, value in spelled.items() if value is not None)

    def _spelled(self, status: RunStatus | None, family: RouteFamily) -> str | None:
        if status is RunStatus.ERROR and family == "current":
            return self.failed_word
        return status and status.spelled(family)

    def admits(self, run: WorkflowRun) -> bool:
        """Return whether a listed run matches the filters in which servers differ."""
        if self.exclude_status is not None and run.status is self.exclude_status:
            return False
        created, (start, end) = run.timing.created_at, self.moments
        return created is None or ((start is None or start <= created) and (end is None or created <= end))
