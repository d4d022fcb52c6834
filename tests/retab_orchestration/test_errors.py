import inspect
import re

import pytest

import retab_orchestration
from retab_orchestration import errors


def test_the_tree_at_the_top_is_the_tree():
    drawn = []
    stack = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"([│├└─ ]*)(\w+Error)\b", line)
        if not found:
            continue
        depth = len(found[1]) // 4
        stack[depth:] = [found[2]]
        drawn.append(tuple(stack[-2:]) if len(stack) > 1 else (None, found[2]))

    real = {
        (next((base.__name__ for base in kind.__mro__[1:] if base.__name__ in errors.__all__), None), name)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if name in errors.__all__
    }
    assert set(drawn) == real


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_public_and_documented(name):
    assert getattr(retab_orchestration, name) is getattr(errors, name)
    assert getattr(errors, name).__doc__


def test_every_refusal_that_a_caller_can_mend_says_how():
    for name in ("AuthenticationError", "NotFoundError", "UnsupportedRouteError", "DocumentTooLargeError"):
        assert getattr(errors, name)("x").advice in str(getattr(errors, name)("x"))


def test_errors_of_the_call_are_value_errors_too():
    assert issubclass(errors.InvalidInputError, ValueError)
    assert issubclass(errors.ConfigurationError, ValueError)


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_tells_whether_trying_again_may_help(name):
    final = {
        "ConfigurationError",
        "InvalidInputError",
        "CreateOutcomeUnknownError",
        "InputsChangedError",
        "AuthenticationError",
        "NoTlsError",
        "PermissionDeniedError",
        "NotFoundError",
        "UnsupportedRouteError",
        "ConflictError",
        "ReviewConflictError",
        "ReviewNotResumedError",
        "DocumentTooLargeError",
        "RequestRejectedError",
        "ResponseTooLargeError",
        "DownloadNotAllowedError",
        "WebhookRejectedError",
        "UploadNotAllowedError",
    }

    assert getattr(errors, name)("x").retryable is (name not in final)
