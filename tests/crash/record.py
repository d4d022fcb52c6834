"""What one injected crash, or one kill by a user, came to; kept for the page on reliability."""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

FOLDER = "CRASH_RESULTS"
"""The environment variable that names the folder for the results; without it none are written."""

REPETITIONS = "CRASH_REPETITIONS"
"""The environment variable that says how often the matrix is repeated."""


def repetitions():
    return int(os.environ.get(REPETITIONS, "1"))


@dataclass
class Result:
    """One task, or flow run, that went through one case."""

    case: str
    server: str = ""
    """The kind of server that it was on."""
    killed: list[str] = field(default_factory=list)
    """What was sent SIGKILL; a kill that strikes several tasks is told by one of them."""
    asked: list[str] = field(default_factory=list)
    """What a user did."""
    runs_created: int | None = None
    outcome: str = "?"
    returned: bool = False
    """Whether the task returned the outputs of its own run."""
    remote: list[str] = field(default_factory=list)
    """The final states of its runs, oldest first."""
    cancels: int = 0
    """How often a run was asked to be cancelled."""
    tries: int = 0
    seconds: float = 0.0
    error: str | None = None
    """What went wrong with the case itself."""

    @property
    def seen(self):
        """What a case is compared by."""
        return self.runs_created, self.outcome, self.returned, tuple(self.remote)


def save(host, versions, results):
    """Write the results of one host's matrix for the page, where a folder is named."""
    if not (folder := os.environ.get(FOLDER)):
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    told = {"host": host, "versions": versions, "tasks": [asdict(result) for result in results]}
    (Path(folder) / f"{host}.json").write_text(json.dumps(told, indent=1))


def summary(results):
    """Return one line: how many crashes and kills there were."""
    crashes = sum(len(result.killed) for result in results)
    asked = sum(len(result.asked) for result in results)
    states = Counter(result.outcome for result in results)
    ends = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"{crashes} crashes and {asked} kills by a user over {len(results)} tasks: {ends}"
