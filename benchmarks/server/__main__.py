"""`python -m benchmarks.server`: serve until told to end; the first line on stdout is the address."""

import asyncio
import sys

from benchmarks.child import keep_to_core
from benchmarks.server.protocol import listen
from benchmarks.server.site import Site


async def main() -> None:
    """Serve one site on a free port of loopback."""
    site = Site()
    server = await listen(lambda: site)
    site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    sys.stdout.write(f"{site.url}\n")
    sys.stdout.flush()
    await server.serve_forever()


keep_to_core(1)
asyncio.run(main())
