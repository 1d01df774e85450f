"""One stage on one engine: pieces of text as they come, then the whole output."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

import msgspec

from bots.behaviours import Context
from bots.behaviours.presence import kinds_of
from bots.engines import Completion, Message, Model, Sampling
from bots.errors import EngineError
from bots.ranking import model_fits
from clawnet_proto import base64url
from clawnet_proto.families import presence, task


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage gave."""

    text: str
    finish: Literal["stop", "length"]
    usage: task.Usage
    media_type: str = "text/plain"
    model_digest: str = ""


def choose_model(context: Context, stage: task.Stage) -> Model | None:
    """The first of our models, in the engine's order, that the owner lends out and the stage can use."""
    lent = context.config.limits.models
    for model in context.models:
        card = presence.ModelCard(
            name=model.name[:64],
            digest=model.digest or msgspec.UNSET,
            context_tokens=model.context_tokens,
            kinds=kinds_of(chat=model.chat, embed=model.embed),
        )
        if (not lent or model.name in lent) and model_fits(card, stage):
            return model
    return None


class StageRun:
    """Runs one stage; ``output`` is there once ``pieces`` is exhausted. Raises EngineError."""

    def __init__(self, context: Context, stage: task.Stage, model: Model | None, prompt: str) -> None:
        self._context = context
        self._stage = stage
        self._model = model
        self._prompt = prompt
        self.tokens = 0
        self.output: Output | None = None

    async def pieces(self) -> AsyncGenerator[str, None]:
        """Text as it comes."""
        if self._stage.kind == "echo":
            self.output = Output(text=self._prompt, finish="stop", usage=_usage())
            return
        engine, model = self._context.engine, self._model
        if engine is None or model is None:
            raise EngineError("engine.model_missing", "This agent has no model for that.", retryable=True)
        timeout_s = float(self._context.config.limits.stage_seconds)
        if self._stage.kind == "embed":
            vectors = await engine.embed(model.name, [self._prompt], timeout_s=timeout_s)
            self.output = Output(
                text=base64url.encode(struct.pack(f"<{len(vectors[0])}f", *vectors[0])),
                finish="stop",
                usage=_usage(),
                media_type="application/vnd.clawnet.float32",
                model_digest=model.digest,
            )
            return
        parameters = self._stage.parameters
        sampling = Sampling(
            max_tokens=parameters.max_tokens,
            temperature_milli=parameters.temperature_milli,
            top_p_milli=parameters.top_p_milli,
            seed=parameters.seed,
            stop=parameters.stop,
        )
        if self._stage.kind == "chat":
            stream = engine.chat(model.name, [Message("user", self._prompt)], sampling, timeout_s=timeout_s)
        else:
            stream = engine.generate(model.name, self._prompt, sampling, timeout_s=timeout_s)
        # Whoever stops listening stops the engine's work with it.
        async with aclosing(stream):
            async for item in stream:
                if isinstance(item, Completion):
                    self.output = _output(item, model.digest)
                    return
                self.tokens += 1
                yield item
        raise EngineError("engine.failed", "The engine ended without a result.")


def _usage() -> task.Usage:
    return task.Usage(prompt_tokens=0, output_tokens=0, queued_ms=0, prompt_ms=0, generate_ms=0)


def _output(completion: Completion, model_digest: str) -> Output:
    return Output(
        text=completion.text,
        finish=completion.finish,
        model_digest=model_digest,
        usage=task.Usage(
            prompt_tokens=completion.prompt_tokens,
            output_tokens=completion.output_tokens,
            queued_ms=completion.queued_ms,
            prompt_ms=completion.prompt_ms,
            generate_ms=completion.generate_ms,
        ),
    )
