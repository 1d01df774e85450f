"""A process that writes an audit log until something ends it: ``writer.py FOLDER ACTION BYTES``."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.audit.logs import Owner

RECORDS = 40


def killed_after(size: int) -> Callable[[int, bytes], int]:
    """A disk slow enough for SIGKILL to come in the middle of a line, after so many bytes."""
    left = size

    def write(handle: int, data: bytes) -> int:
        nonlocal left
        taken = os.write(handle, data[: min(len(data), left)])
        left -= taken
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return taken

    return write


def main(folder: str, action: str, size: int) -> None:
    owner = Owner(Path(folder))
    if action == "kill":
        log = owner.open(write=killed_after(size))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        log = owner.open()
    for _ in range(RECORDS):
        log.append(owner.said())
    sys.stdout.write(f"{log.health.fault}\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
