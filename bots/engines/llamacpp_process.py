"""One llama.cpp worker as the agent sees it: a child process, and the calls that are open in it."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import logging
import os
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

import bots
from bots.engines.llamacpp_messages import (
    MAX_REPORT_BYTES,
    Answer,
    Cancel,
    Canceled,
    Command,
    Done,
    Failed,
    Load,
    Ready,
    Report,
    Request,
    Unloadable,
)
from bots.errors import EngineError

log = logging.getLogger(__name__)

# The agent's environment may hold passwords: only these, and what tunes the runtime, reach the worker.
_PASSED_ON = frozenset({"PATH", "HOME", "USERPROFILE", "LANG", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT"})
_PASSED_ON_PREFIXES = (
    "LC_",
    "LD_LIBRARY_",
    "DYLD_LIBRARY_",
    "OMP_",
    "GOMP_",
    "KMP_",
    "GGML_",
    "CUDA_",
    "HIP_",
    "ROCR_",
    "VK_",
)
_LAST_WORDS = 20
_CLOSE_GRACE_S = 2.0


class Call:
    """One request in the worker. ``next`` yields its answers; after the last one ``ended`` is true."""

    def __init__(self, worker: LlamaCppProcess, id: int) -> None:
        self.id = id
        self.ended = False
        self.worker = worker
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()

    def put(self, answer: Answer | None) -> None:
        self._answers.put_nowait(answer)

    async def next(self) -> Answer:
        """The next answer. Raises EngineError ``engine.died`` once the worker is gone."""
        answer = await self._answers.get()
        if answer is None or isinstance(answer, Done | Failed | Canceled):
            self.ended = True
        if answer is None:
            raise EngineError("engine.died", self.worker.obituary)
        return answer

    async def finish(self) -> None:
        """Cancel the request and wait until the worker has let go of it, or is gone."""
        if not self.ended:
            self.worker.send(Cancel(self.id))
        with contextlib.suppress(EngineError):
            while not self.ended:
                await self.next()


class LlamaCppProcess:
    """A running worker that has loaded its model; made by ``launch``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._calls: dict[int, Call] = {}
        self._ids = itertools.count(1)
        self._encode = msgspec.json.Encoder().encode
        self._last_words: collections.deque[str] = collections.deque(maxlen=_LAST_WORDS)
        self._loaded: asyncio.Future[Ready | Unloadable | None] = asyncio.get_running_loop().create_future()
        self._hearing = asyncio.create_task(self._hear())
        self._listening = asyncio.create_task(self._collect_last_words())
        self.obituary = ""  # once it is gone: one sentence on how it ended
        self.on_gone: Callable[[], None] = lambda: None  # called once, before the open calls hear of it

    @classmethod
    async def launch(cls, load: Load, *, timeout_s: float) -> LlamaCppProcess:
        """Start a worker and have it load the model.

        Raises EngineError: ``engine.timeout``, ``engine.out_of_memory``, ``engine.bad_model``,
        ``engine.package_missing``, ``engine.died`` or ``engine.failed``; then nothing is left running.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # not whatever lies in the working directory
                "-m",
                "bots.engines.llamacpp_worker",
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(os.environ),
                limit=MAX_REPORT_BYTES,
            )
        except OSError as error:
            reason = error.strerror or "unknown reason"
            raise EngineError("engine.failed", f"The model worker cannot be started: {reason}.") from error
        worker = cls(process)
        with tempfile.TemporaryDirectory(prefix="clawnet-", ignore_cleanup_errors=True) as hideaway:
            try:
                worker.send(msgspec.structs.replace(load, hideaway=hideaway))
                async with asyncio.timeout(timeout_s):
                    loaded = await worker._loaded
            except TimeoutError:
                await worker.close(grace_s=0)
                raise EngineError(
                    "engine.timeout",
                    f"The model was not loaded within {timeout_s:g} s.",
                    "Try a smaller model.",
                ) from None
            except BaseException:
                await worker.close(grace_s=0)
                raise
        if isinstance(loaded, Ready):
            return worker
        await worker.close()
        if loaded is None:
            raise EngineError("engine.died", worker.obituary)
        raise worker._unloadable(loaded)

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self, request: Request) -> Call:
        """Begin a request; its id must come from ``new_id``."""
        call = Call(self, request.id)
        if self.obituary:
            call.put(None)
        else:
            self._calls[request.id] = call
            self.send(request)
        return call

    def new_id(self) -> int:
        return next(self._ids)

    def send(self, command: Command) -> None:
        """Say something to the worker. A worker that is gone hears nothing: ``wait`` and the calls tell."""
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(self._encode(command) + b"\n")

    async def wait(self) -> None:
        """Until the worker is gone and its calls know; ``obituary`` says how it ended."""
        await asyncio.wait({self._hearing})

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self, *, grace_s: float = _CLOSE_GRACE_S) -> None:
        """End the worker: by closing its input, and after ``grace_s`` seconds by force."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait({self._hearing}, timeout=grace_s)
        if not self._hearing.done():
            self.kill()
            await asyncio.wait({self._hearing})
        self._listening.cancel()
        await asyncio.wait({self._listening})

    async def _hear(self) -> None:
        """Hand every report to its call, until the worker is gone."""
        assert self._process.stdout is not None
        decode = msgspec.json.Decoder(Report).decode
        try:
            while line := await self._process.stdout.readline():
                report = decode(line)
                if isinstance(report, Ready | Unloadable):
                    self._tell(report)
                elif (call := self._calls.get(report.id)) is not None:
                    if isinstance(report, Done | Failed | Canceled):
                        del self._calls[report.id]
                    call.put(report)
        except (ValueError, msgspec.MsgspecError):
            log.exception("the llama.cpp worker said what cannot be understood")
            self.kill()
        status = await self._process.wait()
        await asyncio.wait({self._listening}, timeout=_CLOSE_GRACE_S)
        self.obituary = _obituary(status)
        if status != 0 and self._last_words:
            log.warning("last words of the llama.cpp worker: %s", " | ".join(self._last_words))
        self.on_gone()
        self._tell(None)
        for call in self._calls.values():
            call.put(None)
        self._calls.clear()

    def _tell(self, loaded: Ready | Unloadable | None) -> None:
        if not self._loaded.done():
            self._loaded.set_result(loaded)

    async def _collect_last_words(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(4096):
            lines = chunk.decode(errors="replace").splitlines()
            self._last_words.extend(line[:300] for line in lines if line.strip())

    def _unloadable(self, loaded: Unloadable) -> EngineError:
        code, message, hint = loaded.code, loaded.message, loaded.hint
        if code == "engine.bad_model" and any("alloc" in words for words in self._last_words):
            code, message = "engine.out_of_memory", "There is not enough memory for the model."
            hint = "Try a smaller model, or a smaller context."
        return EngineError(code, message, hint, retryable=code != "engine.bad_model")


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    environment = {
        # How often a thread looks before it sleeps. libgomp's own choice costs three quarters of the speed
        # as soon as another process wants a core; not to look at all costs a twelfth when none does.
        "GOMP_SPINCOUNT": "300",
        # An abort shall end the worker, not start a debugger.
        "GGML_NO_BACKTRACE": "1",
    }
    environment |= {
        name: value for name, value in ours.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    # The worker must find the same package, be it installed or not.
    roots = [str(Path(entry).parent) for entry in bots.__path__]
    search = [root for root in roots if root not in sysconfig.get_paths().values()]
    search += filter(None, [ours.get("PYTHONPATH")])
    return environment | ({"PYTHONPATH": os.pathsep.join(search)} if search else {})


def _obituary(status: int) -> str:
    if status == -getattr(signal, "SIGKILL", 9):
        return "The model worker was killed, perhaps because memory ran out."
    if status < 0:
        return f"The model worker died of signal {-status} ({signal.strsignal(-status) or 'unknown'})."
    return "The model worker was stopped." if status == 0 else f"The model worker failed with status {status}."
