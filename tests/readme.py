"""The code of the README, so that tests run what readers copy."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def block_with(text: str, language: str = "python") -> str:
    """Return the one block of code of the README that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)
    (found,) = [block for block in blocks if text in block]
    return found
