"""The venvs of the official SDK's releases, which `make sdk-venvs` and `make sdks` build."""

from pathlib import Path

import pytest

VENVS = Path(__file__).parents[2] / ".venvs"
ALWAYS = "0.0.160"
"""The release that every supported Python imports; the others need Python 3.12."""


def python_of(release):
    """Return the Python of a release; skip where there is none, which cannot be for the newest."""
    python = VENVS / f"sdk-{release}" / "bin" / "python"
    if not python.exists():
        if release != ALWAYS:
            pytest.skip(
                f"retab {release} has no venv: `make sdks` builds it where there is a Python 3.12 or newer"
            )
        pytest.fail(f"{python} is missing: run `make sdk-venvs`")
    return python
