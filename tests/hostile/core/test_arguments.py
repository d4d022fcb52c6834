"""What a caller gives where something else belongs: for every operation, and for the client itself."""

import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial

import pytest

from retab_orchestration import PollPolicy, RetryPolicy, RunIdentity, errors
from tests.hostile.core.clients import CLASSIC, COLOURS, GET_RUN, IDENTITY, OR_GOOD, Operation, calling
from tests.hostile.harness import Case

TEXT = "sk_something-4d1c-do-not-show-me"
REFUSED = (errors.InvalidInputError,)
MAYBE = (*REFUSED, errors.ApiError, OR_GOOD)
CONFIGURATION = (errors.ConfigurationError,)


class Odd:
    """As an array is: what it equals is no truth; and it cannot even be shown."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> "Odd":  # type: ignore[override]
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth of it is ambiguous")

    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")

    __str__ = __repr__


class Awaited:
    """What is called, and has to be awaited."""

    async def __call__(self, seen: object) -> None: ...


AWAITED = [Awaited(), partial(Awaited()), partial(partial(Awaited()), None)]
NO_FLAGS = [None, "no", 0, 1, [], object(), Odd()]
# Seconds past what any clock sleeps for.
TOO_LONG = [1e12, 1e300, 2**40]
NO_IDS = [
    *(
        None,
        True,
        7,
        1.5,
        "",
        " ",
        ".",
        "..",
        "a/b",
        "a b",
        "a\n",
        "\x00",
        "\xe9",
        "\ud800",
        "x" * 70_000,
        b"run_1",
        [],
        {},
    ),
    *(
        object(),
        ["run_1"],
        ("run_1",),
        {"run_1"},
        "run_1?x",
        "run_1#x",
        "run\\1",
        f"{TEXT} ",
        f"{TEXT}\n".encode(),
        Odd(),
    ),
]
NO_SECONDS = [
    *(
        0,
        -1,
        -0.0,
        True,
        "60",
        b"60",
        [],
        {},
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        -(10**400),
        1j,
        Decimal("1e999"),
    ),
    *(f"{TEXT}", object(), Odd()),
]
NO_MAPS = [
    "text",
    b"x",
    7,
    1.5,
    True,
    [1],
    [("a", "b")],
    ("a",),
    {1: 2},
    {"": "x"},
    {"a b": 1},
    {None: 1},
    object(),
    Odd(),
]
NO_JSON = [
    *(
        b"x",
        {1, 2},
        object(),
        Odd(),
        math.nan,
        math.inf,
        datetime.now(UTC),
        Decimal(1),
        1j,
        {"a": {(1,): 2}},
        iter([1]),
    ),
]
LOOPED: list = []
LOOPED.append(LOOPED)
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]
ZONES = (None, UTC, timezone(timedelta(hours=23)), timezone(-timedelta(hours=23)))
NO_DATES = [
    *(
        7,
        True,
        b"2026-01-01",
        "yesterday",
        "2026-13-01",
        "2026-02-30",
        "0000-01-01",
        "99999-01-01",
        "2026-1-1",
        "\ud800",
    ),
    *("2026-01-01T00:00", [], {}, object(), Odd(), "x" * 70_000, "\u0662\u0660\u0662\u0666-01-01"),
]
FIRST, LAST = (1, 1, 1), (9999, 12, 31)
DATES = [date.min, date.max, *(datetime(*day, tzinfo=zone) for day in (FIRST, LAST) for zone in ZONES)]
FILTERS = {
    "workflow_id": NO_IDS[1:],
    "status": [7, True, b"x", "sleeping", "", [], {}, object(), Odd(), "\ud800", "x" * 70_000],
    "exclude_status": [7, "sleeping", [], {}, Odd()],
    "trigger_type": [7, "nothing", [], {}, Odd(), "\ud800"],
    "from_date": NO_DATES,
    "to_date": NO_DATES,
    "min_duration_ms": [-1, 1.5, True, "5", math.nan, math.inf, [], {}, Odd()],
    "max_duration_ms": [-1, 1.5, True, "5", math.nan, [], {}, Odd()],
    "search": [7, True, b"x", "", " ", [], {}, object(), Odd()],
    "metadata": [*NO_MAPS[:8], {"a": 1}, {"a": None}, {"a": "\ud800"}, {"\ud800": "a"}, Odd()],
    "before": NO_IDS[1:8],
    "after": NO_IDS[1:8],
    "limit": [0, -1, 101, 10**400, 1.5, True, "5", math.nan, [], {}, Odd()],
    "order": [7, "up", "", [], {}, Odd()],
    "sort_by": [7, "colour", "", [], {}, Odd()],
    "colour": ["red", None],
}
# Names of arguments of `create_run`, what they were given, and the errors that are right.
CREATES = [
    *(("workflow_id", bad, REFUSED) for bad in NO_IDS),
    *(("version", bad, REFUSED) for bad in NO_IDS[1:]),
    *(("documents", bad, REFUSED) for bad in [*NO_MAPS, {"n": Odd()}, {Odd: 1}, {"n" * 70_000: 1}]),
    *(("json_inputs", bad, REFUSED) for bad in NO_MAPS[:7]),
    *(("json_inputs", {"n": bad}, REFUSED) for bad in [*NO_JSON, LOOPED, DEEP]),
    *(
        ("json_inputs", {"n": given}, MAYBE)
        for given in ("\ud800", 10**400, {"\ud800": 1}, "x" * 10**6, {1: 2}, (1, 2), True)
    ),
    *(
        ("text_inputs", bad, REFUSED)
        for bad in [*NO_MAPS, {"n": b"x"}, {"n": None}, {"n": "\ud800"}, {"n": Odd()}]
    ),
    *(
        ("metadata", bad, (*REFUSED, OR_GOOD))
        for bad in [*NO_MAPS, {"a": 1}, {"retab-orchestration": "x"}, {"a": "\ud800"}]
    ),
    *(
        ("metadata", given, MAYBE)
        for given in ({"a": "x" * 10**6}, {"": ""}, {f"k{n}": "v" for n in range(10_000)})
    ),
    *(("identity", bad, REFUSED) for bad in ("me", 7, {}, object(), Odd())),
    *(("on_progress", bad, (*REFUSED, OR_GOOD)) for bad in (7, "x", object())),
    *(("on_progress", bad, REFUSED) for bad in AWAITED),
    *(("adopt", bad, REFUSED) for bad in NO_FLAGS),
    # One of the two would be lost.
    *(("json_inputs", {"n": bad}, REFUSED) for bad in ({1: "a", "1": "b"}, [{None: 1, "null": 2}])),
]
# Arguments of `wait_for_run`.
WAITS = [
    *(("timeout", bad, (*REFUSED, errors.WaitTimeoutError)) for bad in NO_SECONDS if bad is not math.inf),
    *(("poll", bad, REFUSED) for bad in (7, "x", {}, RetryPolicy(), object(), Odd())),
    *(("on_review", bad, REFUSED) for bad in (7, "ask", None, [], {}, Odd())),
    *(
        ("output_nodes", bad, REFUSED)
        for bad in ("n", 7, [], [7], [""], ["a b"], {}, object(), [Odd()], b"n")
    ),
    *(("run_id", bad, REFUSED) for bad in NO_IDS),
    *((name, bad, REFUSED) for name in ("on_change", "on_outage", "on_tick") for bad in AWAITED),
    *(("outputs", bad, REFUSED) for bad in NO_FLAGS),
]
CALLS = {
    "get_run": (["run_id"], NO_IDS),
    "list_steps": (["run_id"], NO_IDS[:14]),
    "cancel_run": (["run_id"], NO_IDS[:14]),
    "restart_run": (["run_id"], NO_IDS[:14]),
    "get_test_run": (["test_run_id"], NO_IDS[:14]),
    "create_test_run": (["workflow_id"], NO_IDS[:14]),
    "list_test_results": (["test_run_id"], NO_IDS[:14]),
    "find_runs": (["identity"], [None, "x", 7, {}, object(), Odd()]),
}
REVIEWS = [
    *(("node_id", bad) for bad in NO_IDS),
    *(("approved", bad) for bad in (None, "yes", 1, 0, [], object(), Odd())),
    *(
        ("modified_data", bad)
        for bad in ("x", 7, [1], b"x", {"a": {1}}, {"a": math.nan}, {"a": LOOPED}, {"a": DEEP}, Odd())
    ),
    *(("reason", bad) for bad in ("", " ", 7, [], object(), Odd())),
]
POLICIES = [
    *(
        (RetryPolicy, name, bad)
        for name in ("base", "cap", "max_retry_after", "find_for")
        for bad in NO_SECONDS[3:]
    ),
    *(
        (PollPolicy, name, bad)
        for name in ("interval", "growth", "error_budget", "first", "jitter")
        for bad in NO_SECONDS[3:]
    ),
    *(
        (RetryPolicy, name, bad)
        for name in ("base", "cap", "max_retry_after", "find_for")
        for bad in TOO_LONG
    ),
    *(
        (PollPolicy, name, bad)
        for name in ("interval", "first", "shortest", "review_interval")
        for bad in TOO_LONG
    ),
    *((PollPolicy, name, bad) for name in ("error_budget", "resume_timeout") for bad in TOO_LONG),
    *((partial(RunIdentity, "a", "b"), "on_mismatch", bad) for bad in (None, [], {}, Odd())),
    *((partial(RunIdentity, family="b"), "key", bad) for bad in ("", None, b"a", Odd())),
    *((RunIdentity.of, "since", bad) for bad in (7, "2026-01-01", datetime(2026, 1, 1), object())),  # noqa: DTZ001
]
NO_KEYS = [7, b"x", '"x"', "'x'", "", " ", "a b", "a\nb", "\x00", "\xe9", "\ud800", [], object(), Odd()]
NO_URLS = [
    *(
        7,
        b"http://x",
        "x",
        "//x",
        "http://",
        "http:///x",
        "ftp://x",
        "file:///x",
        "http://x?y",
        "http://x#y",
        "http://u@x",
    ),
    *(
        "http://u:p@x",
        "http://x:99999",
        "http://x:y",
        "http://x:-1",
        "http://[::1",
        "http://[x]",
        "http://a b",
    ),
    *(
        "http://x\r\nHost: y",
        "http://\x00",
        "http://x/\x00",
        "http://\ud800",
        "http://a..b",
        "http://.",
        "javascript:x",
    ),
    *(
        "http://" + "a" * 300,
        [],
        object(),
        Odd(),
        "http://x\\y",
        "http://\u2100.com",
        "http://x/\ud800",
        "http://%zz",
    ),
]
NO_CHOICES = [7, None, "newest", "", [], {}, object(), Odd()]
NO_FILES = [7, None, "", "/nowhere.pem", "/etc/passwd", "/dev/null", "\x00", "\ud800", [], Odd()]
NO_PROXIES = [
    *(
        7,
        "",
        "x",
        "socks5://x:1",
        "socks5h://x:1",
        "http://",
        "http://x:99999",
        "http://x:y",
        "http://[::1",
        "ftp://x",
    ),
    *("\x00", [], Odd(), "http://user:pass-4d1c@x:y", "http://\ud800:1", "http://x:0", "http://a b:1"),
]
# Settings of a client, and what they were given.
SETTINGS = {
    "api_key": NO_KEYS,
    "base_url": NO_URLS,
    "api": NO_CHOICES,
    "auth": NO_CHOICES,
    "timeout": [*NO_SECONDS, None, 86401],
    "retry": [None, 7, {}, PollPolicy(), object(), Odd()],
    "verify": NO_FILES,
    "proxy": NO_PROXIES,
    "requests_per_second": [1e-12, 5e-324, 0, -1, "5", True, math.nan, [], object(), Odd()],
}


def shown(value):
    try:
        return re.sub(r"[\[\]]", "", ascii(value)[:40])
    except (RuntimeError, RecursionError, ValueError):
        return "odd"


def operation(name, call):
    return Operation(name, "other", call, lambda value, _: value is not None)


def given(rows, method, **usual):
    """Yield calls of a method with one argument that is another."""
    for name, bad, expected in rows:
        arguments = {**usual, name: bad}
        yield f"{method} {name}", bad, lambda c, a=arguments: getattr(c, method)(**a), expected


def calls():
    """Yield what is done, what was given for it, how, and the errors that are right."""
    yield from given(CREATES, "create_run", workflow_id="wf_1")
    yield from given(WAITS, "wait_for_run", run_id="run_1")
    for method, ([name], values) in CALLS.items():
        yield from given([(name, bad, REFUSED) for bad in values], method)
    flags = {"get_run": ("outputs", "run_id", "run_1"), "restart_run": ("adopt", "run_id", "run_1")}
    for method, (name, needed, value) in {
        **flags,
        "find_runs": ("any_generation", "identity", IDENTITY),
    }.items():
        yield from given([(name, bad, REFUSED) for bad in NO_FLAGS], method, **{needed: value})
    reviews = [(name, bad, REFUSED) for name, bad in REVIEWS]
    yield from given(reviews, "decide_review", run_id="run_1", node_id="n", approved=True)
    for name, values in FILTERS.items():
        yield from given([(name, bad, REFUSED) for bad in values], "list_runs")
    texts = [("search", text, MAYBE) for text in ("x" * 70_000, "\x00", "\r\n", "\ud800", "&a=b#c")]
    dates = [(name, moment, MAYBE) for moment in DATES for name in ("from_date", "to_date")]
    yield from given([*texts, *dates], "list_runs")
    yield from given([*texts, *dates], "iter_runs")


def policies():
    for number, (policy, name, bad) in enumerate(POLICIES):
        what = f"{number} {getattr(policy, '__qualname__', 'RunIdentity')}.{name} = {shown(bad)}"
        yield what, lambda _, p=policy, n=name, b=bad: p(**{n: b}) and True, REFUSED, False
    for name, values in SETTINGS.items():
        # What is needed for TLS alone is read where there is TLS.
        more = {"base_url": lambda world: world.url.replace("http:", "https:")} if name == "verify" else {}
        for number, bad in enumerate(values):
            act = calling(GET_RUN.call, COLOURS[number % 2], **more, **{name: lambda _, bad=bad: bad})
            kinds = (errors.ConfigurationError, errors.InvalidInputError)
            yield f"{number} client {name} = {shown(bad)}", act, kinds, bad is None


def cases():
    for number, (name, bad, call, expected) in enumerate(calls()):
        does = operation(f"{number} {name} = {shown(bad)}", call)
        yield from does.cases([("refused", lambda _: {}, expected)], [COLOURS[number % 2]], secrets=(TEXT,))
    for number, bad in enumerate(("me", 7, {}, object(), Odd())):
        restart = Operation(
            f"restart_run identity {number}, classic",
            "other",
            lambda c, bad=bad: c.restart_run("run_1", identity=bad),
            lambda value, _: value is not None,
            CLASSIC,
        )
        yield from restart.cases([("refused", lambda _: {}, REFUSED)], [COLOURS[number % 2]])
    for name, act, expected, may_work in policies():
        right = GET_RUN.right if may_work else None
        yield Case(name, act, expected=expected, right=right, secrets=(TEXT, "pass-4d1c"))


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_argument(case, check):
    check(case)
