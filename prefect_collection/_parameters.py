"""What Prefect would store of a call, checked before it is stored."""

from collections.abc import Mapping
from typing import Any

from prefect_collection._documents import refuse_contents
from prefect_collection.credentials import check_credentials

__all__ = ["check_parameters"]


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that hold a document or a key.

    Raises:
        InvalidInputError: One contains bytes or an open file, or `credentials` is a dict.
        ConfigurationError: `credentials` is a string, and no name of a block.
    """
    for name, value in parameters.items():
        refuse_contents(name, value)
    account = parameters.get("credentials")
    if isinstance(account, str) or (isinstance(account, Mapping) and "$ref" not in account):
        check_credentials(account)
