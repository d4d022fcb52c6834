"""Where a large document goes, and where it does not, whatever address the server gives."""

from dataclasses import replace

import pytest

from retab_orchestration import (
    ConfigurationError,
    RetabClient,
    UnreadableAnswerError,
    UploadNotAllowedError,
    UploadRefusedError,
)
from retab_orchestration.documents import LARGE
from tests.retab_orchestration.conftest import ok

OPEN = "POST /v1/files/upload"
SECRET = "signature=0123456789"
HTTPS, HTTP = "https://retab.test", "http://retab.test:8000"
LENGTH = LARGE + 1


def opened(url="https://storage.test/a", method="PUT", headers=None):
    return {
        "fileId": "file_1",
        "uploadUrl": f"{url}?{SECRET}" if isinstance(url, str) else url,
        "uploadMethod": method,
        "uploadHeaders": headers,
        "mimeData": {"filename": "a.pdf", "url": "https://storage.retab.com/org/file_1.pdf"},
    }


@pytest.fixture
def create(script):
    """Create a run of a large document whose upload the server opens as it is told."""

    def build(answer, base_url=HTTPS, upload_hosts=None, times=1):
        run = ok({"id": "run_1", "lifecycle": {"status": "running"}, "metadata": {}})
        client, runtime = script(*[ok(answer)] * times, ok({}), ok({}), run, api="current")
        client._session.settings = replace(
            client._session.settings, base_url=base_url, upload_hosts=upload_hosts
        )
        try:
            client.create_run("wf_1", documents={"start-node-1": ("a.pdf", b"x" * LENGTH)})
        finally:
            build.requests = runtime.requests
        return next(request for request in runtime.sent if request.signed_url)

    return build


# The rule, what the server gives, base_url, and what the error says to set.
REFUSED = [
    ("method", {"method": "DELETE"}, HTTPS, "other than PUT and POST.*check that base_url"),
    ("method", {"method": "CONNECT"}, HTTPS, "other than PUT and POST"),
    ("method", {"method": "PUT / HTTP/1.1\r\nX: y"}, HTTPS, "other than PUT and POST"),
    ("scheme", {"url": "http://storage.test/a"}, HTTPS, "without TLS.*set base_url"),
    ("scheme", {"url": "HTTP://retab.test/a"}, HTTPS, "without TLS.*set base_url"),
    ("scheme", {"url": "http://storage.test/a"}, HTTP, "to another host than that of base_url.*TLS"),
    ("scheme", {"url": "http://retab.test.evil.test/a"}, HTTP, "to another host than that of base_url"),
    ("scheme", {"url": "http://127.0.0.1/a"}, HTTP, "to another host than that of base_url"),
    *(
        ("address", {"url": f"https://{host}/a"}, HTTPS, "network or cloud.*set base_url")
        for host in (
            "169.254.169.254",
            "169.254.169.254:8443",
            "169.254.0.1",
            "169.254.169.254.",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.43518",
            "[::ffff:169.254.169.254]",
            "[::a9fe:a9fe]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[::ffff:0:a9fe:a9fe]",
            "[2001::808:808:0:0:5601:5601]",
            "[2a00::5efe:a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",  # noqa: S104
            "metadata.google.internal",
            "METADATA.google.internal.",
            "metadata.goog",
            "instance-data",
        )
    ),
    ("address", {"url": "http://169.254.169.254/a"}, "http://169.254.169.254", "network or cloud"),
    *(
        ("header", {"headers": {name: value}}, HTTPS, f"{name.lower()} header.*check that base_url")
        for name, value in {
            "Transfer-Encoding": "chunked",
            "transfer-encoding": "identity",
            "Content-Length": "5",
            "Host": "elsewhere.test",
            "Connection": "close",
            "Upgrade": "h2c",
            "Expect": "100-continue",
            "TE": "trailers",
            "Trailer": "x",
            "Keep-Alive": "1",
            "Proxy-Authorization": "Basic eA==",
        }.items()
    ),
    ("header", {"headers": {"x": "a\r\nTransfer-Encoding: chunked"}}, HTTPS, "header that is none"),
    ("header", {"headers": {"x\r\ny": "a"}}, HTTPS, "header that is none"),
    ("header", {"headers": {"": "a"}}, HTTPS, "header that is none"),
    ("header", {"headers": {"x": "é"}}, HTTPS, "header that is none"),
    ("header", {"headers": {"x": "a" * 20_000}}, HTTPS, "headers of more than 16384"),
]


