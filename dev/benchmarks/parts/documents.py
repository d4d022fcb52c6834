"""Part 4: what it takes to send a document, ours on both route families and the vendor's SDK."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dev.benchmarks.lab import Lab, median
from dev.benchmarks.part import Part, Plot, Results, Target, number, table

MEGABYTES = (1, 20, 200)
VENVS = {"classic": "bench-core", "current": "bench-core", "sdk": "sdk-0.0.160"}
NAMES = {
    "classic": "ours, classic: inline",
    "current": "ours, current: by upload",
    "sdk": "SDK 0.0.160: inline",
}
# The real API refuses inline bodies of more than about 32 MiB, so only an upload, and the SDK, are given 200 MB.
SENT = {"classic": (1, 20), "current": MEGABYTES, "sdk": MEGABYTES}


def measure(lab: Lab) -> dict[str, Any]:
    """Send documents of each size, each in a fresh process, in turn."""
    sizes = (1, 2) if lab.quick else MEGABYTES
    documents = {size: _document(lab.folder, size) for size in sizes}
    small = lab.folder / "small.pdf"
    small.write_bytes(b"%PDF-1.4 small")
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for turn in range(lab.times()):
        for size, path in documents.items():
            lab.say(f"{size} MB, {turn + 1} of {lab.times()}")
            for sender, venv in VENVS.items():
                if size not in SENT[sender] and not lab.quick:
                    continue
                found.setdefault((sender, size), []).append(_send(lab, venv, sender, path, small))
    for path in documents.values():
        path.unlink()
    return {"sent": [_summary(sender, size, each) for (sender, size), each in found.items()]}


def _document(folder: Path, megabytes: int) -> Path:
    path = folder / f"{megabytes}.pdf"
    piece = os.urandom(1_000_000)
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(piece)
    return path


def _send(lab: Lab, venv: str, sender: str, path: Path, small: Path) -> dict[str, Any]:
    with lab.server() as server:
        spec = {"sender": sender, "url": server.url, "path": str(path), "small": str(small)}
        result: dict[str, Any] = lab.run(venv, "documents", spec)
        result["arrived"] = server.told()["swallowed"]
    if result["error"]:
        raise RuntimeError(f"{sender} did not send {path.name}: {result['error']}")
    return result


def _summary(sender: str, size: int, results: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = median([each["seconds"] for each in results])
    return {
        "sender": sender,
        "megabytes": size,
        "seconds": seconds,
        "rate": size / seconds,
        "extra": median([each["extra"] for each in results]),
        "arrived": median([each["arrived"] for each in results]),
        "seconds_each": [round(each["seconds"], 4) for each in results],
        "extra_each": [each["extra"] for each in results],
    }


def _find(results: Results, sender: str, size: int) -> dict[str, Any] | None:
    return next(
        (each for each in results["sent"] if (each["sender"], each["megabytes"]) == (sender, size)), None
    )


def section(results: Results) -> str:
    """Return the text of this part."""
    rows = [
        (
            f"{each['megabytes']} MB",
            NAMES[each["sender"]],
            number(each["extra"] / 1e6),
            number(each["rate"]),
            number(each["seconds"]),
            number(each["arrived"] / 1e6),
        )
        for each in sorted(
            results["sent"], key=lambda each: (each["megabytes"], list(VENVS).index(each["sender"]))
        )
    ]
    return (
        _INTRODUCTION + "\n" + table(("document", "", "extra MB", "MB/s", "seconds", "MB sent"), rows, left=2)
    )


_INTRODUCTION = """
One document from a local file, in a fresh process, to a server that counts what arrives and keeps nothing. **extra MB**
is the peak of the process's memory over what it held before, **MB/s** the document's size over the time of the whole
call: reading, encoding or hashing, sending and the answer. The real API refuses inline bodies of more than about
32 MiB, so a document of 200 MB is for the upload route alone; what the SDK does with one is shown all the same. On
current routes a document of 1 MB still goes inline.
"""


def targets(results: Results) -> Iterable[Target]:
    """Return what this part decides."""
    for sender, size, told in (
        ("current", 200, "A document of 200 MB by upload"),
        ("classic", 20, "A document of 20 MB inline"),
    ):
        ours, sdk = _find(results, sender, size), _find(results, "sdk", size)
        if ours is None or sdk is None:
            continue
        extra = ours["extra"] / 1e6
        yield Target(
            "4",
            f"{told}: extra memory",
            "<= 16 MB",
            f"{number(extra)} MB (SDK {number(sdk['extra'] / 1e6)})",
            ours["extra"] <= 16e6,
            "the pieces that are read at a time",
        )
        yield Target(
            "4",
            f"{told}: throughput, next to the SDK's",
            ">= 3x",
            f"{number(ours['rate'] / sdk['rate'])}x ({number(ours['rate'])} of {number(sdk['rate'])} MB/s)",
            ours["rate"] >= 3 * sdk["rate"],
            f"{number(ours['rate'])} MB/s is what reading, hashing or encoding, and sending allow on one core",
        )


def plots(results: Results) -> list[Plot]:
    """Draw how the memory grows with the document."""
    lines = {
        name: [
            (each["megabytes"], each["extra"] / 1e6) for each in results["sent"] if each["sender"] == sender
        ]
        for sender, name in NAMES.items()
    }
    return [
        Plot("documents-memory", "Extra memory to send a document", "MB of the document", "extra MB", lines)
    ]


PART = Part(4, "Documents", 3.0, measure, section, lambda results: list(targets(results)), plots)
