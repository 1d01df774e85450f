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