@pytest.mark.parametrize(("rule", "given", "base_url", "says"), REFUSED)
def test_a_document_goes_nowhere_against_the_rules(create, rule, given, base_url, says):
    with pytest.raises(UploadNotAllowedError, match=f"(?s){says}.*rule: {rule}") as refused:
        create(opened(**given), base_url)

    assert isinstance(refused.value, UploadRefusedError)
    assert not refused.value.retryable
    assert create.requests == [OPEN]
    assert SECRET not in f"{refused.value} {refused.value!r} {refused.value.__dict__}"
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "given",
    [
        {"url": 7},
        {"url": "ftp://storage.test/a"},
        {"url": "https:///a"},
        {"url": "https://storage.test:port/a"},
        {"url": "https://user:word@storage.test/a"},
        {"url": "https://storage.test\\@169.254.169.254/a"},
        {"url": "https://169.254.169%2E254/a"},
        {"url": "https://169\u3002254\u3002169\u3002254/a"},
        {"url": "https://stor\nage.test/a"},
        {"url": "https://storage.test/" + "a" * 20_000},
        {"method": ["PUT"]},
        {"headers": {"x": ["a"]}},
        {"headers": ["x"]},
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_not_one(create, given):
    with pytest.raises(UnreadableAnswerError):
        create(opened(**given), times=4)

    assert create.requests == [OPEN] * 4


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("https://storage.test/a", HTTPS),
        ("HTTPS://storage.test:8443/a", HTTPS),
        ("https://10.0.0.7/a", HTTPS),
        ("https://[fd12::7]/a", HTTPS),
        ("https://storage.test/a", HTTP),
        ("http://retab.test:9000/a", HTTP),
        ("http://RETAB.test./a", HTTP),
        ("http://127.0.0.1:9/a", "http://127.0.0.1:8000"),
        ("http://[0:0::1]:9/a", "http://[::1]:8000"),
    ],
)
def test_a_document_goes_where_it_is_no_less_safe_than_base_url(create, url, base_url):
    assert create(opened(url), base_url).signed_url == f"{url}?{SECRET}"


@pytest.mark.parametrize("method", ["PUT", "POST", "put", None])
def test_a_document_is_put_or_posted(create, method):
    assert create(opened(method=method)).method == (method or "PUT").upper()


def test_headers_that_say_what_is_so_anyway_are_left_to_the_connection(create):
    given = {"Content-Length": str(LENGTH), "HOST": "storage.test:8443", "x-goog-meta-a": "b"}

    sent = create(opened("https://storage.test:8443/a", headers=given))

    assert sent.headers == {"x-goog-meta-a": "b"}
    assert create(opened(headers={"host": "storage.test:443", "content-length": LENGTH})).headers == {}


ONLY = ("storage.test", "*.buckets.test", "minio.test:9000", "[fd12::7]", "10.0.0.7")


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("https://storage.test/a", True),
        ("https://STORAGE.test.:8443/a", True),
        ("https://a.b.buckets.test/a", True),
        ("https://minio.test:9000/a", True),
        ("https://[fd12:0::7]/a", True),
        ("https://0x0a000007/a", True),
        ("https://buckets.test/a", False),
        ("https://evilbuckets.test/a", False),
        ("https://minio.test/a", False),
        ("https://storage.test.evil.test/a", False),
        ("https://retab.test/a", False),
    ],
)
def test_upload_hosts_narrow_where_documents_go(create, url, goes):
    if goes:
        assert create(opened(url), upload_hosts=ONLY).signed_url
        return
    with pytest.raises(UploadNotAllowedError, match=r"not among upload_hosts: add it.*rule: host"):
        create(opened(url), upload_hosts=ONLY)

    assert create.requests == [OPEN]


def test_upload_hosts_widen_nothing(create):
    with pytest.raises(UploadNotAllowedError, match="rule: address"):
        create(opened("https://169.254.169.254/a"), upload_hosts=("169.254.169.254",))


@pytest.mark.parametrize(
    "hosts", [[], "storage.test", ["https://storage.test"], ["a/b"], ["a b"], [""], ["*"], [7], {"a": 1}, 7]
)
def test_upload_hosts_are_hosts(hosts):
    with pytest.raises(
        ConfigurationError, match=r"upload_hosts must list hosts such as storage\.googleapis\.com"
    ):
        RetabClient("k", HTTPS, upload_hosts=hosts)


def test_upload_hosts_are_part_of_the_account():
    with RetabClient("k", HTTPS, upload_hosts=["B.test", "a.test"]) as client:
        assert client._session.settings.upload_hosts == ("a.test", "b.test")
