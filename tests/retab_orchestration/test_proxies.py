"""Proxies from the setting and from the environment: which one serves what, and that it is held to the same limits."""

import asyncio
import base64
import os
import ssl
import subprocess
import threading
import time

import pytest

from retab_orchestration import (
    ApiConnectionError,
    ApiTimeoutError,
    AsyncRetabClient,
    ConfigurationError,
    RetabClient,
    RetryPolicy,
)
from retab_orchestration._transport.proxies import Proxies, TunnelAnswer, read_exceptions, read_proxy
from tests.retab_orchestration.raw_server import head, ok, raw_server

RUN = b'{"id": "run_1", "status": "running"}'
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
TIMEOUT, LATE = 0.5, 2.0


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(params=["blocking", "asyncio"])
def look(request):
    """Look at a run, once, in either colour."""

    def call(url, **more):
        more = {"api": "classic", "auth": "bearer", "retry": RetryPolicy(attempts=1), "timeout": 20.0, **more}
        if request.param == "blocking":
            with RetabClient("k", url, **more) as client:
                return client.get_run("run_1", outputs=False)

        async def main():
            async with AsyncRetabClient("k", url, **more) as client:
                return await client.get_run("run_1", outputs=False)

        return asyncio.run(main())

    return call


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The paths of a certificate for this machine, which is its own authority, and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,DNS:retab.test,IP:127.0.0.1"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


class Seen:
    def __init__(self):
        self.requests = []


@pytest.fixture
def proxied(tls):
    """A script of a proxy that forwards nothing: it answers itself, over TLS where it was asked for a tunnel."""
    seen = Seen()

    def script(connection):
        request = connection.request()
        if request.startswith(b"CONNECT"):
            seen.requests.append(request)
            connection.send(head(200))
            connection.sock = tunnelled(connection.sock, tls)
            request = connection.request()
        while request:
            seen.requests.append(request)
            connection.send(ok(RUN))
            request = connection.request()

    script.seen = seen
    return script


def tunnelled(sock, context):
    """Return a socket with TLS on top of one that may have TLS already."""
    if not isinstance(sock, ssl.SSLSocket):
        return context.wrap_socket(sock, server_side=True)
    return OverTls(sock, context)


class OverTls:
    """The server's side of TLS inside of TLS."""

    def __init__(self, sock, context):
        self._sock = sock
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        self._do(self._tls.do_handshake)

    def recv(self, count):
        return self._do(lambda: self._tls.read(count))

    def sendall(self, data):
        self._do(lambda: self._tls.write(data))

    def together(self, *parts):
        """Send records that come in one of the TLS around it."""
        for part in parts:
            self._tls.write(part)
        self._sock.sendall(self._to_send.read())

    def _do(self, step):
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._sock.sendall(self._to_send.read())
                part = self._sock.recv(65536)
                if not part:
                    raise ConnectionError from None
                self._received.write(part)
            else:
                self._sock.sendall(self._to_send.read())
                return done


ASKED = b"GET http://retab.test/v1/workflows/runs/run_1 HTTP/1.1\r\n"
TUNNEL = b"CONNECT retab.test:443 HTTP/1.1\r\n"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "setting"])
def test_a_proxy_serves_http(look, proxied, monkeypatch, name):
    with raw_server(proxied) as proxy:
        if name != "setting":
            monkeypatch.setenv(name, proxy.url)
        run = look("http://retab.test", proxy=proxy.url if name == "setting" else None)

    assert run.id == "run_1"
    assert [request.startswith(ASKED) for request in proxied.seen.requests] == [True]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "setting"])
