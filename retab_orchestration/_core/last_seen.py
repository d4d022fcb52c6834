"""The state that a wait saw last, next to one that it is told of."""

from collections.abc import Sequence

from retab_orchestration.models import RunStatus

__all__ = ["LastSeen"]

# How far a run is that has not ended.
_PROGRESS = {RunStatus.QUEUED: 1, RunStatus.RUNNING: 2, RunStatus.WAITING_FOR_HUMAN: 3}


# Nodes at which a human is asked that are kept: each wait has its own, for as long as it lasts.
_MOST_NODES = 100


class LastSeen:
    """What the last look at a run showed."""

    __slots__ = ("_nodes", "_status_name")

    def __init__(self) -> None:
        self._status_name: str | None = None
        self._nodes: tuple[str, ...] = ()  # where a human is asked

    def is_unchanged(self, status_name: str) -> bool:
        """Tell whether it showed this state as well."""
        return status_name == self._status_name

    def is_moved(self, nodes: Sequence[str]) -> bool:
        """Tell whether it showed that a human is asked, and elsewhere than at these nodes."""
        return bool(self._nodes and nodes) and tuple(nodes[:_MOST_NODES]) != self._nodes

    def keep_nodes(self, nodes: Sequence[str]) -> None:
        """Keep where a human is asked."""
        self._nodes = tuple(nodes[:_MOST_NODES])

    def goes_back(self, status: RunStatus) -> bool:
        """Tell whether it showed a later state than this, which a list that lags may show as well."""
        seen = RunStatus.read(self._status_name)
        return _PROGRESS.get(status, 0) < _PROGRESS.get(seen, 0)
