"""What a soak found, as it is written down."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec

from tests.soak import Scenario
from tests.soak.sampling import Growth
from tests.soak.verdict import Verdict


class StoreSize(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent has on disk, store and audit log, before and after."""

    name: str
    before_kb: float
    after_kb: float


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it ran."""

    cores: int
    memory_gb: int
    python: str
    system: str


class Summary(msgspec.Struct, kw_only=True):
    """One soak."""

    date: str
    machine: Machine
    scenario: Scenario
    elapsed_s: float  # from the first process to the last
    asked: dict[str, int]  # by kind of work: acknowledged
    troubles: dict[str, int]
    held_back: int  # times that agents reported the homeserver's limits
    verdict: Verdict
    median_s: float  # a task, asked to ended
    p95_s: float
    fold_kb_per_task: float  # what the room's tasks take in one fold
    growths: list[Growth]
    lives: int  # processes that were watched, those too short to be judged among them
    stores: list[StoreSize]
    faults: list[str]  # everything that must not be, in sentences

    @property
    def good(self) -> bool:
        return not self.faults

    @property
    def kb_per_task(self) -> float:
        """By how much one agent's files grew with each task of the room: the middle one of all agents."""
        grown = sorted(store.after_kb - store.before_kb for store in self.stores)
        return grown[len(grown) // 2] / max(1, self.verdict.tasks)

    def memory_kb_per_task(self, growth: Growth) -> float:
        """By how much a process grew with each task of the room, between the middles of the two parts compared."""
        tasks = (growth.last.at_s - growth.middle.at_s) * self.verdict.tasks / self.scenario.seconds
        return 1024 * (growth.last.rss_mb - growth.middle.rss_mb) / tasks


def machine() -> Machine:
    """This one."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cores=os.cpu_count() or 0,
        memory_gb=round(pages / (1 << 30)),
        python=platform.python_version(),
        system=platform.system(),
    )


def size_kb(folder: Path) -> float:
    """All files below a folder, but what SQLite has still to put into its database."""
    kept = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return sum(path.stat().st_size for path in kept) / 1024
