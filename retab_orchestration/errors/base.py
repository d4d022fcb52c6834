"""The base of all errors, and the errors about settings, arguments and documents."""

from typing import ClassVar

from retab_orchestration._texts import printable

__all__ = [
    "ConfigurationError",
    "DocumentReadError",
    "DocumentWriteError",
    "InvalidInputError",
    "RetabError",
    "WebhookRejectedError",
]


class RetabError(Exception):
    """The base of every error of this library.

    Attributes:
        run_id: The run of the error, None when there is none or it is not known.
    """

    _is_final: ClassVar[bool] = False  # the same call would fail again

    def __init__(self, message: str, *, run_id: str | None = None) -> None:
        super().__init__(printable(message, 4000))
        self.run_id = run_id

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return not self._is_final


class ConfigurationError(RetabError, ValueError):
    """The key, the address, `api` or `auth` is missing or wrong: fix the settings."""

    _is_final = True


class InvalidInputError(RetabError, ValueError):
    """An argument was refused, and nothing was created or changed: fix the call."""

    _is_final = True


class DocumentReadError(RetabError):
    """A document could not be read to its end (disk, network, object store); nothing was created: try again."""


class DocumentWriteError(RetabError):
    """A document could not be written to its end (disk, network, object store); nothing is left there: try again."""


class WebhookRejectedError(RetabError):
    """A webhook is not Retab's, or not what an end node sends: answer 401 or 400 and do nothing else."""

    _is_final = True
