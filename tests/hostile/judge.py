"""Which class a case is of: good, or the way in which it is bad. Pure; the harness has seen everything before."""

import logging
import traceback
from dataclasses import dataclass, field
from typing import Any

CLASSES = ("good", "hang", "leak", "memory", "raw", "wrong", "outside")

# Characters of a message that a log or a database should bear.
LONGEST_MESSAGE = 5000


@dataclass
class Seen:
    """What became of a case."""

    value: Any = None
    error: BaseException | None = None
    seconds: float = 0.0
    mebibytes: float = 0.0
    outside: list[str] = field(default_factory=list)
    """What was written outside of where it belongs."""
    strayed: list[str] = field(default_factory=list)
    """Requests that went to a host where they did not belong."""
    logged: str = ""
    stored: str = ""
    """What a host would store or show."""
    is_over: bool = True


def judged(
    seen: Seen,
    *,
    documented: tuple[type[BaseException], ...],
    expected: tuple[type[BaseException], ...],
    is_right: bool,
    may_have_lines: bool,
    seconds: float,
    mebibytes: float,
    secrets: tuple[str, ...],
) -> tuple[str, str]:
    """Return the class, and why.

    Args:
        seen: What became of it.
        documented: Everything that may be raised anywhere.
        expected: What may be raised here; empty where there has to be a result.
        is_right: Whether the result, if there is one, is one that may be returned here.
        may_have_lines: Whether the message may have more than one line.
        seconds: How long it may take.
        mebibytes: How much memory it may take.
        secrets: What must not be in any text.
    """
    found = _overdue(seen, seconds) or _leaked(seen, secrets)
    if found is None and seen.mebibytes > mebibytes:
        found = "memory", f"{seen.mebibytes:.0f} MiB more, allowed are {mebibytes:g}"
    error = seen.error
    if found is None and error is not None and not isinstance(error, documented):
        found = "raw", f"{type(error).__module__}.{type(error).__name__}: {error}"[:300]
    return found or _wrong(seen, expected, is_right=is_right, may_have_lines=may_have_lines) or ("good", "")


def _overdue(seen: Seen, seconds: float) -> tuple[str, str] | None:
    if not seen.is_over or seen.seconds > seconds:
        return "hang", f"{seen.seconds:.1f} s, allowed are {seconds:g} s; {seen.error!r}"
    return ("outside", ", ".join(seen.outside)) if seen.outside else None


def _leaked(seen: Seen, secrets: tuple[str, ...]) -> tuple[str, str] | None:
    texts = texts_of(seen.error)
    if told := [secret for secret in secrets if secret in texts]:
        return "leak", f"{', '.join(told)} in the texts of {seen.error!r}"
    if told := [secret for secret in secrets if secret in seen.logged]:
        return "leak", f"{', '.join(told)} in the log"
    if told := [secret for secret in secrets if secret in seen.stored or secret in repr(seen.value)]:
        return "leak", f"{', '.join(told)} in what is stored or returned"
    return ("leak", "sent to another host: " + ", ".join(seen.strayed)) if seen.strayed else None


def _wrong(
    seen: Seen, expected: tuple[type[BaseException], ...], *, is_right: bool, may_have_lines: bool
) -> tuple[str, str] | None:
    error = seen.error
    if error is None:
        return None if is_right else ("wrong", f"returned {str(seen.value)[:200]!r}")
    if not isinstance(error, expected):
        return "wrong", f"raised {type(error).__name__}: {error}"[:300]
    told = str(error)
    if may_have_lines:
        told = told.replace("\n", " ")
    if unshown := {character for character in told if not character.isprintable()}:
        return "wrong", f"its message has {sorted(unshown)}"
    return ("wrong", f"its message has {len(told)} characters") if len(told) > LONGEST_MESSAGE else None


def texts_of(error: BaseException | None) -> str:
    """Return everything that a host may show or store of an error: messages, attributes and the chain of causes."""
    if error is None:
        return ""
    texts: list[str] = []
    for link in _chain_of(error):
        # As a traceback ends; its frames show lines of code, which hold no secret.
        texts += traceback.format_exception_only(link)
        texts += [str(link), repr(link), repr(link.args), repr(vars(link))]
        request = _quietly(link, "request")
        headers = getattr(request, "headers", None)
        texts.append(repr(dict(headers)) if headers is not None else "")
        texts.append(str(getattr(request, "url", "")))
    return "\n".join(texts)


def _chain_of(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


def _quietly(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001  httpx has a property that raises
        return None


class Log(logging.Handler):
    """Everything that is logged, for all cases together: each has secrets of its own."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter("%(message)s").format(record))
