"""``clawtui --web``: the same screens in a browser on this machine.

Whoever reaches them can use the agent's key and read the room, so they answer on 127.0.0.1 alone, to a browser that
holds the token of the printed URL, at our own pages and nobody else's. Each browser window is one child process that
runs clawtui without a terminal.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence

MODULE = "tui.cli"  # what a window runs


class WebError(Exception):
    """The server cannot start: a code, a sentence and the way out."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint


def serve(arguments: Sequence[str], *, port: int, announce: Callable[[str], None]) -> int:
    """Serve ``clawtui ARGUMENTS`` on 127.0.0.1 until a signal ends it; the exit status.

    ``announce`` gets the sentence with the URL once the server listens. Port 0 is a free one. Raises WebError.
    """
    from tui.web.serving import listen  # lazily: a window's child needs no server

    # -P: a folder that happens to be the working directory takes no part.
    command = (sys.executable, "-P", "-m", "tui.web.child", MODULE, *arguments)

    async def until_signalled() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
                asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await listen(command, port, announce, stopped)

    asyncio.run(until_signalled())
    return 0
