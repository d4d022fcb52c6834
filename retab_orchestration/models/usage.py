"""What a run cost, from wherever a server says it."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from retab_orchestration.models._reading import Places, Reading, mapping, number, pick, places, text, whole
from retab_orchestration.models.step import Step

__all__ = ["Usage", "usage_from_primitives", "usage_from_steps"]


class Usage(Reading):
    """What a run cost; each value is None where the server does not say.

    Attributes:
        cost: Money, in the currency of the account.
        credits: Credits.
        pages: Pages of documents that were read.
        tokens: Tokens that language models read and wrote.
        model: The language model; several are joined by commas.
    """

    cost: float | None = None
    credits: float | None = None
    pages: int | None = None
    tokens: int | None = None
    model: str | None = None

    _places: ClassVar[Places] = places(cost=number, credits=number, pages=whole, tokens=whole, model=text)


def usage_from_steps(cost: Mapping[str, Any], steps: Iterable[Step]) -> Usage:
    """Return what a run says of its cost, and its steps of tokens and models, as the classic routes have it."""
    known = list(steps)
    tokens = [_tokens(step.tokens) for step in known]
    total = _total(tokens)
    return Usage(
        cost=pick(number, dict(cost), "total", "total_cost"),
        tokens=None if total is None else round(total),
        model=_joined(step.model for step in known),
    )


def usage_from_primitives(rows: Iterable[Mapping[str, Any]]) -> Usage:
    """Return the sum of what each operation of a run has cost, as the current routes have it."""
    known = [dict(mapping(row) or {}) for row in rows]
    pages, tokens = (
        _total(pick(number, row, *names) for row in known)
        for names in (("page_count", "pages"), ("tokens", "total_tokens", "tokens.total"))
    )
    return Usage(
        cost=_total(pick(number, row, "cost", "cost.total") for row in known),
        credits=_total(pick(number, row, "credits") for row in known),
        pages=None if pages is None else round(pages),
        tokens=None if tokens is None else round(tokens),
        model=_joined(pick(text, row, "model") for row in known),
    )


def _tokens(said: Mapping[str, Any]) -> float | None:
    whole = pick(number, said, "total_tokens", "total")
    if whole is not None:
        return whole
    return _total(pick(number, said, f"{side}_tokens", side) for side in ("input", "output"))


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    total = sum(known) if known else None
    return total if total is not None and math.isfinite(total) else None


def _joined(names: Iterable[str | None]) -> str | None:
    return ", ".join(dict.fromkeys(name for name in names if name)) or None
