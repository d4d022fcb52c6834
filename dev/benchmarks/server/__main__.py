"""`python -m dev.benchmarks.server FILE`: serve until told to end; stdout is the plain address and the one over TLS.

The certificate authority to trust for the latter is written to the file.
"""

import asyncio
import ssl
import sys

import trustme

from dev.benchmarks.child import keep_to_core
from dev.benchmarks.server.protocol import listen
from dev.benchmarks.server.site import Site


async def main(authority: str) -> None:
    """Serve one site on two free ports of loopback."""
    site = Site()
    plain = await listen(lambda: site)
    secure = await listen(lambda: site, tls=_tls(authority))
    site.url = f"http://127.0.0.1:{_port(plain)}"
    sys.stdout.write(f"{site.url} https://127.0.0.1:{_port(secure)}\n")
    sys.stdout.flush()
    await asyncio.gather(plain.serve_forever(), secure.serve_forever())


def _tls(authority: str) -> ssl.SSLContext:
    ours = trustme.CA()
    ours.cert_pem.write_to_path(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    return context


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


keep_to_core(1)
asyncio.run(main(sys.argv[1]))
