"""The child process of a browser window: ``python -P -m tui.web.child MODULE ARGUMENTS`` runs a module of ours.

Standard input is the life line: its other end closes however the server ends, SIGKILL included. A driver that reads
it does not end the app then, hence the thread.
"""

from __future__ import annotations

import os
import runpy
import select
import signal
import sys
import threading
import time

GRACE_S = 3.0


def end_with_server() -> None:
    """Wait until standard input is closed at the other end, then end this process: politely, then for certain."""
    line = select.poll()
    line.register(0, 0)  # no readiness asked for: what is left is the hang-up
    line.poll()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run the module named on the command line as ``python -m`` would, until it ends or the server is gone."""
    threading.Thread(target=end_with_server, name="end-with-server", daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
