"""Modules, classes and functions stay small enough to be read in one go."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("retab_orchestration", "airflow_provider", "prefect_collection", "dev/hosts", "dev/demo")
MODULES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LIMITS = {ast.ClassDef: 150, ast.FunctionDef: 40, ast.AsyncFunctionDef: 40}


def lines_of(definition: ast.AST) -> int:
    """Count the lines of a definition, less those of the docstrings in it."""
    documented = [node for node in ast.walk(definition) if isinstance(node, tuple(LIMITS))]
    docstrings = [ast.get_docstring(node, clean=False) or "" for node in documented]
    return definition.end_lineno - definition.lineno + 1 - sum(len(text.splitlines()) for text in docstrings)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_keeps_within_its_budget(path):
    source = (ROOT / path).read_text()

    too_long = [
        f"{node.name}: {lines_of(node)} lines"
        for node in ast.walk(ast.parse(source))
        if type(node) in LIMITS and lines_of(node) > LIMITS[type(node)]
    ]

    assert source.count("\n") <= 300
    assert too_long == []
