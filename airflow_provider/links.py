"""The link from a task to its Retab run; never a request."""

import re
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

# An address of the API, which is what the XCom `run_url` is where the connection names no dashboard.
_IN_API = re.compile(r"https?://.*/v1/workflows/runs/[^/?#]+")


class RetabRunLink(BaseOperatorLink):
    """Leads to the run in the connection's `dashboard_url`; there is no link where it names none."""

    name = "View run"

    def get_link(self, operator: Any, *, ti_key: "TaskInstanceKey") -> str:
        """Return a page with the run, from the moment it exists; nothing before, nor what only programs read."""
        # On Airflow 3 the worker asks, which may have seen the run; on 2.11 the webserver, which has only the XCom.
        seen: str = getattr(operator, "run_url", "") or XCom.get_value(ti_key=ti_key, key="run_url") or ""
        return "" if _IN_API.fullmatch(seen) else seen  # a browser has no key for the API: 401
