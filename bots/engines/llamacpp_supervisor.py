"""Keeps one llama.cpp worker alive: a worker that dies is started anew, a bounded number of times."""

from __future__ import annotations

import asyncio
import collections
import logging
from typing import Literal

import msgspec

from bots.engines.llamacpp_messages import Load
from bots.engines.llamacpp_process import LlamaCppProcess
from bots.errors import EngineError

log = logging.getLogger(__name__)

State = Literal["stopped", "starting", "ready", "failed"]


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a worker that dies is started anew: ``restarts`` times within ``window_s`` seconds.

    The first waits ``first_delay_s`` seconds, each next one in the window twice as long.
    """

    restarts: int = 5
    window_s: float = 300.0
    first_delay_s: float = 0.25
    max_delay_s: float = 10.0

    def delay_s(self, deaths: int) -> float:
        """How long to wait after the given number of deaths in the window, 1 at least."""
        return min(self.first_delay_s * 2.0 ** (deaths - 1), self.max_delay_s)


class Supervisor:
    """Owns the worker. ``state`` and ``detail`` say how it is, ``restarts`` how often it was started anew."""

    def __init__(self, policy: RestartPolicy, *, startup_timeout_s: float) -> None:
        self.state: State = "stopped"
        self.detail = ""
        self.restarts = 0
        self._policy = policy
        self._startup_timeout_s = startup_timeout_s
        self._worker: asyncio.Future[LlamaCppProcess] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def worker(self) -> LlamaCppProcess | None:
        """The worker, if one is ready now."""
        return self._worker.result() if self.state == "ready" and self._worker is not None else None

    async def start(self, load: Load) -> None:
        """Start a worker and wait until it has loaded the model. Raises EngineError, see ``launch``."""
        self.state, self.detail, self.restarts = "starting", "", 0
        self._worker = asyncio.get_running_loop().create_future()
        try:
            worker = await LlamaCppProcess.launch(load, timeout_s=self._startup_timeout_s)
        except EngineError as error:
            self._fail(error)
            raise
        except BaseException:
            self._worker.cancel()
            self.state = "stopped"
            raise
        self._rise(worker)
        self._watching = asyncio.create_task(self._watch(worker, load))

    def give_up(self, error: EngineError) -> None:
        """There is nothing to start: whoever wants a worker gets this error."""
        self._worker = asyncio.get_running_loop().create_future()
        self._fail(error)

    async def ready(self) -> LlamaCppProcess:
        """The worker, once it has loaded the model. Raises the EngineError that keeps it from that."""
        waiting = self._worker
        if waiting is None:
            raise EngineError("engine.stopped", "The llama.cpp engine is not running.")
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if waiting.cancelled():
                raise EngineError("engine.stopped", "The llama.cpp engine was stopped.") from None
            raise

    async def close(self) -> None:
        """End the worker and all watching; idempotent."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})
        worker, waiting = self.worker, self._worker
        self.state, self._worker = "stopped", None
        if worker is not None:
            await worker.close()
        elif waiting is not None:
            waiting.cancel()

    async def _watch(self, worker: LlamaCppProcess, load: Load) -> None:
        deaths: collections.deque[float] = collections.deque()
        while True:
            await worker.wait()
            log.warning("%s", worker.obituary)
            next_worker = await self._relaunch(deaths, load)
            if next_worker is None:
                return
            worker = next_worker
            self._rise(worker)

    async def _relaunch(self, deaths: collections.deque[float], load: Load) -> LlamaCppProcess | None:
        """A new worker, or None once the policy allows no more; failing to start counts as a death."""
        loop = asyncio.get_running_loop()
        while True:
            deaths.append(loop.time())
            while deaths[0] <= loop.time() - self._policy.window_s:
                deaths.popleft()
            if len(deaths) > self._policy.restarts:
                text = f"The model worker failed {len(deaths)} times in short order. {self.detail}"
                self._fail(EngineError("engine.failed", text, "See the agent's log."))
                return None
            await asyncio.sleep(self._policy.delay_s(len(deaths)))
            self.restarts += 1
            try:
                return await LlamaCppProcess.launch(load, timeout_s=self._startup_timeout_s)
            except EngineError as error:
                self.detail = error.message
                log.warning("the model worker could not be started anew: %s", error)

    def _rise(self, worker: LlamaCppProcess) -> None:
        assert self._worker is not None
        self._worker.set_result(worker)
        self.state, self.detail = "ready", ""
        log.info("llama.cpp worker %d is ready", worker.pid)
        worker.on_gone = lambda: self._fall(worker)
        if worker.obituary:
            self._fall(worker)

    def _fall(self, worker: LlamaCppProcess) -> None:
        """From now on whoever wants a worker waits for the next one."""
        if self.state == "ready":
            self.state, self.detail = "starting", worker.obituary
            self._worker = asyncio.get_running_loop().create_future()

    def _fail(self, error: EngineError) -> None:
        assert self._worker is not None
        self._worker.set_exception(error)
        self._worker.exception()  # nobody need be waiting
        self.state, self.detail = "failed", error.message
