"""Checks of the arguments of a DAG's author, made while the DAG file is parsed where the values are known by then."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Literal, get_args

from airflow_provider._core import core

OnReview = Literal["return", "wait", "fail", "skip"]
"""What a run that waits for a human means: return the outputs so far, wait for the decision, fail, or skip the task."""


# The core's check of an id, repeated here because a DAG file does not import the core while it is parsed.
_ID = re.compile(r"(?!\.+$)[!-\"$-.0->@-\[\]-~]{1,256}")

SHORTEST, LONGEST = 1e-6, 1e9
"""Seconds: a shorter time is 0 to a clock, a longer one, some 31 years, is past the dates that Airflow can store."""


def given(value: Any) -> str:
    """Name the kind of a value without repeating it, because it may be a document, a key, or very long."""
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    return (
        repr(value) if value is None or isinstance(value, bool | float) else f"of type {type(value).__name__}"
    )


def is_rendered_later(value: Any) -> bool:
    """Return whether a value is known at run time only: an XCom of another task, or text with a template in it."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    return hasattr(value, "iter_references")


def is_field_rendered_later(value: Any) -> bool:
    """Return whether the value of a template field is known at run time only; Airflow calls a function."""
    return callable(value) or is_rendered_later(value)


def as_seconds(value: Any) -> Any:
    """Return a timedelta in seconds, and anything else as it is, for `check_seconds` to judge."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def as_metadata(value: Any) -> Any:
    """Return a map whose numbers and booleans are text: templates that render to native objects make them.

    Anything else is left as it is, for the core to judge.
    """
    if not isinstance(value, Mapping):
        return value
    return {key: str(each) if isinstance(each, int | float) else each for key, each in value.items()}


def check_choice(name: str, value: Any, allowed: Any) -> Any:
    """Return a value as it is if it is one of a `Literal`'s.

    Raises:
        InvalidInputError: It is not; the message lists them.
    """
    choices = get_args(allowed)
    if not isinstance(value, str) or value not in choices:
        raise core.InvalidInputError(f"{name} must be one of {', '.join(choices)}, not {given(value)}")
    return value


def check_on_review(value: Any) -> OnReview:
    """Return a policy for review as it is.

    Raises:
        InvalidInputError: It is not one; the message lists them.
    """
    policy: OnReview = check_choice("on_review", value, OnReview)
    return policy


def check_seconds(*, zero: Collection[str] = (), **settings: float | timedelta | None) -> None:
    """Refuse invalid times; None is for no limit.

    Args:
        zero: The settings that may be 0.
        settings: Seconds, by the name of the setting.

    Raises:
        InvalidInputError: One is not a number, not above 0, or past every date; the message names it.
    """
    for name, given_time in settings.items():
        seconds = as_seconds(given_time)
        if seconds is None:
            continue
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not number or not (SHORTEST <= seconds <= LONGEST or (seconds == 0 and name in zero)):
            least = "0 or more" if name in zero else "more than 0"
            raise core.InvalidInputError(
                f"{name} must be a number of seconds, {least} and at most {LONGEST:,.0f}, not {given(seconds)}"
            )


def check_text(**settings: Any) -> None:
    """Refuse ids that are not text.

    Raises:
        InvalidInputError: One is empty, or not a string; the message names it.
    """
    for name, value in settings.items():
        if is_field_rendered_later(value):
            continue
        check_pulled(**{name: value})
        if not (isinstance(value, str) and value.strip()):
            raise core.InvalidInputError(f"{name} must be a string that is not empty, not {given(value)}")


def check_pulled(**settings: Any) -> None:
    """Refuse what a template makes of an XCom that is not there.

    Raises:
        InvalidInputError: One is the text `None`; the message names it.
    """
    for name, value in settings.items():
        if isinstance(value, str) and value.strip() == "None":
            raise core.InvalidInputError(
                f"{name} is the text 'None': the XCom that its template pulls is not there; see whether that task was "
                "skipped or pushes nothing"
            )


def check_maps(**inputs: Any) -> None:
    """Refuse inputs that are not maps of JSON values.

    Args:
        inputs: Maps, or values that are rendered to one at run time, or None; by the name of the input.

    Raises:
        InvalidInputError: One is something else; the message names it.
    """
    for name, value in inputs.items():
        if value is None or is_field_rendered_later(value):
            continue
        if not isinstance(value, Mapping):
            raise core.InvalidInputError(f"{name} must be a dict, not {type(value).__name__}")
        try:
            json.dumps(value, allow_nan=False, default=_only_rendered_later)
        except (TypeError, ValueError, RecursionError) as error:
            raise core.InvalidInputError(
                f"{name} is not JSON: {error}; give dicts, lists, strings, numbers, booleans, None"
            ) from None


def as_json(value: Any) -> Any:
    """Return a value as JSON: the XComs of a mapped task, which Airflow reads lazily, as a list."""
    try:
        return _as_json(value)
    except RecursionError:  # which the core refuses
        return value


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return [_as_json(each) for each in value]
    return value


def checked_partial(
    unchecked: Any,
    check: Callable[[Mapping[str, Any]], None],
    check_shared: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> Any:
    """Return what `partial` of an operator gave, as one that checks literals before Airflow stores them.

    What comes from another task is checked before its run is created.

    Args:
        unchecked: Airflow's OperatorPartial.
        check: Refuses invalid arguments, of those that it is given.
        check_shared: Refuses what may not be the same for all tasks.

    Raises:
        InvalidInputError: An argument of it is invalid; the message names it.
    """
    unchecked._expand_called = True  # noqa: SLF001  it warns of a task that was never mapped, as its successor does
    check(unchecked.kwargs)
    check_shared(unchecked.kwargs)

    class CheckedPartial(type(unchecked)):  # type: ignore[misc]
        """Airflow's own, of whichever release, with checks."""

        def expand(self, **mapped: Any) -> Any:
            """Do what Airflow's does, once each literal has been checked."""
            self._expand_called = True
            for name, values in mapped.items():
                for value in _literals(values):
                    check({name: value})
                    if len(mapped) > 1:  # of which each combination is a task
                        check_shared({name: value})
            return super().expand(**mapped)

        def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> Any:
            """Do what Airflow's does, once each literal has been checked."""
            self._expand_called = True
            for arguments in _literals(kwargs):
                if isinstance(arguments, Mapping):
                    check(arguments)
            return super().expand_kwargs(kwargs, strict=strict)

    return CheckedPartial(
        operator_class=unchecked.operator_class, kwargs=unchecked.kwargs, params=unchecked.params
    )