@pytest.mark.parametrize("over_tls", [False, True])
def test_a_proxy_opens_a_tunnel_for_https(look, proxied, monkeypatch, certificate, tls, name, over_tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with raw_server(proxied, tls=tls if over_tls else None) as proxy:
        address = proxy.url.replace("127.0.0.1", "localhost")
        if name != "setting":
            monkeypatch.setenv(name, address)
        run = look("https://retab.test", proxy=address if name == "setting" else None)

    tunnel, request = proxied.seen.requests
    assert run.id == "run_1"
    assert tunnel.startswith(TUNNEL)
    assert b"Authorization" not in tunnel
    assert request.startswith(b"GET /v1/workflows/runs/run_1 HTTP/1.1\r\n")


def test_a_tunnel_is_used_again(proxied, monkeypatch, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    options = {"api": "classic", "auth": "bearer"}
    with (
        raw_server(proxied) as proxy,
        RetabClient("k", "https://retab.test", proxy=proxy.url, **options) as client,
    ):
        for _ in range(3):
            client.get_run("run_1", outputs=False)

    assert len(proxied.seen.requests) == 4
    assert proxy.connections == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxys_user_and_password_go_to_the_proxy_alone(look, proxied, monkeypatch, certificate, scheme):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with raw_server(proxied) as proxy:
        look(f"{scheme}://retab.test", proxy=f"http://ann:p%40ss@127.0.0.1:{proxy.port}")

    first, *rest = proxied.seen.requests
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"ann:p@ss") in first
    assert not any(b"Proxy-Authorization" in request for request in rest)


@pytest.mark.parametrize(
    "exceptions", ["localhost", "127.0.0.1", "127.0.0.0/8", "*", "x.test, 127.0.0.1:{port}"]
)
def test_what_no_proxy_names_is_reached_directly(look, proxied, monkeypatch, exceptions):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with raw_server(proxied) as server:
        monkeypatch.setenv("NO_PROXY", exceptions.format(port=server.port))
        host = "localhost" if exceptions == "localhost" else "127.0.0.1"
        assert look(f"http://{host}:{server.port}").id == "run_1"


def dripping(connection):
    connection.request()
    connection.drip(b"HTTP/1.1 200 " + b"O" * 10_000)


def dripping_headers(connection):
    connection.request()
    connection.send(b"HTTP/1.1 200 OK\r\n")
    connection.drip(b"x: y\r\n" * 10_000)


def silent(connection):
    connection.request()
    connection.wait()


def open_and_silent(connection):
    connection.request()
    connection.send(head(200))
    connection.wait()


@pytest.mark.parametrize(
    "script", [dripping, dripping_headers, silent, open_and_silent], ids=lambda each: each.__name__
)
def test_a_tunnel_that_does_not_open_is_given_up_and_nothing_was_sent(look, script):
    with raw_server(script) as proxy:
        began = time.monotonic()
        with pytest.raises(ApiTimeoutError) as late:
            look("https://retab.test", proxy=proxy.url, timeout=TIMEOUT)
        took = time.monotonic() - began

    assert not late.value.sent
    assert took < TIMEOUT + LATE


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_through_a_proxy_has_the_same_limit(look, monkeypatch, tls, certificate, scheme):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))

    def script(connection):
        if connection.request().startswith(b"CONNECT"):
            connection.send(head(200))
            connection.sock = tunnelled(connection.sock, tls)
            connection.request()
        dripping_body(connection)

    def dripping_body(connection):
        connection.send(head(200, content_length=10_000))
        connection.drip(b"{" * 10_000)

    with raw_server(script) as proxy:
        began = time.monotonic()
        with pytest.raises(ApiTimeoutError) as late:
            look(f"{scheme}://retab.test", proxy=proxy.url, timeout=TIMEOUT)
        took = time.monotonic() - began

    assert late.value.sent
    assert took < 2 * TIMEOUT + LATE


