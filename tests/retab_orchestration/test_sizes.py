"""How large an answer may be, and what happens to one that is larger."""

import asyncio
import gc
import gzip
import itertools
import json
import re
import time
import tracemalloc
import zlib

import pytest

from retab_orchestration import (
    ApiStatusError,
    AsyncRetabClient,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    CreateOutcomeUnknownError,
    NotFoundError,
    PollPolicy,
    RateLimitedError,
    ResponseTooLargeError,
    RetabClient,
    RetryPolicy,
    ServerError,
    UnreadableAnswerError,
    UnsupportedRouteError,
    WorkflowRun,
)
from retab_orchestration._http import Request
from retab_orchestration._polling.shared_wait import SharedWait
from retab_orchestration._polling.wait import WaitOptions
from retab_orchestration._transport.responses import Answer
from retab_orchestration.settings import Settings
from tests.retab_orchestration.raw_server import answering, head, ok, raw_server

MIB = 1024 * 1024
RUN = b'{"id": "run_1", "status": "running"}'


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request):
    """Call an operation of the client in either colour."""

    def call(server, operation, *args, settings=None, **kwargs):
        more = {"api": "classic", "auth": "bearer", "retry": RetryPolicy(attempts=1), **(settings or {})}
        if request.param == "blocking":
            with RetabClient("k", server.url, **more) as client:
                result = getattr(client, operation)(*args, **kwargs)
                return list(result) if operation == "iter_runs" else result

        async def main():
            async with AsyncRetabClient("k", server.url, **more) as client:
                result = getattr(client, operation)(*args, **kwargs)
                return [run async for run in result] if operation == "iter_runs" else await result

        return asyncio.run(main())

    return call


def get(ask, server, **settings):
    return ask(server, "get_run", "run_1", outputs=False, settings=settings)


def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
    ],
)
def test_an_answer_is_unpacked(ask, encoding, pack):
    run = json.dumps({"id": "run_1", "status": "running", "x": ["y" * 100] * 10_000}).encode()
    with raw_server(answering(ok(pack(run), content_encoding=encoding))) as server:
        assert get(ask, server).id == "run_1"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", RUN),
        ("gzip", gzip.compress(RUN, mtime=0)[:-9]),
        ("br", RUN),
        ("zstd", RUN),
        ("gzip, gzip", gzip.compress(gzip.compress(RUN, mtime=0), mtime=0)),
        ("deflate", b"x"),
    ],
)
def test_an_answer_that_cannot_be_unpacked_is_unreadable(ask, encoding, body):
    answer = ok(body, content_encoding=encoding)
    with raw_server(answering(answer)) as server, pytest.raises(UnreadableAnswerError, match="compress"):
        get(ask, server)


def chunked(body, times=1):
    chunk = b"%x\r\n%s\r\n" % (len(body), body)
    return head(200, transfer_encoding="chunked") + chunk * times + b"0\r\n\r\n"


ZEROS = gzip.compress(b"0" * 160 * MIB)
NESTED = b"[" * 17 * MIB


def too_large():
    """Return answers that are too large, by name: made when they are needed, for they are large."""
    return {
        "announced": lambda: head(200, content_length=10**9) + b"0" * 1000,
        "announced beyond reason": lambda: head(200, content_length=10**18) + b"0" * 1000,
        "one piece": lambda: ok(b"[" * 17 * MIB),
        "chunks": lambda: chunked(b"[" * MIB, times=40),
        "until it is closed": lambda: head(200) + b"[" * 40 * MIB,
        "gzip": lambda: ok(ZEROS, content_encoding="gzip"),
        "gzip in chunks": lambda: (
            head(200, transfer_encoding="chunked", content_encoding="gzip")
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(ZEROS), ZEROS)
        ),
        "deflate": lambda: ok(raw_deflate(b"0" * 160 * MIB), content_encoding="deflate"),
        "gzip of nothing": lambda: ok(gzip.compress(b"") + b"\0" * 17 * MIB, content_encoding="gzip"),
    }


@pytest.mark.parametrize("name", too_large())
def test_an_answer_over_the_limit_is_refused_before_it_is_read_and_adds_at_most_64_mib(ask, name):
    answer = too_large()[name]()

    def script(connection):
        while connection.request():
            connection.send(answer)
            connection.sock.close()

    with raw_server(script) as server:
        tracemalloc.start()
        try:
            with pytest.raises(ResponseTooLargeError, match="max_response_bytes") as refused:
                get(ask, server)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert not refused.value.retryable
    assert peak < 64 * MIB
    assert server.connections == 1


