"""Environment variables that lead nowhere, or are of no kind: named, before anything is sent, and no secret told."""

import atexit
import os
import shutil
import tempfile

import pytest

from retab_orchestration import errors
from tests.hostile.core.clients import COLOURS, GET_RUN, OR_GOOD, calling, told
from tests.hostile.harness import Case

# Nobody writes to it.
PIPE = os.path.join(tempfile.mkdtemp(prefix="hostile-"), "pipe.pem")  # noqa: PTH118
os.mkfifo(PIPE)
atexit.register(shutil.rmtree, os.path.dirname(PIPE), ignore_errors=True)  # noqa: PTH120
PASSWORD = "proxy-password-4d1c-do-not-show-me"
WRONG = (errors.ConfigurationError,)
GOOD = ()
EITHER = (*WRONG, errors.ApiConnectionError, OR_GOOD)
NOWHERE = (errors.ApiConnectionError,)
# Those that are not there at all, whatever else the process has.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

NO_PROXIES = [
    *(
        "socks5://127.0.0.1:1",
        "socks5h://u:p@127.0.0.1:1",
        "socks4://x",
        "http://",
        "http://:3128",
        "http://127.0.0.1:99999",
    ),
    *(
        "http://127.0.0.1:port",
        "http://127.0.0.1:-1",
        "http://127.0.0.1:0",
        "http://[::1",
        "http://[x]:1",
        "ftp://127.0.0.1:1",
    ),
    *(
        f"http://user:{PASSWORD}@127.0.0.1:port",
        f"user:{PASSWORD}@",
        "http://a b:1",
        "http://127.0.0.1:1\\x",
        "gopher://x",
    ),
]
# Variables, and the errors that are right; {port} is where nobody answers, {proxy} a site that is no proxy.
VARIABLES = [
    *(({"HTTP_PROXY": value}, WRONG) for value in NO_PROXIES),
    *(({"http_proxy": value}, WRONG) for value in NO_PROXIES[::4]),
    *(({"ALL_PROXY": value}, WRONG) for value in NO_PROXIES[::4]),
    ({"HTTP_PROXY": f"http://user:{PASSWORD}@127.0.0.1:1"}, NOWHERE),
    ({"HTTP_PROXY": "127.0.0.1:1"}, NOWHERE),
    ({"HTTP_PROXY": "", "ALL_PROXY": "", "NO_PROXY": ""}, GOOD),
    ({"HTTPS_PROXY": "http://127.0.0.1:1"}, GOOD),
    ({"HTTPS_PROXY": "socks5://127.0.0.1:1"}, EITHER),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "*"}, GOOD),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}, GOOD),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.0/8"}, GOOD),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "[::1],127.0.0.1"}, GOOD),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "::1, 127.0.0.1 ,,"}, GOOD),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost 127.0.0.1"}, GOOD),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost\n127.0.0.1\n"}, GOOD),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1:1"}, NOWHERE),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.0/8:1"}, NOWHERE),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "[::1]"}, NOWHERE),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "http://127.0.0.1"}, EITHER),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "[::1"}, EITHER),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1:port"}, EITHER),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "10.0.0.0/99"}, EITHER),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "x" * 70_000}, EITHER),
    ({"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "\udc80"}, EITHER),
    ({"NO_PROXY": "[::1]"}, EITHER),
    ({"SSL_CERT_FILE": "/nowhere.pem"}, GOOD),
    ({"SSL_CERT_DIR": "/nowhere"}, GOOD),
    ({"SSLKEYLOGFILE": "/nowhere/keys"}, GOOD),
    ({"RETAB_API_KEY": "another key", "RETAB_API_BASE_URL": "nowhere"}, GOOD),
    ({"NETRC": "/nowhere"}, GOOD),
    ({"REQUESTS_CA_BUNDLE": "/nowhere", "CURL_CA_BUNDLE": "/nowhere"}, GOOD),
    ({"TMPDIR": "/nowhere"}, GOOD),
]
# As above, for an address with https, where certificates are needed.
SECURE = [
    *(
        ({"SSL_CERT_FILE": value}, WRONG)
        for value in ("/nowhere.pem", "/etc/passwd", "/dev/null", "/dev/zero", "x" * 9000, "\udc80")
    ),
    ({"SSL_CERT_FILE": PIPE}, WRONG),
    ({"SSL_CERT_DIR": PIPE}, WRONG),
    *(({"SSL_CERT_DIR": value}, WRONG) for value in ("/nowhere", "/nowhere:/nowhere", "x" * 9000)),
    *(({"HTTPS_PROXY": value}, WRONG) for value in NO_PROXIES[::3]),
    ({"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:1"}, NOWHERE),
]
# A client that takes everything from the environment.
ALONE = [
    *(
        ({"RETAB_API_KEY": value}, WRONG)
        for value in ("", " ", "a b", "a\nb", "\udc80", "\xe9", '"quoted"', "'quoted'")
    ),
    *(
        ({"RETAB_API_BASE_URL": value}, WRONG)
        for value in ("x", "ftp://x", "http://", "http://u:p@x", "http://x?y", "\udc80")
    ),
]


def within(variables, act):
    """Return what acts with these variables, and none of the others."""

    def acting(world):
        with pytest.MonkeyPatch.context() as patch:
            for name in (*PROXIES, *CERTIFICATES):
                patch.delenv(name, raising=False)
                patch.delenv(name.lower(), raising=False)
            for name, value in variables.items():
                patch.setenv(name, value)
            return act(world)

    return acting


def rows():
    yield from ((variables, expected, {}) for variables, expected in VARIABLES)
    secure = {"base_url": lambda world: world.url.replace("http:", "https:"), "timeout": 1.0}
    yield from ((variables, expected, secure) for variables, expected in SECURE)
    for variables, expected in ALONE:
        yield (
            variables,
            expected,
            {"api_key": None, "base_url": None} if "RETAB_API_KEY" in variables else {"base_url": None},
        )


def cases():
    for number, (variables, expected, settings) in enumerate(rows()):
        colour = COLOURS[number % 2]
        given = {
            name: lambda _, value=value: value(_) if callable(value) else value
            for name, value in settings.items()
        }
        act = within(variables, calling(GET_RUN.call, colour, **given))
        yield Case(
            f"{number} {told(variables)}, {colour}",
            act,
            expected=tuple(kind for kind in expected if kind != OR_GOOD),
            right=GET_RUN.right if not expected or OR_GOOD in expected else None,
            # The environment is that of all threads.
            alone=True,
            secrets=(PASSWORD,),
        )


def test_the_process_has_an_environment_of_its_own_again():
    before = dict(os.environ)
    within({"HTTP_PROXY": "x"}, lambda _: None)(None)
    assert dict(os.environ) == before


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_environment(case, check):
    check(case)
