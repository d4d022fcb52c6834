"""The code of the README, so that tests run what readers copy."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def block_with(text: str) -> str:
    """Return the one Python block of the README that contains a text."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    (found,) = [block for block in blocks if text in block]
    return found
