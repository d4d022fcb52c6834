"""AsyncRetabClient: the account and the connections."""

from collections.abc import Sequence
from typing import Self

from retab_orchestration._transport import AsyncioRuntime
from retab_orchestration._transport.session import Session
from retab_orchestration.client._async.files import AsyncFileOperations
from retab_orchestration.client._async.runs import AsyncRunOperations
from retab_orchestration.client._async.test_runs import AsyncTestRunOperations
from retab_orchestration.policies import RetryPolicy
from retab_orchestration.settings import Api, Auth, Settings

__all__ = ["AsyncRetabClient"]


class AsyncRetabClient(AsyncRunOperations, AsyncTestRunOperations, AsyncFileOperations):
    """Retab, awaiting. Use it in an `async with` block, or await `aclose`.

    Clients of one event loop with the same settings share their connections; the last one closes them. Several event
    loops, each in a thread of its own, may use one client at once, and each closes it for itself.

    Args:
        api_key: The key; None takes RETAB_API_KEY.
        base_url: Where the API is, with or without `/v1`; None takes RETAB_API_BASE_URL, else https://api.retab.com.
        api: The routes: `classic`, `current`, or `auto` to ask the server once.
        auth: The header for the key: `api-key`, `bearer`, or `auto` to try.
        timeout: Seconds that one request may take to connect, to send each 16 KiB, and between two parts of its answer;
            the whole answer may take twice as long.
        retry: How often a request that may be repeated is repeated.
        verify: False for no check of TLS certificates, or a file of certificate authorities.
        proxy: An HTTP proxy; None follows HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.
        requests_per_second: How many requests this process may send in a second, with every client that has the same
            settings; None for any number.
        upload_hosts: The only hosts that large documents go to: `storage.googleapis.com`, `*.example.com`, `host:port`,
            or None for any that is as safe as `base_url` (docs/security.md has the rules).
        max_response_bytes: Bytes that an answer may have, unpacked: a run, or its steps. A page of a list may have a
            quarter of it, an error a sixteenth.

    Raises:
        ConfigurationError: Something is missing or wrong; the message says what to set.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        api: Api = "auto",
        auth: Auth = "auto",
        timeout: float = 60.0,
        retry: RetryPolicy = RetryPolicy(),
        verify: bool | str = True,
        proxy: str | None = None,
        requests_per_second: float | None = None,
        upload_hosts: Sequence[str] | None = None,
        max_response_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        settings = Settings.read(
            api_key,
            base_url,
            api=api,
            auth=auth,
            timeout=timeout,
            verify=verify,
            proxy=proxy,
            requests_per_second=requests_per_second,
            upload_hosts=upload_hosts,
            max_response_bytes=max_response_bytes,
        )
        self._runtime = AsyncioRuntime(settings)
        self._session = Session(self._runtime, settings, retry)

    @property
    def base_url(self) -> str:
        """Where the API is, without `/v1`."""
        return self._session.settings.base_url

    async def aclose(self) -> None:
        """Close the connections, unless another client uses them; the client opens new ones if it is used again."""
        await self._runtime.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
