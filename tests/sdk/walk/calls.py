"""Finds the calls of an SDK, and makes one with the arguments that its release has."""

import inspect

ROOTS = ("workflows", "files")


def find_calls(client):
    """Return the public methods of the resources, by their dotted names; those that only build a request are none."""
    found = {}
    for root in ROOTS:
        if hasattr(client, root):
            _walk(getattr(client, root), root, found, {id(client)})
    return found


def _walk(resource, name, found, seen):
    seen.add(id(resource))
    for attribute in sorted(dir(resource)):
        if attribute.startswith("_"):
            continue
        value = getattr(resource, attribute)
        if inspect.ismethod(value):
            if not attribute.startswith("prepare_") and attribute != "request_page":
                found[f"{name}.{attribute}"] = value
        elif type(value).__module__.startswith("retab.resources") and id(value) not in seen:
            _walk(value, f"{name}.{attribute}", found, seen)


def recipes():
    """Return a table of recipes, and a decorator that enters one for the names of a call."""
    table = {}

    def recipe(*names):
        def enter(function):
            table.update(dict.fromkeys(names, function))
            return function

        return enter

    return table, recipe


class Call:
    """A method of an SDK, called with those of the given arguments that its release has."""

    def __init__(self, method):
        self._method = method
        self.answered = False

    def __call__(self, **arguments):
        known = inspect.signature(self._method).parameters
        answer = self._method(**{name: value for name, value in arguments.items() if name in known})
        _check_type(answer)
        self.answered = True
        return answer

    def has(self, name):
        """Return whether the release has an argument."""
        return name in inspect.signature(self._method).parameters


def _check_type(answer):
    """Check that an answer went through a model of the SDK, as a whole or item by item."""
    items = answer if isinstance(answer, list) else [answer]
    for item in items:
        if item is not None and not (is_model(item) or is_strings(item)):
            raise AssertionError(f"a {type(item).__name__} is no model of the SDK")


def is_model(value):
    """Return whether a value is of a class of the SDK."""
    return type(value).__module__.startswith("retab.")


def is_strings(value):
    """Return whether a value is what some old calls promise, a mapping of strings."""
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def rows(answer):
    """Return the rows of a list, which is a page, a bare list, or an object with one list in it."""
    for name in ("data", "tests", "runs", "blocks"):
        if hasattr(answer, name):
            return list(getattr(answer, name))
    return list(answer)


def same(actual, expected):
    """Check that two values are equal, and say both if they are not."""
    if actual != expected:
        raise AssertionError(f"{actual!r} is not {expected!r}")


def contains(values, expected):
    """Check that a value is among others."""
    if expected not in list(values):
        raise AssertionError(f"{expected!r} is not among {list(values)!r}")
