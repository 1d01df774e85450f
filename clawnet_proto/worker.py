"""A process of its own for work that would hold this one up: Python runs one thread at a time.

What is asked and answered goes pickled through pipes that only the two processes hold.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import subprocess
import sys
from threading import Lock
from typing import IO, Any, Final

import clawnet_proto.packed  # noqa: F401 -- how messages are pickled

_HEAD: Final = 8  # bytes
_PIPE: Final = 1 << 20  # bytes, where the system lets one choose
# A worker computes and needs no secret that the environment may hold.
_PASSED_ON: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


class WorkerDied(Exception):
    """The process is gone: what it was asked last has no answer."""


class Worker:
    """Calls one function, ``module:name``, in another process. It starts at once, and starting takes some 0.1 s.

    Any thread may call; while one waits for its answer the next one's question is on its way already. The process
    ends with ``close``, and with this one, however that ends.
    """

    def __init__(self, function: str) -> None:
        """Raises WorkerDied where no process can be started."""
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-P", "-m", __name__, function),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={
                    **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                },
                # An interrupt from the terminal is for whoever asked.
                process_group=0 if os.name == "posix" else None,
            )
        except OSError as error:
            raise WorkerDied(f"No worker process can be started: {error.strerror}.") from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self._asking, self._answering = Lock(), Lock()
        for pipe in (self._questions, self._answers):
            _widen(pipe)

    def __call__(self, argument: object) -> Any:
        """What the function makes of it. Raises what the function raised, and WorkerDied."""
        question = _packed(argument)
        try:
            with self._asking:
                _write(self._questions, question)
                self._answering.acquire()  # before the next one asks: answers come in the order of questions
            try:
                done, answer = _read(self._answers)
            finally:
                self._answering.release()
        except BaseException as error:
            # Half a question or half an answer: what came next would be taken for somebody else's.
            self._process.kill()
            if not isinstance(error, Exception):
                raise
            raise WorkerDied(f"A worker process ended, exit status {self._process.poll()}.") from None
        if not done:
            raise answer
        return answer

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        with self._answering:
            self._answers.close()
        with self._asking, contextlib.suppress(OSError):  # half a question was still to be written
            self._questions.close()


def main() -> None:
    """Answer until nobody asks any more."""
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray word must not get among the answers
    while True:
        try:
            argument = _read(asked)
        except EOFError:
            return
        try:
            answer = True, function(argument)
        except Exception as error:
            answer = False, error
        _write(answers, _packed(answer))


def _packed(value: object) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_HEAD, "big") + data


def _write(pipe: IO[bytes], packed: bytes) -> None:
    """In one piece: each further call would have to wait for Python's lock."""
    pipe.write(packed)
    pipe.flush()


def _widen(pipe: IO[bytes]) -> None:
    """Give a pipe room for a whole question, where the system grants it."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


def _read(pipe: IO[bytes]) -> Any:
    head = pipe.read(_HEAD)
    size = int.from_bytes(head, "big")
    data = pipe.read(size) if len(head) == _HEAD else b""
    if len(data) < size or not data:
        raise EOFError
    return pickle.loads(data)  # noqa: S301 -- the other process is ours


if __name__ == "__main__":
    main()
