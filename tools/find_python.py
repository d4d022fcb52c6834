"""Print the path of a Python whose version lies in [LOWEST, BELOW): `find_python.py LOWEST [BELOW]`.

Looks at the Python that runs it, then at `python3.N` on PATH, then under pyenv. Runs on any Python 3.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_ASK = "import sys; print(sys.executable, *sys.version_info[:2], sep='\\n')"


def _candidates(lowest, below):
    yield sys.executable
    minors = range(lowest[1], min(below[1], lowest[1] + 9))
    yield from filter(None, (shutil.which("python3.{}".format(minor)) for minor in minors))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(map(str, pyenv.glob("versions/3.*/bin/python")))


def _find(lowest, below):
    for candidate in _candidates(lowest, below):
        # A pyenv shim exists for versions that are not switched on: it answers with an error.
        answer = subprocess.run([candidate, "-c", _ASK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if answer.returncode:
            continue
        path, major, minor = answer.stdout.decode().split("\n")[:3]
        if lowest <= (int(major), int(minor)) < below:
            return path
    return None


def _main(arguments):
    lowest, below = (tuple(map(int, text.split("."))) for text in (arguments + ["3.99"])[:2])
    found = _find(lowest, below)
    if not found:
        return "no Python >= {}, < {} on PATH or under pyenv: install one".format(*(arguments + ["3.99"])[:2])
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
