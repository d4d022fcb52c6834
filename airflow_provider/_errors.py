"""How a task fails: the client's errors in the words of Airflow's forms, in one line, and without a retry in vain.

Imported when something fails, and not before, so that DAG files are parsed fast.
"""

import copy
import logging
import re
from typing import TYPE_CHECKING, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider import get_provider_info
from airflow_provider._core import core

if TYPE_CHECKING:
    from retab_orchestration import RetabError

__all__ = ["fail", "field_of", "final_error", "with_labels", "worded"]

_log = logging.getLogger(__name__)

E = TypeVar("E", bound="RetabError")


_STANDARD = {"base_url": "host", "api_key": "password"}


def _labels() -> dict[str, str]:
    form = get_provider_info()["connection-types"][0]
    standard = form["ui-field-behaviour"]["relabeling"]
    own = {name: field["label"] for name, field in form["conn-fields"].items()}
    return own | {name: standard[field] for name, field in _STANDARD.items()}


_LABELS = _labels()
"""The labels of the connection's form, by the names that the client has for its settings."""

# Not in quotes, as the field of a connection's extra is named.
_NAME = re.compile(rf"(?<!')\b({'|'.join(name for name in _LABELS if '_' in name)})\b|(?<=\braise )timeout\b")
_CHOICE = re.compile(r"\bset (api|auth)='([\w-]+)'")
_REPLACED = (
    (re.compile(r"; pass base_url or set RETAB_API_BASE_URL"), ""),
    (
        re.compile(r"See list_steps\([^)]*\) for what failed, then start a new run"),
        "See in Retab what failed, then clear the task",
    ),
    (re.compile(r" before creating it again\b"), "; clear the task to start a run all the same"),
)

_ADVICE = {
    "AuthenticationError": (
        "Put the key that is good now into the field API key, then clear the task; Base URL has to be the server of "
        "that key, and API key header says how it is sent"
    ),
    "NotFoundError": "Check the id, and that the field API key has a key of the same organisation and environment",
    "UnsupportedRouteError": "Check the id, and that the field API routes names those that the server has",
    "DocumentTooLargeError": (
        "Retab takes about 32 MiB, 24 MiB of documents: with current API routes large ones are uploaded; or split it"
    ),
}
"""What a DAG's author does, where the client's advice names arguments of the client."""


def field_of(setting: str) -> str:
    """Return how a setting of the client is called in a connection: the label of the form, and the field of Airflow."""
    return f"{_LABELS[setting]} ({_STANDARD.get(setting) or f'extra {setting!r}'})"


def with_labels(text: str) -> str:
    """Return a text of the client with the labels of the connection's form for the client's names."""
    for pattern, words in _REPLACED:
        text = pattern.sub(words, text)
    text = _CHOICE.sub(lambda found: f"set {_LABELS[found[1]]} to {found[2]}", text)
    return _NAME.sub(lambda found: _LABELS[found[0]], text)


def worded(error: E, conn_id: str) -> E:
    """Return a copy of an error that says where in Airflow it can be mended: which connection, and which field of it.

    Args:
        error: What the client has raised.
        conn_id: The connection of the client.
    """
    named = f"connection {conn_id!r}"
    if isinstance(error, core.ApiError):
        text = with_labels(error.message)
        if isinstance(error, core.AuthenticationError):
            text = f"Retab refuses the API key of {named}: {text}"
        kinds = (each.__name__ for each in type(error).__mro__)
        advice = next((_ADVICE[kind] for kind in kinds if kind in _ADVICE), error.advice)
        return error.with_message(text, advice=with_labels(advice))
    again = copy.copy(error)
    if isinstance(error, core.ConfigurationError):
        setting, _, rest = str(error).partition(" ")
        text = f"{field_of(setting)} {with_labels(rest)}" if setting in _LABELS else with_labels(str(error))
        again.args = (text if named in text else f"{named}: {text}",)
    else:
        again.args = (with_labels(str(error)),)
    return again


def final_error(error: "RetabError", conn_id: str) -> AirflowFailException:
    """Return the error that fails a task without a retry, with what its cause says."""
    cause = worded(error, conn_id)
    failure = AirflowFailException(_line_of(cause, conn_id))
    failure.__cause__ = cause
    return failure


def _line_of(error: "RetabError", conn_id: str) -> str:
    """Return what an error says, the request that failed at the end."""
    if not isinstance(error, core.ApiError):
        return str(error)
    place = f"{error.method} {error.path}" if error.method else ""
    text = str(error).removeprefix(f"{place}: ") if place else str(error)
    account = "" if repr(conn_id) in text else f"connection {conn_id!r}"
    facts = ", ".join(filter(None, (place, account)))
    return f"{text} ({facts})" if facts else text


def fail(error: Exception, conn_id: str, level: int) -> None:
    """Log what an error says, and raise it without the frames of the client; return where it is none of ours.

    Args:
        error: What ends the task.
        conn_id: The connection of the client.
        level: That of the line.

    Raises:
        AirflowFailException: For an error that another attempt would have as well.
        RetabError: For any other of the client.
    """
    if isinstance(error, core.RetabError):
        _log.debug("The error was raised here", exc_info=error)
        again = worded(error, conn_id)
        failure = again if again.retryable else final_error(error, conn_id)
        _log.log(level, "%s", _line_of(again, conn_id))
        raise failure from failure.__cause__
    if isinstance(error, AirflowException) and not isinstance(error, AirflowSkipException):
        _log.log(level, "%s", error)
        _drop_frames(error.__cause__)


def _drop_frames(error: BaseException | None) -> None:
    while error is not None:
        error.__traceback__, error = None, error.__cause__
