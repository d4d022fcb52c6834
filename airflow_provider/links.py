"""The link from a task to its Retab run; never a request."""

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class RetabRunLink(BaseOperatorLink):
    """Leads to the run: the connection's `dashboard_url`, or the run's API address."""

    name = "Retab run"

    def get_link(self, operator: Any, *, ti_key: "TaskInstanceKey") -> str:  # noqa: ARG002
        """Return the XCom `run_url`, which is there from the moment the run exists, or nothing."""
        return XCom.get_value(ti_key=ti_key, key="run_url") or ""
