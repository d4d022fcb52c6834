"""Connections with fields of no kind: named in the error, before anything is sent, and no password told."""

import json
import os

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider.hooks import RetabHook
from retab_orchestration import RetabError
from tests.hostile.harness import Case
from tests.hostile.retab import RUN_ID

PASSWORD = "proxy-password-4d1c-do-not-show-me"
DEEP = "[" * 100_000 + "]" * 100_000
LONG = '{"timeout": ' + "1" * 5000 + "}"
# Fields of a connection, and what is in them instead.
FIELDS = {
    "password": ["", " ", "a b", "a\nb", "\x00", "\xe9", None],
    "host": [
        *(
            "x y",
            "ftp://x",
            "http://",
            "http://u:p@x",
            "http://x?y",
            "http://x#y",
            "http://x:y",
            "http://[::1",
            "http://a..b",
        ),
        *(
            "\x00",
            "http://x:99999",
            "file:///etc/passwd",
            "//x//",
            "http://" + "a" * 300,
            "http://x\r\nHost: y",
        ),
    ],
    "extra": ["x", "[]", "7", '"x"', "{", "null", "[1]", "{'api': 'auto'}", "[" * 100_000, DEEP, LONG],
}
# Entries of its extra.
EXTRAS = {
    "api": ["newest", 7, ["x"], {"x": 1}, True, "x" * 9000, 0, False, [], {}, "classic "],
    "auth": ["basic", 7, ["x"], {"x": 1}, True, 0, False, [], {}],
    "timeout": [0, -1, "x", [], {}, "nan", "inf", "1e400", 10**400, True, 86401],
    "requests_per_second": ["1e-300", 1e-12, 0, -1, "x", [], {}, "nan", "-inf", 10**400, True],
    "verify": [7, [], {}, "\x00"],
    "proxy": [
        0,
        False,
        [],
        " ",
        "x",
        7,
        ["x"],
        "socks5://x:1",
        f"http://u:{PASSWORD}@x:y",
        "http://x:99999",
        "http://[::1",
        "http://x:0",
    ],
    "dashboard_url": ["x", 7, ["x"], {"x": 1}, "javascript:alert(1)", "ftp://x", 0, False, [], "http://x/\n"],
    "namespace": [7, [], {}, " ", True],
    "upload_hosts": [7, {"x": 1}, [7], "http://x", ["\x00"]],
}


def connected(world, **changes):
    """Write a connection that leads to the case's site but for its changes, and look at a run with it."""
    name = f"hostile_{world.number}"
    extra = {"api": "classic", "auth": "bearer", "timeout": 2}
    known = {"conn_type": "retab", "password": world.key, "host": world.url, "extra": extra, **changes}
    os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(known)
    try:
        with RetabHook(name).get_conn() as client:
            return client.get_run(RUN_ID)
    finally:
        del os.environ[f"AIRFLOW_CONN_{name.upper()}"]


def with_extra(world, name, value):
    extra = {"api": "classic", "auth": "bearer", "timeout": 2, name: value}
    return connected(world, extra=extra)


def cases():
    refused = {"expected": (RetabError, AirflowException), "documented": (RetabError, AirflowException)}
    for name, values in FIELDS.items():
        for number, bad in enumerate(values):
            act = lambda world, name=name, bad=bad: connected(world, **{name: bad})  # noqa: E731
            yield Case(f"{name} {number}", act, secrets=(PASSWORD,), seconds=20.0, **refused)
    for name, values in EXTRAS.items():
        for number, bad in enumerate(values):
            act = lambda world, name=name, bad=bad: with_extra(world, name, bad)  # noqa: E731
            yield Case(f"extra {name} {number}", act, secrets=(PASSWORD,), seconds=20.0, **refused)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_a_connection(case, check):
    check(case)
