"""Runs cases, many at a time, each against a site of its own, within its time and its memory."""

import ctypes
import gc
import itertools
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from retab_orchestration import errors
from tests.hostile.judge import Log, Seen, judged
from tests.hostile.retab import SIGNED, Reply, retab
from tests.hostile.server import Answer, Received, Server

# Cases at a time: most of a case is waiting.
AT_ONCE = 16
# Cases whose memory is measured together; only where they took too much, each by itself.
IN_ONE_BATCH = 96
# Seconds that a case which is broken off may take to notice.
NOTICING = 3.0
# MiB by which a process may grow because of one case.
MEBIBYTES = 64.0

_numbers = itertools.count(1)


class World:
    """What a case has to itself: a key, a folder and two sites, one of which it was not told to go to.

    Attributes:
        stored: What a host would store or show of it, for an act to fill.
    """

    def __init__(self, server: Server, case: "Case", folder: Path) -> None:
        self._server = server
        self.case = case
        self.number = next(_numbers)
        self.key = f"rt_hostile_{self.number:06d}_do-not-show-me"
        self.secrets = (self.key, SIGNED, *case.secrets)
        self.folder = folder / str(self.number)
        self.inside = self.folder / "inside"
        self.inside.mkdir(parents=True)
        self.other = server.site(self._strayed)
        replies = case.replies(self) if callable(case.replies) else case.replies
        self.site = server.site(retab(replies), case.accepted)
        self.strayed: list[str] = []
        self.stored: list[Any] = []

    @cached_property
    def url(self) -> str:
        return self.site.url

    def _strayed(self, request: Received, _: int) -> Answer:
        has_key = any(self.key in text for text in (request.head.decode("latin-1"), request.target))
        self.strayed.append(f"{request.method} with {'the key' if has_key else f'{len(request.body)} bytes'}")
        return Answer((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",))

    def break_off(self) -> None:
        self.site.close()
        self.other.close()

    def written_outside(self) -> list[str]:
        """Return what is in the folder of this case, but not in the one where it may write."""
        return [
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and self.inside not in path.parents
        ]


@dataclass(frozen=True, eq=False)
class Case:
    """One case: what is done, what the server says to it, and what may come of that."""

    name: str
    act: Callable[[World], Any]
    replies: Mapping[str, Reply] | Callable[[World], Mapping[str, Reply]] = field(default_factory=dict)
    accepted: Answer | None = None
    expected: tuple[type[BaseException], ...] = ()
    """The errors that are right."""
    right: Callable[[Any, World], bool] | None = None
    """Whether a result is right; None where none is."""
    seconds: float = 10.0
    mebibytes: float = MEBIBYTES
    alone: bool = False
    """Whether nothing else may run meanwhile: its memory is large, or it changes the process."""
    may_stray: bool = False
    may_have_lines: bool = False
    secrets: tuple[str, ...] = ()
    documented: tuple[type[BaseException], ...] = (errors.RetabError,)


class Outcomes:
    """The class of every case that has run, and why it is not good."""

    def __init__(self) -> None:
        self.by_case: dict[Case, tuple[str, str]] = {}

    def run(self, server: Server, cases: Iterable[Case]) -> None:
        """Run what has not run yet."""
        waiting = [case for case in cases if case not in self.by_case]
        together = [case for case in waiting if not case.alone]
        folder = Path(tempfile.mkdtemp(prefix="hostile-"))
        log = Log()
        root, level = logging.getLogger(), logging.getLogger().level
        root.addHandler(log)
        root.setLevel(min(level, logging.INFO))
        try:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hostile") as pool:
                for start in range(0, len(together), IN_ONE_BATCH):
                    batch = together[start : start + IN_ONE_BATCH]
                    worlds, grown = self._batch(server, batch, folder, pool)
                    for case, world, seen in worlds:
                        self._judge(case, world, seen, log)
                    if grown > MEBIBYTES:
                        self._one_by_one(server, batch, folder, log)
            self._one_by_one(server, [case for case in waiting if case.alone], folder, log)
        finally:
            root.removeHandler(log)
            root.setLevel(level)
            shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _batch(
        server: Server, batch: Iterable[Case], folder: Path, pool: ThreadPoolExecutor
    ) -> tuple[list[tuple[Case, World, Seen]], float]:
        with Memory() as memory:
            ran = list(pool.map(lambda case: (case, *_ran(server, case, folder)), batch))
        return ran, memory.mebibytes

    def _one_by_one(self, server: Server, cases: Iterable[Case], folder: Path, log: Log) -> None:
        for case in cases:
            with Memory() as memory:
                world, seen = _ran(server, case, folder)
            seen.mebibytes = memory.mebibytes
            if self.by_case.get(case, ("good",))[0] == "good":
                self._judge(case, world, seen, log)

    def _judge(self, case: Case, world: World, seen: Seen, log: Log) -> None:
        seen.logged = "\n".join(text for text in log.texts if any(secret in text for secret in world.secrets))
        is_right = (
            case.right is not None and seen.is_over and seen.error is None and case.right(seen.value, world)
        )
        self.by_case[case] = judged(
            seen,
            documented=case.documented,
            expected=case.expected,
            is_right=is_right,
            may_have_lines=case.may_have_lines,
            seconds=case.seconds,
            mebibytes=case.mebibytes,
            secrets=world.secrets,
        )


def _ran(server: Server, case: Case, folder: Path) -> tuple[World, Seen]:
    """Act in a thread that can be left behind."""
    world, seen = World(server, case, folder), Seen()

    def act() -> None:
        try:
            seen.value = case.act(world)
        except BaseException as error:  # noqa: BLE001  whatever it is, it is to be judged
            seen.error = error

    acting = threading.Thread(target=act, daemon=True)
    began = time.monotonic()
    acting.start()
    acting.join(case.seconds)
    seen.is_over = not acting.is_alive()
    seen.seconds = time.monotonic() - began
    world.break_off()
    acting.join(NOTICING)
    seen.strayed = [] if case.may_stray else world.strayed
    seen.stored = "\n".join(map(repr, world.stored))
    seen.outside = world.written_outside()
    return world, seen


class Memory:
    """By how many MiB the process has grown at the most; 0 where the system does not tell."""

    mebibytes = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        _give_back()
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self._before: float | None = _status("VmRSS")
        except OSError:
            self._before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            self.mebibytes = _status("VmHWM") - self._before


def _give_back() -> None:
    with suppress(AttributeError, OSError, TypeError):  # where it is not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _status(name: str) -> float:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024
