"""The child process: Synapse itself, plus one thread that ends it when its parent is gone.

Run by path, as ``python -P child.py CONFIG``: only the standard library and Synapse are imported.
Standard input is the life line: a pipe whose other end only the parent holds. It closes however
the parent ends, SIGKILL included, and it is not tied to a thread as PR_SET_PDEATHSIG is.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import sys
import threading
import time

GRACE_S = 10.0


def end_with(parent: int) -> None:
    """Wait until process ``parent`` is gone, then end this process: politely, then for certain."""
    # A process forked by the parent may hold a copy of the pipe's other end: hence the look at getppid.
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 1):
            break
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run Synapse in this process until it is told to stop or the parent is gone."""
    os.umask(0o077)
    threading.Thread(target=end_with, args=(os.getppid(),), name="end-with-parent", daemon=True).start()
    # Synapse takes over collection when it runs; until then there is nothing to collect, only to scan.
    gc.disable()
    synapse = importlib.import_module("synapse.app.homeserver")
    sys.argv = ["synapse", "-c", sys.argv[1]]
    synapse.main()


if __name__ == "__main__":
    main()
