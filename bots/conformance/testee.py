"""The program under test, as a child process: lines in, lines out. Nothing it does can hang or flood us."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import msgspec

from bots.errors import ConfigError

LINE_BYTES = 24 << 20  # spec/testee.md, "Lines"
_CHUNK_BYTES = 1 << 18
_CHUNKS_LEFT_MOST = 16  # of standard error, once it is dead
_TAIL_BYTES = 4096
_TAIL_LINES = 8
# How often to look whether a program is gone whose output somebody else keeps open.
_LOOK_EVERY_S = 0.2


class Broken(Exception):
    """The testee did not keep to spec/testee.md: it has been killed, and must be started anew."""

    def __init__(self, sentence: str, stderr: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.stderr = stderr


class Hung(Broken):
    """It was given its time and did nothing."""


class Unasked(Broken):
    """It wrote more lines than it was asked for: none of its answers can be trusted."""


class Ending(msgspec.Struct, frozen=True):
    """How a testee took the end of its input; ``fault`` is "" if as it should."""

    fault: str
    stderr: tuple[str, ...]


class Testee:
    """One run of the program. Requests may be sent ahead of answers; ``close`` ends it and its process group.

    What left that group, with a session of its own as daemons do, goes on: it is not ours to find.
    """

    __test__ = False  # for pytest, which takes the name for that of a test

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        """Start it; it has ``timeout_s`` seconds for each answer. Raises ConfigError if it cannot be started."""
        self._timeout_s = timeout_s
        try:
            # A session of its own: its process group can be ended as one, and Ctrl-C is for us to handle.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            sentence = f"The testee {command[0]} cannot be started: {reason}."
            raise ConfigError("conformance.cannot_start", sentence, "Give its command line after --.") from None
        self._stdin = _pipe(self._process.stdin)
        self._stdout = _pipe(self._process.stdout)
        self._stderr = _pipe(self._process.stderr)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ, self._read_answers)
        self._selector.register(self._stderr, selectors.EVENT_READ, self._read_stderr)
        self._unsent = bytearray()
        self._ends: deque[int] = deque()  # where in the stream the requests end that are not wholly written
        self._queued_bytes = self._written_bytes = 0
        self._asked = self._came = 0  # requests wholly written, lines that came
        self._line = bytearray()
        self._lines: deque[bytes] = deque()
        self._ended = False
        self._tail = b""
        self._since = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process id, which is that of its process group too."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Queue one request, without its line feed. It is written while answers are awaited."""
        if not self._unsent and not self._stdin.closed:
            self._selector.register(self._stdin, selectors.EVENT_WRITE, self._write)
        self._unsent += line + b"\n"
        self._queued_bytes += len(line) + 1
        self._ends.append(self._queued_bytes)

    def receive(self) -> bytes:
        """The next answer's line, without its line feed. Raises Broken when there will be none."""
        try:
            self._since = time.monotonic()
            while not self._lines:
                self._pump()
                if self._ended and not self._lines:
                    raise Broken(self._death())
            return self._lines.popleft()
        except Broken as broken:
            self.close()
            raise type(broken)(broken.sentence, self.last_words()) from None

    def finish(self) -> Ending:
        """End its input, and see whether it ends too: with status 0 and without another word."""
        fault = ""
        late = f"The testee goes on for {self._timeout_s:g} s after the end of its input."
        try:
            self._since = time.monotonic()
            self._end_input()
            while not self._ended:
                self._pump()
            if self._line:
                raise Broken("After its last answer the testee wrote a line without an end.")
            status = self._process.wait(max(_LOOK_EVERY_S, self._left_s()))
            if status:
                fault = f"At the end of its input the testee ended with {_told(status)}, not with status 0."
        except (subprocess.TimeoutExpired, Hung):
            fault = late
        except Broken as broken:
            fault = broken.sentence
        self.close()
        return Ending(fault, self.last_words())

    def close(self) -> None:
        """Kill it, and all that is still in its process group."""
        if self._selector.get_map() is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._unwatch(self._stdout)
        self._unwatch(self._stdin)
        for _ in range(_CHUNKS_LEFT_MOST):
            if not self._selector.select(0):
                break
            self._read_stderr()
        self._selector.close()
        for stream in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):
                stream.close()

    def last_words(self) -> tuple[str, ...]:
        """The last lines it wrote to standard error."""
        return tuple(self._tail.decode("utf-8", "replace").splitlines()[-_TAIL_LINES:])

    def _left_s(self) -> float:
        return self._since + self._timeout_s - time.monotonic()

    def _pump(self) -> None:
        """Move what can be moved; wait for it, but not longer than the testee may take."""
        left = self._left_s()
        if left <= 0:
            raise Hung(f"The testee gave no answer within {self._timeout_s:g} s.")
        events = self._selector.select(min(left, _LOOK_EVERY_S))
        for key, _ in events:
            key.data()
        if self._came > self._asked:
            raise Unasked(
                "The testee wrote a line that nobody had asked for:"
                " so answers before it may stand beside the wrong requests."
            )
        # Only what it started can still hold its output open then, and that answers nothing.
        if not events and self._process.poll() is not None:
            self._ended = True

    def _write(self) -> None:
        try:
            count = os.write(self._stdin.fileno(), self._unsent[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except OSError:
            # It reads no more. What it answered before may still be on its way.
            self._unwatch(self._stdin)
            return
        del self._unsent[:count]
        self._written_bytes += count
        while self._ends and self._ends[0] <= self._written_bytes:
            self._ends.popleft()
            self._asked += 1
        if not self._unsent:
            self._unwatch(self._stdin)

    def _read_answers(self) -> None:
        data = _read(self._stdout)
        if data is None:
            return
        if not data:
            self._ended = True
            self._unwatch(self._stdout)
            return
        first, *others = data.split(b"\n")
        self._line += first
        for piece in others:
            self._take_line()
            self._line += piece
        if len(self._line) > LINE_BYTES:
            raise Broken(f"The testee wrote a line of more than {LINE_BYTES} bytes.")

    def _take_line(self) -> None:
        if len(self._line) > LINE_BYTES:
            raise Broken(f"The testee wrote a line of more than {LINE_BYTES} bytes.")
        self._lines.append(bytes(self._line))
        self._line.clear()
        self._came += 1

    def _read_stderr(self) -> None:
        data = _read(self._stderr)
        if data == b"":
            self._unwatch(self._stderr)
        self._tail = (self._tail + (data or b""))[-_TAIL_BYTES:]

    def _unwatch(self, stream: IO[bytes]) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(stream)

    def _end_input(self) -> None:
        self._unwatch(self._stdin)
        with suppress(OSError):
            self._stdin.close()

    def _death(self) -> str:
        instead = "in the middle of an answer" if self._line else "instead of giving an answer"
        try:
            status = self._process.wait(max(_LOOK_EVERY_S, self._left_s()))
        except subprocess.TimeoutExpired:
            return f"The testee closed its standard output {instead}."
        return f"The testee ended with {_told(status)} {instead}."


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    os.set_blocking(stream.fileno(), False)
    return stream


def _read(stream: IO[bytes]) -> bytes | None:
    """What there is; b"" at the end, None if there is nothing yet."""
    try:
        return os.read(stream.fileno(), _CHUNK_BYTES)
    except BlockingIOError:
        return None


def _told(status: int) -> str:
    """An exit status for people."""
    if status >= 0:
        return f"status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
