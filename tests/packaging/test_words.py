"""The words of docs/ARCHITECTURE.md: names keep to them, each is used, and everything is spelled in one way."""

import ast
import io
import re
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("retab_orchestration", "airflow_provider", "prefect_collection")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
ROW = re.compile(r"\| ([a-z ]+) \| ([^|]+) \| ([a-z ]+) \| ([^|]+) \|")

# A word of no name, and what a name says instead.
REPLACED = {
    "agenda": "timer",
    "beat": "renewal",
    "dialect": "API",
    "dialects": "API detection",
    "economy": "list cost",
    "errand": "request queue",
    "fresh": "new connection",
    "hearer": "wait",
    "lane": "test account",
    "lasts": "long-running",
    "ledger": "records",
    "look": "poll, read or search",
    "looked": "polled, read or searched",
    "looks": "polls",
    "lot": "group",
    "made": "created",
    "patience": "time limit",
    "shelf": "file store",
    "shot": "scenario",
    "sweep": "list poll",
    "told": "redacted, reported or requested",
}

# Names that asyncio calls, and two that are still to be replaced.
KEPT = {"connection_made"}

# A phrase of no docstring and no comment, and what it says instead.
PHRASES = {
    "a look": "a poll",
    "as good as": "the same as",
    "be looked at": "be polled, read or checked",
    "by and by": "in the background",
    "failed look": "failed poll",
    "looked at itself": "read by itself",
    "next look": "next poll",
    "whatever comes of": "also where it fails",
}

# American, British. Words in -ize and -yze are known by their ending.
SPELLINGS = {
    "behavior": "behaviour",
    "canceled": "cancelled",
    "catalog": "catalogue",
    "center": "centre",
    "color": "colour",
    "favor": "favour",
    "fulfill": "fulfil",
    "honor": "honour",
    "labeled": "labelled",
    "license": "licence",
    "modeled": "modelled",
    "neighbor": "neighbour",
}
ENDINGS = re.compile(r"[a-z]{2,}(iz|yz)(e|ed|es|ing|ation)")
# What Airflow, Prefect, HTTP and the API call something.
THEIRS = {
    "authorization",
    "deserialize",
    "organization_id",
    "serialize",
    "serialize_parameters",
    "size",
    "sizes",
    "ui_color",
}


@cache
def tree_of(path):
    return ast.parse(path.read_text())


def names_in(path):
    """Yield the module's own name, and those of its classes, functions, parameters, fields and constants."""
    yield path.stem
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        if isinstance(node, ast.Module | ast.ClassDef):
            targets = [
                target for child in node.body if isinstance(child, ast.Assign) for target in child.targets
            ]
            targets += [child.target for child in node.body if isinstance(child, ast.AnnAssign)]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def words_of(name):
    """Split a name: `list_runs`, `RunWatcher` and `_MOST_ROWS` have two words each."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def prose_in(path):
    """Yield docstrings, also those of fields and constants, and comments."""
    for node in ast.walk(tree_of(path)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.value
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def listed():
    """Return the words of the page with their meanings."""
    found = ROW.findall((ROOT / "docs" / "ARCHITECTURE.md").read_text())
    return [pair for left, meaning, right, other in found for pair in ((left, meaning), (right, other))][2:]


def american(text):
    """Return the words of a text that are not spelled as the project spells, less code and names of others."""
    text = re.sub(r"```.*?```|`[^`]*`|https?://\S+", " ", text, flags=re.DOTALL)
    words = {word for word in re.findall(r"[a-z_]+", text.lower()) if word not in THEIRS}
    parts = {part for word in words for part in word.split("_") if part not in THEIRS}
    return {part for part in parts if part in SPELLINGS or ENDINGS.fullmatch(part)}


def test_the_list_has_each_word_once_with_one_short_meaning():
    words = [word for word, _ in listed()]

    assert 20 <= len(words) <= 40
    assert [word for word, count in Counter(words).items() if count > 1] == []
    assert [word for word, meaning in listed() if not meaning or len(meaning) > 70 or ";" in meaning] == []


def test_a_word_of_the_list_is_in_a_name_or_a_docstring():
    used = " ".join(
        text.lower()
        for path in MODULES
        for text in (*prose_in(path), *(" ".join(words_of(name)) for name in names_in(path)))
    )

    assert [word for word, _ in listed() if not re.search(rf"\b{word}(s|d|ed)?\b", used)] == []


def test_names_and_prose_have_no_word_that_was_replaced():
    named = {
        f"{path.relative_to(ROOT)}: {name}": REPLACED[word]
        for path in MODULES
        for name in names_in(path)
        for word in words_of(name)
        if word in REPLACED and name not in KEPT
    }
    prose = {path.relative_to(ROOT): " ".join(" ".join(prose_in(path)).split()) for path in MODULES}

    assert named == {}
    assert [
        (path, PHRASES[each]) for path, text in prose.items() for each in PHRASES if each in text.lower()
    ] == []


def test_everything_is_spelled_in_the_british_way():
    texts = {path: [*names_in(path), *prose_in(path)] for path in MODULES} | {
        path: [path.read_text()] for path in PAGES
    }
    found = {path.relative_to(ROOT): set().union(*map(american, texts[path])) for path in texts}

    assert {path: words for path, words in found.items() if words} == {}
