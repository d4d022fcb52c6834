"""The parts of the benchmark, in the order of the page; what measures them is in `benchmarks/work`."""

from benchmarks.part import Part
from benchmarks.parts import defaults, documents, imports, prefect_waits, waiting

PARTS: tuple[Part, ...] = (waiting.PART, defaults.PART, documents.PART, imports.PART, prefect_waits.PART)
