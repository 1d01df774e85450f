"""The memory of a process."""

from __future__ import annotations

import subprocess
from pathlib import Path


def megabytes(pid: int, field: str) -> float | None:
    """Memory of a process in 10^6 bytes; None if this system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    except OSError:
        if field != "Rss":
            return None
        command = ["ps", "-o", "rss=", "-p", str(pid)]
        kibibytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(kibibytes) * 1024 / 1e6


def children(pid: int) -> list[int]:
    """The processes a process has started and that still run; none if this system does not tell."""
    try:
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _words(task / "children")]
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return path.read_text().split()
