"""The block of an account at Retab, and the clients for it."""

import os
import re
from typing import Any, ClassVar, Literal, Self

from prefect.blocks.abstract import CredentialsBlock
from prefect.settings import get_current_settings
from prefect.utilities.asyncutils import run_coro_as_sync
from pydantic import ConfigDict, Field, HttpUrl, PositiveFloat, PositiveInt, SecretStr, model_validator

from prefect_collection._prefect_server import aopen_client_of_prefect
from retab_orchestration import (
    AsyncRetabClient,
    ConfigurationError,
    InvalidInputError,
    RetabClient,
)
from retab_orchestration.identity import digest_of

__all__ = [
    "DOCUMENTATION",
    "LOGO",
    "Credentials",
    "RetabCredentials",
    "account_of",
    "aload_credentials",
    "aopen_client",
    "check_credentials",
    "load_credentials",
    "namespace_of",
    "open_client",
]

LOGO = HttpUrl("https://raw.githubusercontent.com/retab-dev/retab/refs/heads/main/assets/retab-logo.png")
DOCUMENTATION = HttpUrl("https://docs.retab.com/get-started/introduction")


class RetabCredentials(CredentialsBlock):
    """An account at Retab.

    Example:
        Save an account once, then use it by its name or load it:
        ```python
        from prefect_collection import RetabCredentials

        credentials = RetabCredentials.load("BLOCK_NAME")
        with credentials.get_client() as client:
            page = client.list_runs(workflow_id="wf_invoice", limit=10)
        ```
    """

    # An error about one field would otherwise show the other fields, the key among them.
    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name: ClassVar[str | None] = "Retab Credentials"
    _logo_url: ClassVar[HttpUrl | None] = LOGO
    _documentation_url: ClassVar[HttpUrl | None] = DOCUMENTATION

    api_key: SecretStr = Field(title="API key", description="The API key of the account.")
    base_url: str | None = Field(
        default=None,
        title="Base URL",
        description="Retab's address, with https:// or http:// before it; empty takes RETAB_API_BASE_URL, or "
        "https://api.retab.com.",
    )
    api: Literal["auto", "classic", "current"] = Field(
        default="auto", title="API", description="The routes that the server has; auto finds out."
    )
    auth: Literal["auto", "api-key", "bearer"] = Field(
        default="auto", description="The header that carries the key; auto finds out."
    )
    timeout_seconds: PositiveFloat = Field(
        default=60.0, description="Seconds that one request may take to connect, or to be answered."
    )
    requests_per_second: PositiveFloat | None = Field(
        default=None,
        description="How many requests one process may send in a second; empty is any number.",
    )
    verify: bool | str = Field(
        default=True, description="Whether to check TLS certificates, or a file of certificate authorities."
    )
    proxy: SecretStr | None = Field(
        default=None, description="The address of an HTTP proxy; empty follows HTTP_PROXY and HTTPS_PROXY."
    )
    upload_hosts: list[str] | None = Field(
        default=None,
        description="The only hosts to which large documents go: storage.googleapis.com, *.example.com; empty is any.",
    )
    max_response_bytes: PositiveInt | None = Field(
        default=None,
        description="Bytes that an answer may have, unpacked: a run, or its steps; empty is 16 MiB.",
    )
    namespace: str | None = Field(
        default=None,
        description="What tells this Prefect from another with the same key; empty takes its API's address.",
    )

    @model_validator(mode="after")
    def _must_make_a_client(self) -> Self:
        self.get_client().close()
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what is pickled: the name, by which the block is loaded again. The key is not.

        Raises:
            InvalidInputError: The block was never saved, so it has no name.
        """
        name = name_of(self)
        if name is None:
            raise InvalidInputError(
                "a Retab Credentials block that was never saved would be stored with its API key: save it, and hand on "
                "its name, or the saved block"
            )
        return load_credentials, (name,)

    def get_client(self) -> RetabClient:
        """Return a blocking client of this account; close it, or use it in a `with`."""
        return RetabClient(**self._settings())

    def get_async_client(self) -> AsyncRetabClient:
        """Return an async client of this account; close it, or use it in an `async with`."""
        return AsyncRetabClient(**self._settings())

    def _settings(self) -> dict[str, Any]:
        return {
            "api_key": self.api_key.get_secret_value(),
            "base_url": self.base_url or None,
            "api": self.api,
            "auth": self.auth,
            "timeout": self.timeout_seconds,
            "requests_per_second": self.requests_per_second,
            "verify": self.verify,
            "upload_hosts": self.upload_hosts or None,
            "proxy": self.proxy.get_secret_value() if self.proxy else None,
            **({"max_response_bytes": self.max_response_bytes} if self.max_response_bytes else {}),
        }


# The names that Prefect allows for blocks.
_NAME = re.compile(r"[a-z0-9-]{1,255}")

Credentials = RetabCredentials | str | None
"""A block, the name of a saved one, or None for RETAB_API_KEY and RETAB_API_BASE_URL of the environment."""


def check_credentials(credentials: Any) -> None:
    """Refuse what is no name of a block.

    Raises:
        InvalidInputError: It is no string.
        ConfigurationError: It has characters that no name of a block has.
    """
    if not isinstance(credentials, str) or not credentials:
        raise InvalidInputError(
            "credentials must be a RetabCredentials block, the name of a saved one, or None"
        )
    if not _NAME.fullmatch(credentials):
        raise ConfigurationError(
            "credentials is no name of a block (lower-case letters, digits and dashes): give the name that the "
            "Retab Credentials block is saved under, and never a key"
        )


async def aload_credentials(credentials: Credentials) -> RetabCredentials | None:
    """Return a block, loading it if its name was given; None for the environment's account.

    Raises:
        InvalidInputError: It is none of these.
        ConfigurationError: There is no such block.
    """
    if credentials is None or isinstance(credentials, RetabCredentials):
        return credentials
    check_credentials(credentials)
    try:
        async with aopen_client_of_prefect() as client:
            return await RetabCredentials.aload(credentials, client=client)
    except ValueError as error:
        raise ConfigurationError(
            f"the Retab Credentials block {credentials!r} cannot be loaded ({error}); "
            f"save one with RetabCredentials(api_key=...).save({credentials!r})"
        ) from error


def load_credentials(credentials: Credentials) -> RetabCredentials | None:
    """Do what `aload_credentials` does, blocking."""
    if credentials is None or isinstance(credentials, RetabCredentials):
        return credentials
    return run_coro_as_sync(aload_credentials(credentials))


async def aload_again(credentials: Credentials) -> RetabCredentials | None:
    """Return the present account: a saved block is loaded again, because it may have been changed."""
    if isinstance(credentials, RetabCredentials):
        name = name_of(credentials)
        return await aload_credentials(name) if name else credentials
    return await aload_credentials(credentials)


def load_again(credentials: Credentials) -> RetabCredentials | None:
    """Do what `aload_again` does, blocking."""
    return run_coro_as_sync(aload_again(credentials))


def name_of(block: RetabCredentials | None) -> str | None:
    """Return the name that a block is saved under; None for the environment, or a block that is not saved."""
    return block._block_document_name if block else None  # noqa: SLF001  Prefect has no other name for it


def key_of(block: RetabCredentials | None) -> str:
    """Return the API key of a block, or of the environment."""
    return block.api_key.get_secret_value() if block else os.environ.get("RETAB_API_KEY", "")


def account_of(block: RetabCredentials | None) -> str:
    """Return what tells an account at a server from others: a hash of the address and the key."""
    address = block.base_url if block and block.base_url else os.environ.get("RETAB_API_BASE_URL", "")
    return digest_of(address, key_of(block), block.api if block else "auto")


def namespace_of(block: RetabCredentials | None) -> str:
    """Return the namespace: it tells the runs of this Prefect from those of another with the same key."""
    return (block.namespace if block else None) or get_current_settings().api.url or "local"


def open_client(credentials: Credentials) -> RetabClient:
    """Return a blocking client for a block, a saved block's name, or the environment.

    Raises:
        ConfigurationError: There is no such block, or no key in the environment.
    """
    block = load_credentials(credentials)
    if block is not None:
        return block.get_client()
    _check_environment()
    return RetabClient()


async def aopen_client(credentials: Credentials) -> AsyncRetabClient:
    """Return an async client for a block, a saved block's name, or the environment.

    Raises:
        ConfigurationError: There is no such block, or no key in the environment.
    """
    block = await aload_credentials(credentials)
    if block is not None:
        return block.get_async_client()
    _check_environment()
    return AsyncRetabClient()


def _check_environment() -> None:
    if not key_of(None).strip():
        raise ConfigurationError(
            "no API key: pass api_key or set RETAB_API_KEY. A task or flow finds it in the environment of the process "
            "that runs it, or in a saved Retab Credentials block, whose name it takes as credentials"
        )
