"""Failures that no retry follows."""

from contextlib import contextmanager

import pytest


@contextmanager
def refused(error, match):
    """Expect a task to fail for good because of `error`."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match=match) as failure:
        yield failure
    assert isinstance(failure.value.__cause__, error)
