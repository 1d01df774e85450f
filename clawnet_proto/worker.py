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

# A worker computes and needs no secret that the environment may hold.
_HEAD: Final = 8  # bytes
_PIPE: Final = 1 << 20  # bytes, where the system lets one choose
_PASSED_ON: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


class WorkerDied(Exception):
    """The process is gone: what it was asked last has no answer."""


class Worker:
    """Calls one function, ``module:name``, in another process. It starts at once, and starting takes some 0.1 s.

    Any thread may call; while one waits for its answer the next one's question is on its way already. The process
    ends with ``close``, and with this one, however that ends.
    """

    def __init__(self, function: str) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-P", "-m", __name__, function),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE,
            env={
                **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            # An interrupt from the terminal is for whoever asked.
            process_group=0 if os.name == "posix" else None,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self._asking, self._answering = Lock(), Lock()

    def __call__(self, argument: object) -> Any:
        """What the function makes of it. Raises what the function raised, and WorkerDied."""
        try:
            with self._asking:
                _write(self._questions, argument)
                self._answering.acquire()  # before the next one asks: answers come in the order of questions
            try:
                done, answer = _read(self._answers)
            finally:
                self._answering.release()
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
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
        _write(answers, answer)


def _write(pipe: IO[bytes], value: object) -> None:
    """In one piece: each further call would have to wait for Python's lock."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    pipe.write(len(data).to_bytes(_HEAD, "big") + data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> Any:
    head = pipe.read(_HEAD)
    size = int.from_bytes(head, "big")
    data = pipe.read(size) if len(head) == _HEAD else b""
    if len(data) < size or not data:
        raise EOFError
    return pickle.loads(data)  # noqa: S301 -- the other process is ours


if __name__ == "__main__":
    main()