def test_an_answer_in_tiny_parts_takes_no_more_memory_than_one_in_large_ones():
    answer = Answer(Request("GET", "/v1/x"), 200, [], Settings(api_key="k"))
    tracemalloc.start()
    try:
        for number in range(200_000):
            answer.take(b"%02d" % (number % 100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(answer.response().content) == 400_000
    assert peak < MIB


def of_tiny_parts(number=30_000):
    """Return answers of many parts that would become values of some KiB each, by what they are of."""
    objects, keyed = [{}] * number, {f"n{part}": {} for part in range(number)}
    run = {"id": "run_1", "status": "running"}
    step = {"node_id": "n"}
    return {
        "steps of a run": ("get_run", {**run, "steps": [step] * number}),
        "traces of a run": ("get_run", {**run, "trace_spans": objects}),
        "outputs of a run": ("get_run", {**run, "final_outputs": keyed}),
        "documents of a run": ("get_run", {**run, "inputs": {"documents": keyed}}),
        "tags of a run": ("get_run", {**run, "metadata": dict.fromkeys(keyed, "")}),
        "steps": ("list_steps", [step] * number),
        "steps that are none": ("list_steps", {"data": objects}),
        "what went through a step": ("list_steps", [{**step, "handle_outputs": keyed}]),
        "runs that are none": ("list_runs", {"data": objects}),
    }


@pytest.mark.parametrize("name", of_tiny_parts())
def test_an_answer_of_very_many_parts_is_too_large(ask, name):
    operation, body = of_tiny_parts()[name]
    run_id = () if operation == "list_runs" else ("run_1",)
    options = {"outputs": False} if operation == "get_run" else {}
    refused = pytest.raises(ResponseTooLargeError, match="max_response_bytes")
    with raw_server(answering(ok(json.dumps(body).encode()))) as server, refused:
        ask(server, operation, *run_id, settings={"max_response_bytes": 2 * MIB}, **options)


def test_a_create_whose_answer_has_very_many_parts_may_have_made_a_run(ask):
    body = json.dumps(of_tiny_parts()["steps of a run"][1]).encode()
    with raw_server(answering(ok(body))) as server, pytest.raises(CreateOutcomeUnknownError):
        ask(server, "create_run", "wf_1", settings={"max_response_bytes": 2 * MIB})


def test_an_answer_without_the_header_of_zlib_may_begin_with_a_single_byte(ask):
    packed = raw_deflate(RUN)

    def script(connection):
        while connection.request():
            connection.send(head(200, content_encoding="deflate", content_length=len(packed)) + packed[:1])
            connection.pause(0.1)
            connection.send(packed[1:])

    with raw_server(script) as server:
        assert get(ask, server).id == "run_1"


def test_the_limit_is_a_setting(ask):
    run = json.dumps({"id": "run_1", "status": "running", "x": "y" * 2 * MIB}).encode()
    with raw_server(answering(ok(run))) as server:
        assert get(ask, server).id == "run_1"
        assert get(ask, server, max_response_bytes=3 * MIB).id == "run_1"
        with pytest.raises(ResponseTooLargeError):
            get(ask, server, max_response_bytes=2 * MIB)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1", None, 65535])
def test_a_limit_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="max_response_bytes"):
        RetabClient("k", max_response_bytes=wrong)


REFUSALS = [
    (401, AuthenticationError),
    (404, NotFoundError),
    (409, ConflictError),
    (429, RateLimitedError),
    (503, ServerError),
    (302, ApiStatusError),
]


@pytest.mark.parametrize(("status", "error"), REFUSALS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_refusal_keeps_its_class_and_status_whatever_the_size_of_its_body(ask, status, error, packed):
    body = json.dumps({"detail": "x" * 2 * MIB}).encode()
    headers = {"x-request-id": "req_7", **({"content-encoding": "gzip"} if packed else {})}
    body = gzip.compress(body) if packed else body

    def script(connection):
        while connection.request():
            connection.send(head(status, **{"content-length": len(body), **headers}) + body)

    with raw_server(script) as server, pytest.raises(error) as refused:
        get(ask, server)

    assert type(refused.value) is not UnsupportedRouteError
    assert (refused.value.status, refused.value.request_id) == (status, "req_7")
    assert "max_response_bytes" in str(refused.value)
    assert len(str(refused.value)) < 2000


def test_a_refusal_that_cannot_be_unpacked_keeps_its_class(ask):
    def script(connection):
        while connection.request():
            connection.send(head(503, content_length=3, content_encoding="gzip") + b"xyz")

    with raw_server(script) as server, pytest.raises(ServerError):
        get(ask, server)


def test_a_create_whose_answer_is_too_large_may_have_made_a_run(ask):
    with raw_server(answering(ok(b"[" * 17 * MIB))) as server:
        with pytest.raises(CreateOutcomeUnknownError, match="max_response_bytes"):
            ask(server, "create_run", "wf_1")
        assert server.connections == 1


def listing(rows_of, size):
    """Return a script that serves a list by its cursor; a row has that many bytes, a page as many as asked for."""
    asked = []

    def script(connection):
        while request := connection.request():
            query = dict(re.findall(rb"[?&]([a-z_]+)=([^& ]+)", request.split(b"\r\n")[0]))
            limit, after = int(query.get(b"limit", 20)), query.get(b"after", b"").decode()
            asked.append(limit)
            ids, cursor = rows_of(after, limit)
            rows = [{"id": name, "status": "running", "text": "x" * size} for name in ids]
            connection.send(ok(json.dumps({"data": rows, "list_metadata": {"after": cursor}}).encode()))

    script.asked = asked
    return script


def hundred(after, limit):
    start = int(after.removeprefix("run_") or -1) + 1
    ids = [f"run_{number}" for number in range(start, min(start + limit, 100))]
    return ids, ids[-1] if ids and ids[-1] != "run_99" else None


def test_a_page_that_is_too_large_is_asked_for_again_with_half_its_rows(ask):
    script = listing(hundred, 100 * 1024)
    with raw_server(script) as server:
        page = ask(server, "list_runs", limit=100)

    assert script.asked == [100, 50, 25]
    assert [run.id for run in page.data] == [f"run_{number}" for number in range(25)]


def test_a_list_whose_pages_are_too_large_is_read_whole_in_smaller_ones(ask):
    script = listing(hundred, 100 * 1024)
    with raw_server(script) as server:
        runs = ask(server, "iter_runs", limit=100)

    assert [run.id for run in runs] == [f"run_{number}" for number in range(100)]
    assert script.asked == [100, 50, 25, 25, 25, 25]


def test_a_row_that_is_too_large_by_itself_is_an_error_that_says_what_to_set(ask):
    script = listing(hundred, 5 * MIB)
    with raw_server(script) as server:
        with pytest.raises(ResponseTooLargeError, match="max_response_bytes"):
            ask(server, "list_runs")
        assert script.asked == [20, 10, 5, 2, 1]
        assert len(ask(server, "list_runs", limit=1, settings={"max_response_bytes": 32 * MIB}).data) == 1


def test_a_list_that_gives_the_same_rows_under_ever_new_cursors_ends(ask):
    cursors = itertools.count()
    script = listing(lambda after, limit: (["run_1", "run_2"], f"run_{next(cursors)}0"), 10)
    with raw_server(script) as server:
        runs = ask(server, "iter_runs")

    assert [run.id for run in runs][:2] == ["run_1", "run_2"]
    assert len(script.asked) == 4


def test_a_list_that_moves_on_by_a_row_while_it_is_read_goes_on(ask):
    """As one does whose pages are cut anew for each request, when a run is created meanwhile."""
    pages = [["run_3"], ["run_3"], ["run_2"], ["run_2"], ["run_1"], []]
    left = list(pages)

    def rows_of(after, limit):
        ids = left.pop(0)
        return ids, f"run_9{len(left)}" if left else None

    with raw_server(listing(rows_of, 10)) as server:
        assert {run.id for run in ask(server, "iter_runs", limit=1)} == {"run_1", "run_2", "run_3"}


def test_the_last_page_may_have_the_cursor_that_it_was_asked_for_with(ask):
    script = listing(lambda after, limit: (["run_2"] if after else ["run_1"], "run_1"), 10)
    with raw_server(script) as server:
        runs = ask(server, "iter_runs")

    assert [run.id for run in runs] == ["run_1", "run_2"]


def test_a_list_without_end_that_has_nothing_of_what_was_asked_for_is_an_error(ask):
    numbers = itertools.count()

    def one(after, limit):
        name = f"run_{next(numbers)}"
        return [name], name

    with raw_server(listing(one, 10)) as server, pytest.raises(ResponseTooLargeError, match="asked for"):
        ask(server, "iter_runs", exclude_status="running")


def test_a_list_that_goes_in_a_circle_under_ever_new_cursors_ends_where_two_are_read_as_one(ask):
    numbers = itertools.count()

    def circle(after, limit):
        number = next(numbers)
        return [f"run_{number % 50 // 2 * 20 + row}" for row in range(20)], f"run_9{number}"

    with raw_server(listing(circle, 10)) as server:
        runs = ask(server, "iter_runs", status="error", settings={"api": "current"})

    assert len({run.id for run in runs}) == len(runs) == 25 * 20


def test_a_wait_keeps_few_of_the_names_that_its_run_has_and_none_that_is_longer_than_an_id():
    async def main():
        waits = []
        for number in range(40):
            wait = SharedWait(f"run_{number}", WaitOptions(None, PollPolicy(), "wait"), 0.0)
            nodes = [f"node-{number}-{node:0100}" for node in range(1500)]
            run = {"id": f"run_{number}", "status": "waiting_for_human", "waiting_for_node_ids": nodes}
            wait.polled(WorkflowRun.model_validate({**run, "workflow_id": f"{number}" * 2**17}), 0.0, 0.0)
            waits.append(wait)
        del wait, nodes, run
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        assert asyncio.run(main()) < 3 * MIB
    finally:
        tracemalloc.stop()


def steps_for_ever(fresh, size=10):
    numbers = itertools.count()

    def script(connection):
        while request := connection.request():
            if b"/steps" not in request.split(b"\r\n")[0]:
                connection.send(ok(b'{"id": "run_1", "status": "completed"}'))
                continue
            number = next(numbers)
            row = {"step_id": f"step_{number if fresh else 1}", "node_id": "n", "output": "x" * size}
            page = {"data": [row], "list_metadata": {"after": f"step_{number}"}}
            connection.send(ok(json.dumps(page).encode()))

    script.numbers = numbers
    return script


def test_steps_that_repeat_under_ever_new_cursors_end(ask):
    script = steps_for_ever(fresh=False)
    with raw_server(script) as server:
        steps = ask(server, "list_steps", "run_1", settings={"api": "current"})

    assert next(script.numbers) == 4
    assert {step.step_id for step in steps} == {"step_1"}


@pytest.mark.parametrize("size", [10, 200_000])
def test_steps_without_an_end_are_an_error(ask, size):
    script = steps_for_ever(fresh=True, size=size)
    with raw_server(script) as server:
        with pytest.raises(ResponseTooLargeError, match="does not end"):
            ask(server, "list_steps", "run_1", settings={"api": "current", "max_response_bytes": MIB})
        with pytest.raises(ResponseTooLargeError, match="does not end"):
            ask(server, "get_run", "run_1", settings={"api": "current", "max_response_bytes": MIB})


def test_an_answer_over_the_limit_ends_its_own_wait_at_once_and_no_other():
    def script(connection):
        while request := connection.request():
            name = request.split(b" ")[1].rpartition(b"/")[2].decode()
            if name.startswith("runs"):
                connection.send(head(500, content_length=0))
            elif name == "run_bad":
                connection.send(head(200, content_length=10**9))
                return
            else:
                connection.send(ok(b'{"id": "%s", "status": "completed"}' % name.encode()))

    async def main(url):
        async with AsyncRetabClient("k", url, api="classic", auth="bearer") as client:
            began = time.monotonic()
            waits = [
                asyncio.create_task(client.wait_for_run(name, timeout=60, outputs=False))
                for name in ["run_bad", *(f"run_{number}" for number in range(10))]
            ]
            ended = await asyncio.gather(*waits, return_exceptions=True)
            return ended, time.monotonic() - began

    with raw_server(script) as server:
        ended, took = asyncio.run(main(server.url))

    assert isinstance(ended[0], ResponseTooLargeError)
    assert {run.status.value for run in ended[1:]} == {"completed"}
    assert took < 20