def test_what_comes_behind_an_answer_inside_of_two_tls_answers_no_other_request(
    monkeypatch, tls, certificate
):
    """Both records of the inner TLS come in one of the outer, so that the system's socket has nothing more to read."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))

    def script(connection):
        connection.request()
        connection.send(head(200))
        inner = connection.sock = tunnelled(connection.sock, tls)
        while connection.request():
            inner.together(ok(RUN), ok(RUN.replace(b"running", b"completed")))

    with raw_server(script, tls=tls) as proxy:
        options = {"proxy": f"https://localhost:{proxy.port}", "api": "classic", "auth": "bearer"}
        with RetabClient("k", "https://retab.test", **options) as client:
            found = [client.get_run("run_1", outputs=False).status.value for _ in range(3)]

    assert found == ["running"] * 3


def test_an_answer_inside_of_two_tls_has_the_same_limit(look, monkeypatch, tls, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))

    def script(connection):
        connection.request()
        connection.send(head(200))
        connection.sock = tunnelled(connection.sock, tls)
        connection.request()
        connection.send(head(200, content_length=10_000))
        connection.drip(b"{" * 10_000)

    with raw_server(script, tls=tls) as proxy:
        began = time.monotonic()
        with pytest.raises(ApiTimeoutError):
            look("https://retab.test", proxy=f"https://localhost:{proxy.port}", timeout=TIMEOUT)
        took = time.monotonic() - began

    assert took < 2 * TIMEOUT + LATE


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (head(407, proxy_authenticate="Basic"), "HTTP 407"),
        (head(502) + b"secret words", "HTTP 502"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1"),
        (head(200) + b"HTTP/1.1 200 OK\r\n", "more than its answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, "too many headers"),
        (b"", "closed"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_an_error_that_says_why(look, answer, said):
    def script(connection):
        connection.request()
        connection.send(answer)

    with raw_server(script) as proxy, pytest.raises(ApiConnectionError, match=said) as refused:
        look("https://retab.test", proxy=proxy.url)

    assert not refused.value.sent
    assert "secret" not in str(refused.value)


def test_tunnels_that_fail_leave_room_for_others(proxied, monkeypatch, certificate):
    """More of them than connections fit into a pool."""
    fail = threading.Event()

    def script(connection):
        if fail.is_set():
            connection.request()
            connection.send(head(200) + b"x")
        else:
            proxied(connection)

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    options = {"api": "classic", "auth": "bearer", "retry": RetryPolicy(attempts=1)}
    with raw_server(script) as proxy:
        fail.set()
        with RetabClient("k", "https://retab.test", proxy=proxy.url, **options) as client:
            for _ in range(120):
                with pytest.raises(ApiConnectionError):
                    client.get_run("run_1", outputs=False)
            fail.clear()
            assert client.get_run("run_1", outputs=False).id == "run_1"


WRONG = [
    ("ALL_PROXY", "socks5://127.0.0.1:1080", "ALL_PROXY: SOCKS"),
    ("HTTP_PROXY", "socks5h://u:secret@127.0.0.1:1080", "HTTP_PROXY: SOCKS"),
    ("http_proxy", "http://127.0.0.1:99999", "http_proxy"),
    ("HTTP_PROXY", "http://127.0.0.1:port", "HTTP_PROXY"),
    ("HTTP_PROXY", "http://u:secret@:80", "HTTP_PROXY"),
    ("HTTP_PROXY", "http://[::1", "HTTP_PROXY"),
    ("HTTP_PROXY", "http://a b:80", "HTTP_PROXY"),
    ("ALL_PROXY", "ftp://127.0.0.1", "ALL_PROXY"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_a_proxy_that_is_none_is_refused_by_the_name_of_its_variable(look, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said) as refused:
        look("http://retab.test")

    assert "secret" not in str(refused.value)


def test_a_create_with_such_a_proxy_was_not_sent(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    client = RetabClient("k", "http://retab.test", api="classic", auth="bearer")
    with pytest.raises(ConfigurationError, match="ALL_PROXY"):
        client.create_run("wf_1")


@pytest.mark.parametrize("entry", ["[::1", "host:port", "http://", "a:99999"])
def test_a_no_proxy_that_cannot_be_read_is_refused(look, monkeypatch, entry):
    monkeypatch.setenv("NO_PROXY", f"localhost,{entry}")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="NO_PROXY"):
        look("http://retab.test")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificate_authorities_that_are_missing_are_refused_by_the_name_of_their_variable(
    look, monkeypatch, name
):
    monkeypatch.setenv(name, "/nowhere/ca.pem")
    with pytest.raises(ConfigurationError, match=name):
        look("https://retab.test")


def test_every_wait_is_told_of_a_mistake_of_the_environment(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")

    async def main():
        async with AsyncRetabClient("k", "https://retab.test") as client:
            waits = (client.wait_for_run(f"run_{number}", timeout=5) for number in range(5))
            return await asyncio.gather(*waits, return_exceptions=True)

    assert [type(error) for error in asyncio.run(main())] == [ConfigurationError] * 5


# NO_PROXY, an address, and whether it is reached directly.
EXCEPTIONS = [
    ("example.com", ("https", "example.com", 443), True),
    ("example.com", ("https", "api.example.com", 443), True),
    ("example.com", ("https", "notexample.com", 443), False),
    ("EXAMPLE.com", ("https", "Example.COM.", 443), True),
    (".example.com", ("https", "api.example.com", 443), True),
    (".example.com", ("https", "example.com", 443), False),
    ("*.example.com", ("https", "api.example.com", 443), True),
    ("example.com:8080", ("http", "example.com", 8080), True),
    ("example.com:8080", ("http", "example.com", None), False),
    ("example.com:80", ("http", "example.com", None), True),
    ("http://example.com", ("http", "example.com", 80), True),
    ("http://example.com", ("https", "example.com", 443), False),
    ("all://example.com", ("https", "example.com", 443), True),
    ("localhost", ("http", "localhost", 80), True),
    ("localhost", ("http", "not.localhost", 80), False),
    ("127.0.0.1", ("http", "127.0.0.1", 80), True),
    ("127.0.0.1", ("http", "127.0.0.2", 80), False),
    ("10.0.0.0/8", ("http", "10.1.2.3", 80), True),
    ("10.0.0.0/8", ("http", "11.1.2.3", 80), False),
    ("::1", ("http", "::1", 80), True),
    ("[::1]", ("http", "::1", 80), True),
    ("[::1]:8080", ("http", "::1", 8080), True),
    ("[::1]:8080", ("http", "::1", 80), False),
    ("fd00::/8", ("http", "fd12::1", 80), True),
    ("10.0.0.0/8:8080", ("http", "10.1.2.3", 8080), True),
    ("10.0.0.0/8:8080", ("http", "10.1.2.3", 80), False),
    ("[fd00::/8]:8080", ("http", "fd12::1", 8080), True),
    ("a.test, ,b.test,", ("http", "b.test", 80), True),
    ("a.test b.test\nc.test", ("http", "b.test", 80), True),
    ("a.test b.test\nc.test", ("http", "c.test", 80), True),
    ("", ("http", "b.test", 80), False),
]


@pytest.mark.parametrize(("text", "address", "direct"), EXCEPTIONS)
def test_which_addresses_no_proxy_names(text, address, direct):
    proxy = read_proxy("http://proxy.test", "HTTP_PROXY")
    proxies = Proxies(proxy, proxy, read_exceptions(text, "NO_PROXY"))

    assert (proxies.serving(*address) is None) is direct


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("http://proxy.test", ("http", "proxy.test", 80)),
        ("https://proxy.test", ("https", "proxy.test", 443)),
        ("proxy.test:3128", ("http", "proxy.test", 3128)),
        (" HTTP://proxy.test:3128/ ", ("http", "proxy.test", 3128)),
        ("http://[::1]:3128", ("http", "::1", 3128)),
        ("http://bücher.test", ("http", "xn--bcher-kva.test", 80)),
    ],
)
def test_the_address_of_a_proxy(text, read):
    proxy = read_proxy(text, "HTTP_PROXY")

    assert (proxy.scheme, proxy.host, proxy.port) == read


@pytest.mark.parametrize("cut", range(1, 40))
def test_the_answer_to_connect_may_come_in_any_pieces(cut):
    answer, whole = TunnelAnswer(), b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"

    assert not answer.is_whole(whole[:cut])
    assert answer.is_whole(whole[cut:])


def test_the_environment_is_read_by_each_client(monkeypatch, proxied):
    with raw_server(proxied) as server:
        with RetabClient("k", server.url, api="classic", auth="bearer") as client:
            client.get_run("run_1", outputs=False)
            monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:99999")
            client.get_run("run_1", outputs=False)
        assert os.environ["HTTP_PROXY"]
        with pytest.raises(ConfigurationError):
            RetabClient("k", server.url, api="classic", auth="bearer").get_run("run_1")