def _literals(values: Any) -> Iterable[Any]:
    """Return what Airflow maps over, where it is written in the DAG file: of a dict its pairs."""
    if isinstance(values, Mapping):
        return values.items()
    return values if isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray) else ()


def check_flags(**settings: Any) -> None:
    """Refuse what is neither True nor False: a string would be taken for True, even "False".

    Raises:
        InvalidInputError: One is something else; the message names it.
    """
    for name, value in settings.items():
        if not isinstance(value, bool):
            raise core.InvalidInputError(f"{name} must be True or False, not {given(value)}")


def check_nodes(nodes: Any, *, is_rendered: bool = True) -> list[str] | None:
    """Return `output_nodes` as a list, None for the workflow's ends.

    Args:
        nodes: The argument, or what it was rendered to.
        is_rendered: Whether templates in it have been rendered.

    Raises:
        InvalidInputError: They are not node ids, or the list is empty.
    """
    if nodes is None or (not is_rendered and is_field_rendered_later(nodes)):
        return None
    if not isinstance(nodes, list | tuple) or not nodes:
        raise core.InvalidInputError(
            f"output_nodes must be a list of node ids, or None, not {_listed(nodes)}"
        )
    for node in nodes:
        if not is_rendered and is_rendered_later(node):
            continue
        if not isinstance(node, str) or not _ID.fullmatch(node):
            raise core.InvalidInputError(
                "output_nodes must be a list of node ids, and has something else in it; copy them from Retab"
            )
    return list(nodes)


def _listed(nodes: Any) -> str:
    return "an empty list" if isinstance(nodes, list | tuple) else given(nodes)


def _only_rendered_later(value: Any) -> None:
    if not is_rendered_later(value):
        raise TypeError(f"{type(value).__name__} is no JSON type")


Checks = dict[str, Callable[[Any], object]]
"""What refuses an invalid value, by the name of its argument."""


def by_name(check: Callable[..., object], *names: str) -> Checks:
    """Return a check that takes the argument's name for each of some."""
    return {name: partial(_check_named, check, name) for name in names}


def _check_named(check: Callable[..., object], name: str, value: Any) -> None:
    check(**{name: value})


CHECKS: Checks = {
    **by_name(check_text, "workflow_id", "run_id", "retab_conn_id"),
    **by_name(check_maps, "json_inputs", "text_inputs", "metadata"),
    **by_name(check_flags, "deferrable", "wait_for_completion", "cancel_on_kill"),
    "output_nodes": partial(check_nodes, is_rendered=False),
    "on_review": check_on_review,
}
"""Those of arguments that mean the same wherever they are taken."""


def check_each(checks: Checks, arguments: Mapping[str, Any]) -> None:
    """Refuse invalid arguments, of those that have a check; the message of InvalidInputError names the argument."""
    for name, value in arguments.items():
        if name in checks:
            checks[name](value)
