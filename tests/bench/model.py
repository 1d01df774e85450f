"""Tokens a second through the mesh, against the engine alone: the same model, prompt and greedy tokens, in turns.

Both are timed from the call until the whole text is there; through the mesh that is the accepted, signed result.
Each turn through the mesh is held against the mean of the turns before and after it.
"""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

from bots.api import Clawnet
from bots.engines import Completion, Sampling
from bots.engines.llamacpp import LlamaCppEngine
from clawnet_proto.families import task
from clawnet_proto.families.task_prompt import render
from tests.bench import Report, Row
from tests.bench._scene import Scene, acquainted, completed, parameters, quiet

_TURNS = 5
_TOKENS = 200
_QUESTION = "Write down the history of the world, as long as you can."
_STAGE = task.Stage(
    id="story",
    kind="generate",
    prompt=(task.DataPart(source="question", form="line"), task.TextPart(text="\n\nChapter 1\n\n")),
    parameters=parameters(_TOKENS),
)


async def run(report: Report) -> None:
    bare = LlamaCppEngine()
    try:
        async with Scene() as scene:
            await scene.agent("bert", engine="llamacpp")
            await bare.start()
            (model,) = await bare.models()
            net = await scene.requester()
            (did,) = await acquainted(net, _STAGE, 1)
            await _alone(bare, model.name)
            await _through(net, did)
            alone, meshed = [await _alone(bare, model.name)], []
            for _ in range(_TURNS):
                meshed.append(await _through(net, did))
                alone.append(await _alone(bare, model.name))
    finally:
        await bare.close()
    if len({text for text, _ in alone + meshed}) != 1:
        raise RuntimeError("the mesh gave another text than the engine alone")
    speeds, yardsticks = [speed for _, speed in meshed], [speed for _, speed in alone]
    report.add(
        Row(
            name=f"generation of {_TOKENS} tokens through the mesh",
            figure=statistics.median(speeds),
            unit="tokens/s",
            yardstick="the engine alone",
            yardstick_figure=statistics.median(yardsticks),
            ratio=statistics.median(
                speed / statistics.mean(pair) for speed, pair in zip(speeds, pairwise(yardsticks), strict=True)
            ),
            at_least=0.95,
        )
    )


async def _through(net: Clawnet, did: str) -> tuple[str, float]:
    """The mesh's text, and tokens a second."""
    start = time.perf_counter()
    ended = await completed(net, [_STAGE], _QUESTION, to=did)
    speed = ended.stages[0].output_tokens / (time.perf_counter() - start)
    await quiet(net)
    return ended.text, speed


async def _alone(engine: LlamaCppEngine, model: str) -> tuple[str, float]:
    """The engine's text, and tokens a second."""
    prompt = render(_STAGE, {"question": _QUESTION})
    start = time.perf_counter()
    async for item in engine.generate(model, prompt, Sampling(max_tokens=_TOKENS), timeout_s=120):
        if isinstance(item, Completion):
            if item.output_tokens < _TOKENS:
                raise RuntimeError(f"the engine ended after {item.output_tokens} tokens")
            return item.text, item.output_tokens / (time.perf_counter() - start)
    raise RuntimeError("the engine ended without a result")
