"""Write the blocking client, `client/_sync`, from the awaiting one, `client/_async`.

`python -m dev.blocking_client` writes the modules, in an environment that has ruff. A test compares them with what it
would write.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "retab_orchestration" / "client"
HEADER = "# Written by `python -m dev.blocking_client` from client/_async; change that.\n"

NAMES = {
    "AsyncFileOperations": "FileOperations",
    "AsyncIterator": "Iterator",
    "AsyncRetabClient": "RetabClient",
    "AsyncRunOperations": "RunOperations",
    "AsyncTestRunOperations": "TestRunOperations",
    "AsyncioRuntime": "BlockingRuntime",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "_async": "_sync",
    "aclose": "close",
    "that awaits, from which the blocking one is written": "that blocks",
}
# What is true of the one client only: the paragraphs that stand before the arguments.
CLASS = {
    "RetabClient": "Retab, blocking. Use it in a `with` block, or call `close`; threads may share it.",
}

_HELPERS = "from retab_orchestration._blocking import iterate_blocking, run_blocking\n"
_Edit = tuple[int, int, bytes]


def modules() -> dict[Path, str]:
    """Return what each module of the blocking client should be."""
    return {
        CLIENT / "_sync" / path.name: _formatted(blocking(path.read_text()))
        for path in sorted((CLIENT / "_async").glob("*.py"))
    }


def blocking(source: str) -> str:
    """Return a module of the awaiting client as the same module of the blocking one."""
    content = source.encode()
    offsets = _line_offsets(content)  # columns are counted in bytes
    edits: list[_Edit] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AsyncFunctionDef):
            start = offsets[node.lineno - 1] + node.col_offset
            edits.append((start, start + len(b"async "), b""))
        elif isinstance(node, ast.FunctionDef) and _iterates(node):
            edits += [
                _called("iterate_blocking", each.value, content, offsets)
                for each in ast.walk(node)
                if isinstance(each, ast.Return) and each.value is not None
            ]
        elif isinstance(node, ast.Await):
            edits.append(_awaited(node, content, offsets))
    for start, end, text in sorted(edits, reverse=True):
        content = content[:start] + text + content[end:]
    source = content.decode()
    for name, other in NAMES.items():
        source = re.sub(rf"(?<![A-Za-z]){re.escape(name)}(?!\w)", other, source)
    for name, summary in CLASS.items():
        before_arguments = rf'(?<=class {name}\()([^\n]*\n    """).*?(?=\n\n    Args:)'
        source = re.sub(before_arguments, rf"\1{summary}", source, flags=re.DOTALL)
    return HEADER + re.sub(r"^(?=from|import)", _HELPERS, source, count=1, flags=re.MULTILINE)


def _iterates(function: ast.FunctionDef) -> bool:
    return function.returns is not None and ast.unparse(function.returns).startswith("AsyncIterator")


def _awaited(node: ast.Await, content: bytes, offsets: list[int]) -> _Edit:
    """Let an operation of the core run to its end; what the client does to itself blocks anyway."""
    start, end, text = _called("run_blocking", node.value, content, offsets)
    if ast.unparse(node.value).startswith("self."):
        text = content[start:end]
    return offsets[node.lineno - 1] + node.col_offset, end, text


def _called(helper: str, value: ast.expr, content: bytes, offsets: list[int]) -> _Edit:
    assert value.end_lineno is not None  # noqa: S101  what was parsed has its place
    assert value.end_col_offset is not None  # noqa: S101
    start = offsets[value.lineno - 1] + value.col_offset
    end = offsets[value.end_lineno - 1] + value.end_col_offset
    return start, end, helper.encode() + b"(" + content[start:end] + b")"


def _line_offsets(content: bytes) -> list[int]:
    offsets = [0]
    for line in content.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    return offsets


def _formatted(source: str) -> str:
    """Return a module without the imports that it does not use, in the project's format."""
    for arguments in (["check", "--fix", "--quiet", "--select=F401,I001"], ["format", "--quiet"]):
        command = [
            sys.executable,
            "-m",
            "ruff",
            *arguments,
            "--stdin-filename",
            str(CLIENT / "_sync" / "client.py"),
            "-",
        ]
        source = subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout
    return source


if __name__ == "__main__":
    for path, text in modules().items():
        path.write_text(text)
