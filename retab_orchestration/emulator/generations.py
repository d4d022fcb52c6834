"""The generations of Retab's API, and their mixtures: one table of what each of them has."""

from dataclasses import dataclass, replace

__all__ = ["BY_NAME", "CLASSIC", "CURRENT", "GENERATIONS", "Generation", "span"]

_STATUSES = frozenset({"pending", "queued", "running", "completed", "error", "cancelled"})


@dataclass(frozen=True)
class Generation:
    """What the servers of one generation have, or those of a mixture of several."""

    name: str
    """As `--api` takes it."""
    auth: str = "api-key"
    """The header that carries the key: `api-key`, `bearer` or `both`."""
    is_flat: bool = True
    """Whether a run holds its status, its steps and its outputs, without `lifecycle` and `timing`."""
    words: tuple[str, ...] = ("node",)
    """What a node is called in the names of keys: `node_id`, `block_id`, or both."""
    lifecycle_key: str = "status"
    """The key of the status in a `lifecycle`."""
    has_step_lifecycles: bool = True
    """Whether a step has a `lifecycle` like a run; otherwise its `status`, and `terminal` if it ended badly."""
    waiting: str = "waiting_for_human"
    """The status of a run, or a step, that waits for a human."""
    workflow_keys: str = "flat"
    """How a run names its workflow: `flat`, an object with a `version`, one with a `snapshot` as well, or `ids`."""
    has_queued: bool = True
    """Whether a run that is dispatched, and has not started, is `queued`; otherwise it is `pending` until it starts."""
    has_phases: bool = True
    """Whether a run says how far its execution is, as `execution_phase`."""
    has_costs: bool = True
    """Whether runs, and their steps, say their cost and their trace; steps say their model in any case."""
    has_datasets: bool = True
    """Whether a run says which dataset it belongs to."""
    has_engine_state: bool = True
    """Whether a run shows what the engine keeps of it: what it has executed, and what it resumes."""
    timing: tuple[str, ...] = ()
    """The keys of a run's `timing` beside its three moments."""
    has_trigger_facts: bool = True
    """Whether the trigger of a run says more than its type."""
    types: str = "nodes"
    """How types of nodes are called: `nodes`, `functions` (without an s), `starts` (by what they take), `blocks`."""
    file_keys: tuple[str, ...] = ("file_id", "id")
    """The keys of the id in a reference to a file."""
    has_owner: bool = True
    """Whether runs, steps, files and blocks say whose they are."""
    loop_keys: tuple[str, ...] = ("loop_id", "iteration", "iteration_context")
    """The keys under which a step says where it is in loops."""
    has_texts: bool = True
    """Whether there are text inputs and text handles."""
    steps_page: int | None = None
    """How many steps a page has unless told otherwise; None where steps come as a bare array."""
    statuses: frozenset[str] = _STATUSES | {"waiting_for_human"}
    """The statuses by which runs are listed."""
    sorts: frozenset[str] = frozenset({"created_at", "started_at"})
    """The keys by which runs are sorted."""
    has_many: bool = True
    """Whether runs are listed by several statuses or triggers."""
    has_fields: bool = True
    """Whether a list of runs shows some keys alone."""
    durations: tuple[str, ...] = ("",)
    """What follows `min_duration` and `max_duration` in the names of filters."""
    is_strict: bool = False
    """Whether an unknown cursor is refused."""
    has_versions: bool = False
    """Whether a create says which version of the workflow is run."""
    has_metadata: bool = False
    """Whether runs have metadata."""
    review_keys: tuple[str, str] = ("run_id", "created_at")
    """The keys of the run in a review, and of the time in its decision."""
    documents: frozenset[str] = frozenset({"content"})
    """What a document of a create may be: its `content`, a `reference` to a file, or a `url`."""
    uploads: frozenset[str] = frozenset({"inline"})
    """How files are uploaded: `inline`, or by a `signed` address."""
    created: int = 200
    """The status of the answer to a create."""

    @property
    def has_pages(self) -> bool:
        """Whether the lists of what belongs to one run or one workflow come in pages, not as bare arrays."""
        return self.steps_page is not None

    @property
    def is_current(self) -> bool:
        """Whether these are the routes that have `POST /v1/workflows/runs`."""
        return self.waiting == "awaiting_review"


_G1A = Generation("g1a")
_G1B = replace(
    _G1A,
    name="g1b",
    has_queued=False,
    has_datasets=False,
    has_engine_state=False,
    words=("block",),
    types="functions",
    file_keys=("id",),
    has_texts=False,
    uploads=frozenset({"inline", "signed"}),
)
_G2A = replace(
    _G1B,
    name="g2a",
    is_flat=False,
    has_phases=False,
    has_costs=False,
    lifecycle_key="kind",
    has_step_lifecycles=False,
    loop_keys=("loop_containers",),
    workflow_keys="snapshot",
    timing=("human_waiting_started_at", "accumulated_human_waiting_ms", "duration_ms", "active_duration_ms"),
    durations=("_ms",),
    uploads=frozenset({"signed"}),
)
_G2B = replace(
    _G2A,
    name="g2b",
    lifecycle_key="status",
    workflow_keys="version",
    timing=("human_waiting_started_at", "accumulated_human_waiting_ms"),
    has_step_lifecycles=True,
    steps_page=20,
    has_versions=True,
)
_G2C = replace(_G2B, name="g2c", types="starts", documents=frozenset({"content", "reference"}))
_G3A = replace(
    _G2C,
    name="g3a",
    waiting="awaiting_review",
    timing=("review_waiting_started_at", "accumulated_review_waiting_ms", "duration_ms"),
    types="blocks",
    has_owner=False,
    steps_page=200,
    statuses=_STATUSES | {"awaiting_review", "failed"},
    sorts=frozenset({"timing.created_at", "timing.started_at"}),
    has_fields=False,
    is_strict=True,
    review_keys=("workflow_run_id", "decided_at"),
    documents=frozenset({"url", "reference"}),
    created=202,
)
_G3B = replace(
    _G3A,
    name="g3b",
    workflow_keys="ids",
    timing=(),
    has_trigger_facts=False,
    steps_page=20,
    has_many=False,
    review_keys=("run_id", "created_at"),
)
_G3C = replace(_G3B, name="g3c", auth="bearer", has_metadata=True, documents=frozenset({"url"}))

_ALL = (_G1A, _G1B, _G2A, _G2B, _G2C, _G3A, _G3B, _G3C)

GENERATIONS = tuple(generation.name for generation in _ALL)
"""The names of the generations, oldest first."""

# The mixtures have what any of their generations has, under all of its names.
CLASSIC = replace(
    _G1A,
    name="classic",
    auth="both",
    words=("node", "block"),
    documents=frozenset({"content", "reference"}),
    uploads=frozenset({"inline", "signed"}),
)
"""The classic routes, as older servers have them."""

CURRENT = replace(_G3C, name="current", auth="both", file_keys=("file_id", "id"))
"""The current routes."""

_BOTH = replace(
    CLASSIC,
    name="both",
    steps_page=20,
    statuses=CLASSIC.statuses | CURRENT.statuses,
    sorts=CLASSIC.sorts | CURRENT.sorts,
    durations=("", "_ms"),
    has_metadata=True,
)

BY_NAME = {generation.name: generation for generation in (*_ALL, CLASSIC, CURRENT, _BOTH)}
"""The generations and the mixtures, by name."""


def span(first: str, last: str) -> tuple[str, ...]:
    """Return the names of the generations from one to another, both included."""
    return GENERATIONS[GENERATIONS.index(first) : GENERATIONS.index(last) + 1]
