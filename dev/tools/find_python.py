"""Print the path of a Python whose version is at least LOWEST and below BELOW: `find_python.py LOWEST BELOW`.

Looks at the Python that runs it, then at `python3.N` on PATH, then under pyenv.
"""

from __future__ import annotations  # so that an older Python can run it, to find a newer one

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Tuple

Version = Tuple[int, ...]
_ASK = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


def _candidates(lowest: Version, below: Version) -> Iterator[str]:
    yield sys.executable
    names = (f"python{lowest[0]}.{minor}" for minor in range(lowest[1], below[1]))
    yield from filter(None, map(shutil.which, names))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(map(str, pyenv.glob("versions/3.*/bin/python")))


def _version(text: str) -> Version:
    return tuple(map(int, text.split(".")))


def _find(lowest: Version, below: Version) -> str | None:
    for candidate in _candidates(lowest, below):
        # A pyenv shim answers with an error where its version is not switched on.
        answer = subprocess.run([candidate, "-c", _ASK], check=False, capture_output=True, text=True)
        version, _, path = answer.stdout.strip().partition(" ")
        if path and lowest <= _version(version) < below:
            return path
    return None


if __name__ == "__main__":
    found = _find(*map(_version, sys.argv[1:3]))
    if found is None:
        sys.exit(f"no Python >= {sys.argv[1]}, < {sys.argv[2]} on PATH or under pyenv: install one")
    print(found)
