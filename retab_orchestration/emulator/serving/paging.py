"""Pages of lists, and the query parameters that lists have in common."""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from retab_orchestration.emulator.serving.wire import Refusal, Request

__all__ = ["choice", "date_window", "integer", "order", "page"]

T = TypeVar("T")

_DAY = 86_400 - 1e-6
"""Seconds from the beginning of a day to its last microsecond."""

_STALE = (
    "Cursor does not match a resource in this organization and environment. "
    "It may be stale, malformed, or belong to a different scope."
)


def page(
    request: Request,
    rows: Sequence[T],
    key: Callable[[T], str],
    write: Callable[[T], Any],
    *,
    default: int = 20,
    largest: int = 100,
    strict: bool = False,
) -> dict[str, Any]:
    """Return one page of rows that are filtered and sorted already.

    Args:
        request: Its `before`, `after` and `limit` say which page.
        rows: All rows.
        key: Returns the id of a row, which is its cursor.
        write: Returns the body of a row.
        default: The limit when none is given.
        largest: The highest limit allowed.
        strict: Whether an unknown cursor is refused; otherwise it gives an empty page.

    Returns:
        `{"data": [...], "list_metadata": {"before": id | None, "after": id | None}}`; `after` is the last id if more
        rows follow, `before` the first id if rows precede.

    Raises:
        Refusal: 400 for both cursors at once, 422 for a limit out of range or, if strict, an unknown cursor.
    """
    limit = integer(request, "limit", 1, largest) or default
    keys = [key(row) for row in rows]
    start, end = _window(request, keys, limit, strict=strict)
    shown = rows[start:end]
    metadata = {
        "before": keys[start] if shown and start > 0 else None,
        "after": keys[end - 1] if shown and end < len(rows) else None,
    }
    return {"data": [write(row) for row in shown], "list_metadata": metadata}


def integer(request: Request, name: str, lowest: int, highest: int | None = None) -> int | None:
    """Return an integer of the query, None when it is absent.

    Raises:
        Refusal: 422 when it is no integer, or out of range.
    """
    text = request.param(name)
    if text is None:
        return None
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise Refusal.invalid(["query", name], "Input should be a valid integer", "int_parsing")
    value = int(text)
    if value < lowest:
        raise Refusal.invalid(["query", name], f"Input should be at least {lowest}", "greater_than_equal")
    if highest is not None and value > highest:
        raise Refusal.invalid(["query", name], f"Input should be at most {highest}", "less_than_equal")
    return value


def choice(request: Request, name: str, allowed: Collection[str]) -> str | None:
    """Return a value of the query, one of those allowed, None when it is absent.

    Raises:
        Refusal: 422 when it is none of them.
    """
    value = request.param(name)
    if value is not None and value not in allowed:
        known = ", ".join(f"'{each}'" for each in sorted(allowed))
        raise Refusal.invalid(["query", name], f"Input should be one of {known}", "enum")
    return value


def order(request: Request, default: str) -> bool:
    """Return whether the newest row comes first.

    Raises:
        Refusal: 422 when `order` is neither `asc` nor `desc`.
    """
    return (choice(request, "order", {"asc", "desc"}) or default) == "desc"


def date_window(request: Request) -> tuple[float, float]:
    """Return `from_date` and `to_date` in seconds since 1970, minus and plus infinity where they are absent.

    A bare `to_date` reaches to the end of its day, in UTC.

    Raises:
        Refusal: 400 for what is no date, 422 when the window ends before it begins.
    """
    start, end = _date(request, "from_date"), _date(request, "to_date")
    if start is not None and end is not None and start > end:
        raise Refusal.invalid(["query", "from_date"], "from_date should not be after to_date")
    return start if start is not None else float("-inf"), end if end is not None else float("inf")


def _window(request: Request, keys: list[str], limit: int, *, strict: bool) -> tuple[int, int]:
    before, after = request.param("before"), request.param("after")
    if before and after:
        raise Refusal(400, "before and after are mutually exclusive: give one of them")
    cursor = before or after
    if cursor and cursor not in keys:
        if strict:
            raise Refusal(422, _STALE)
        return 0, 0
    if before:
        end = keys.index(before)
        return max(0, end - limit), end
    start = keys.index(after) + 1 if after else 0
    return start, min(start + limit, len(keys))


def _date(request: Request, name: str) -> float | None:
    text = request.param(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refusal(400, f"Invalid {name}: use YYYY-MM-DD or an RFC 3339 time") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    is_day = name == "to_date" and re.fullmatch(r"\d{4}-\d\d-\d\d", text)
    return moment.timestamp() + (_DAY if is_day else 0.0)
