"""The parts of the benchmark, in the order of the page; what measures them is in `dev/benchmarks/work`."""

from dev.benchmarks.part import Part
from dev.benchmarks.parts import (
    defaults,
    documents,
    endtoend,
    fleet,
    imports,
    prefect_creates,
    prefect_waits,
    triggerer,
    waiting,
)

PARTS: tuple[Part, ...] = (
    waiting.PART,
    triggerer.PART,
    defaults.PART,
    documents.PART,
    imports.PART,
    prefect_waits.PART,
    endtoend.PART,
    fleet.PART,
    prefect_creates.PART,
)
