"""RetabClient and AsyncRetabClient: the same operations, blocking and awaiting.

`_async` is written by hand; `python -m dev.blocking_client` writes `_sync` from it, so that each signature and each
docstring is written once, and an editor shows them for both clients.
"""

from retab_orchestration.client._async.client import AsyncRetabClient
from retab_orchestration.client._sync.client import RetabClient

__all__ = ["AsyncRetabClient", "RetabClient"]
