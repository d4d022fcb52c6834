"""The Makefile runs every test there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
FOLDERS = sorted({path.parent.relative_to(ROOT) for path in ROOT.glob("tests/**/test_*.py")})


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_tests_is_named_in_the_makefile(folder):
    named = {Path(word) for word in re.findall(r"\btests/[\w/]+", MAKEFILE)}

    assert named & {folder, *folder.parents}
