"""Lines of a log as the pages show them, so that a test can hold a page to what is logged."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def is_shown(line: str, page: str) -> bool:
    """Return whether a page of the documentation has a line, with any run's id and any port of this machine."""
    line = re.sub(r"\brun_[0-9A-Za-z]{6,}", "run_…", line)
    line = re.sub(r", request req_[0-9a-f]+", "", line)
    line = re.sub(r"hash [0-9a-f]+, now [0-9a-f]+", "hash …, now …", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8765", line)
    return " ".join(line.split()) in " ".join((DOCS / page).read_text().split())
