"""The models an agent can run now: known once its engine has started, gone while it fails, back when it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from bots.engines import Engine, Model
from bots.errors import ClawbotError

log = logging.getLogger(__name__)

_AGAIN_S = 60.0

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class ModelWatch:
    """Keeps ``models`` true. ``tell`` is called with a sentence when they change, ``spawn`` starts work."""

    def __init__(self, engine: Engine | None, tell: Callable[[str], None], spawn: Spawn) -> None:
        self.engine = engine
        self.models: Sequence[Model] = ()
        self._tell = tell
        self._spawn = spawn
        self._failed = False
        self._looking: asyncio.Task[None] | None = None
        self._again_s = 0.0  # when to look again, by the loop's clock; 0: no need

    async def start(self) -> None:
        """Start the engine, if there is one; what goes wrong is told, and tried again later."""
        if self.engine is None:
            return
        try:
            await self._take_up(self.engine)
        except ClawbotError as error:
            log.error("%s", error)
            self._tell(str(error))

    def renew(self) -> None:
        """Look at the engine's health: called a few times a second once ``start`` is over."""
        if self.engine is None or (self._looking and not self._looking.done()):
            return
        health, now = self.engine.health, asyncio.get_running_loop().time()
        recovered = self._failed and health.state == "ready"
        self._failed = health.state == "failed"
        if self.models and self._failed:
            self.models = ()
            self._tell(health.detail)
        if self.models:
            self._again_s = 0.0
        elif recovered or 0 < self._again_s <= now:
            self._looking = self._spawn(self._look(self.engine))
            self._again_s = now + _AGAIN_S
        elif not self._again_s:
            self._again_s = now + _AGAIN_S

    async def _look(self, engine: Engine) -> None:
        try:
            await self._take_up(engine)
        except ClawbotError as error:
            log.info("Still without a model: %s", error)
        if self.models:
            names = ", ".join(model.name for model in self.models)
            self._tell(f"The engine {engine.name} is there: {names}.")

    async def _take_up(self, engine: Engine) -> None:
        await engine.start()
        self.models = tuple(await engine.models())
