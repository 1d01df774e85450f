"""Real terminals for a program to draw on, and what stands on them: an emulator of our own process, and tmux."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import shlex
import shutil
import struct
import subprocess
import termios
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import pyte

_SETTINGS = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
_KEYS = {"Enter": "\r", "Escape": "\x1b", "Space": " ", "Tab": "\t"}


class Terminal(Protocol):
    """``with Kind(command, environment, size) as terminal``. Keys are characters or names such as Enter."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def press(self, *keys: str) -> None: ...
    def screen(self) -> str: ...

    @property
    def status(self) -> int | None:
        """The exit status, None while the program runs."""


class Emulated:
    """A pty whose other end a terminal emulator reads."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], size: tuple[int, int] = (120, 40)
    ) -> None:
        self._command, self._environment = command, {**environment, **_SETTINGS}
        self._columns, self._rows = size
        self._picture = pyte.Screen(self._columns, self._rows)
        self._stream = pyte.ByteStream(self._picture)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", self._rows, self._columns, 0, 0))
        self._process = subprocess.Popen(
            self._command, stdin=theirs, stdout=theirs, stderr=theirs, env=self._environment, start_new_session=True
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(timeout=5)
        os.close(self._ours)

    def press(self, *keys: str) -> None:
        for key in keys:
            os.write(self._ours, _KEYS.get(key, key).encode())

    def screen(self) -> str:
        with self._lock:
            return "\n".join(self._picture.display)

    @property
    def status(self) -> int | None:
        return self._process.poll()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self._stream.feed(data)


class Tmux:
    """A server of tmux of its own, with one window."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], size: tuple[int, int] = (120, 40)
    ) -> None:
        self._name = f"clawnet-{uuid.uuid4().hex[:12]}"
        self._environment = dict(environment)
        self._command = shlex.join(command)
        self._size = size
        self._folder = Path(environment["HOME"])

    def __enter__(self) -> Self:
        columns, rows = self._size
        status = self._folder / f"{self._name}.status"
        script = f"COLORTERM=truecolor {self._command}; echo $? > {shlex.quote(str(status))}; read -r _"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "sh", "-c", script)
        self._tmux("set-option", "-g", "status", "off")
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))
        self._status = status
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def press(self, *keys: str) -> None:
        for key in keys:
            self._tmux("send-keys", *(() if key in _KEYS else ("-l",)), key)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    @property
    def status(self) -> int | None:
        text = self._status.read_text() if self._status.exists() else ""
        return int(text) if text.endswith("\n") else None

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-L", self._name, *arguments], env=self._environment, check=True, capture_output=True, text=True
        ).stdout


KINDS: Sequence[Callable[..., Terminal]] = (Emulated, Tmux) if shutil.which("tmux") else (Emulated,)
"""What this machine has."""


async def shows(terminal: Terminal, fits: Callable[[str], object], timeout_s: float = 60) -> str:
    """The screen once it fits. Raises AssertionError with what stands there instead."""
    end = asyncio.get_running_loop().time() + timeout_s
    while not fits(screen := terminal.screen()):
        assert asyncio.get_running_loop().time() < end and terminal.status is None, f"{terminal.status}\n{screen}"
        await asyncio.sleep(0.05)
    return screen


async def ended(terminal: Terminal, timeout_s: float = 30) -> int:
    """The exit status once it is there. Raises AssertionError with what stands on the screen instead."""
    end = asyncio.get_running_loop().time() + timeout_s
    while (status := terminal.status) is None:
        assert asyncio.get_running_loop().time() < end, terminal.screen()
        await asyncio.sleep(0.05)
    return status
