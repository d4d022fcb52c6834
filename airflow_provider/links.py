"""The link from a task to its Retab run; never a request."""

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class RetabRunLink(BaseOperatorLink):
    """Leads to the run: the connection's `dashboard_url`, or the run's API address."""

    name = "View run"

    def get_link(self, operator: Any, *, ti_key: "TaskInstanceKey") -> str:
        """Return where to see the run, from the moment it exists; nothing before."""
        # On Airflow 3 the worker asks, which may have seen the run; on 2.11 the webserver, which has only the XCom.
        seen: str = getattr(operator, "run_url", "")
        return seen or XCom.get_value(ti_key=ti_key, key="run_url") or ""
