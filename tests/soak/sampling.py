"""What processes hold while a soak runs, by the system's own account, and whether it grows."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

_KB = 1024
# What may be more in the last third of a life than in the second.
_MEMORY_SHARE = 0.05
_MEMORY_MB = 2.0
_HANDLES = 8  # connections come and go with the load: what leaks is there when there are fewest


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at one process."""

    at_s: float
    rss_mb: float
    files: int  # open descriptors, sockets among them
    sockets: int
    threads: int


class Life(msgspec.Struct, kw_only=True):
    """One process from its start to its end."""

    name: str
    pid: int
    samples: list[Sample] = []


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """A process in two parts of its life of equal length, after a first one in which it grew warm.

    Of each part the median of its memory, and the least of all else.
    """

    name: str
    pid: int
    seconds: float
    middle: Sample
    last: Sample
    faults: tuple[str, ...]  # what grew by more than it may


def look(pid: int, at_s: float) -> Sample | None:
    """A sample of a process of ours, None if it is gone."""
    try:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        targets = []
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                targets.append(str(descriptor.readlink()))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if "VmRSS" not in status:  # it has ended, and nobody has taken note
        return None
    return Sample(
        at_s=at_s,
        rss_mb=int(status["VmRSS"].split()[0]) / _KB,
        files=len(targets),
        sockets=sum(target.startswith("socket:") for target in targets),
        threads=int(status["Threads"]),
    )


class Watch:
    """The lives of named processes, as they come and go."""

    def __init__(self) -> None:
        self.lives: list[Life] = []

    def look(self, pids: Mapping[str, int], at_s: float) -> None:
        """Sample all of these now."""
        for name, pid in pids.items():
            sample = look(pid, at_s)
            if sample is None:
                continue
            life = next((life for life in reversed(self.lives) if (life.name, life.pid) == (name, pid)), None)
            if life is None:
                life = Life(name=name, pid=pid)
                self.lives.append(life)
            life.samples.append(sample)

    def growths(self, least_s: float) -> list[Growth]:
        """How those grew that lived at least so long."""
        return [
            growth(life)
            for life in self.lives
            if len(life.samples) >= 9 and life.samples[-1].at_s - life.samples[0].at_s >= least_s
        ]


def growth(life: Life) -> Growth:
    """The second third of a life, and the last."""
    samples = life.samples[:-2]  # when it ends, it lets go of everything
    third = len(samples) // 3
    middle, last = _typical(samples[third : 2 * third]), _typical(samples[-third:])
    allowed_mb = _MEMORY_MB + _MEMORY_SHARE * middle.rss_mb
    bounds: Mapping[str, tuple[float, float]] = {
        "MB of memory": (last.rss_mb - middle.rss_mb, allowed_mb),
        "open files": (last.files - middle.files, _HANDLES),
        "sockets": (last.sockets - middle.sockets, _HANDLES),
        "threads": (last.threads - middle.threads, _HANDLES),
    }
    return Growth(
        name=life.name,
        pid=life.pid,
        seconds=life.samples[-1].at_s - life.samples[0].at_s,
        middle=middle,
        last=last,
        faults=tuple(
            f"{life.name} (process {life.pid}) holds {grown:.3g} {what} more in the last third of its life"
            for what, (grown, allowed) in bounds.items()
            if grown > allowed
        ),
    )


def _typical(samples: Sequence[Sample]) -> Sample:
    return Sample(
        at_s=statistics.median(sample.at_s for sample in samples),
        rss_mb=statistics.median(sample.rss_mb for sample in samples),
        files=min(sample.files for sample in samples),
        sockets=min(sample.sockets for sample in samples),
        threads=min(sample.threads for sample in samples),
    )
