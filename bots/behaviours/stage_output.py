"""What a stage gave, as its result: inline, stored apart if that is too long, or cut (spec/08-task.md, TASK-38)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from bots.artifacts import Unavailable
from bots.behaviours import Context, long_texts
from bots.behaviours.job import Job, is_sealed, seal_key
from bots.behaviours.stage_run import Output
from bots.errors import EngineError
from clawnet_proto import sealed_text as sealed
from clawnet_proto.errors import LocalProtocolError
from clawnet_proto.families import task
from clawnet_proto.rendering import short
from clawnet_proto.signing import digest
from clawnet_proto.specification import LIMITS

log = logging.getLogger(__name__)


class StageOutput:
    """The output of a job. ``name`` is that of the model or UNSET, ``post`` posts the result to the room."""

    def __init__(
        self, context: Context, job: Job, spec: task.Stage, inputs: Sequence[task.InputDigest], output: Output,
        name: Any, post: Callable[[task.Result], None],
    ) -> None:  # fmt: skip
        self._context = context
        self._job = job
        self._spec = spec
        self._inputs = inputs
        self._output = output
        self._name = name
        self._post = post

    async def post(self) -> None:
        """Post the result: its text inline, else as an artifact, else cut."""
        output = self._output
        text = output.text.encode()[: LIMITS.inline_text_bytes].decode(errors="ignore")
        posted = (text == output.text and self._post_inline(text)) or await self._post_stored()
        while not posted:
            posted = self._post_inline(text)
            if not posted and len(text) < 2:
                raise EngineError("result.unsayable", "The result does not fit into a message.", retryable=False)
            text = text[: len(text) * 3 // 4]

    def _post_inline(self, text: str) -> bool:
        """Whether the text fitted; text that escapes badly can outgrow the carrier."""
        job, output = self._job, self._output
        if is_sealed(self._context, self._job):
            secret = sealed.Secret.of(text)
            info = sealed.output_info(job.task, job.stage, job.attempt)
            content: dict[str, Any] = {"sealed": secret.sealed_to(seal_key(self._context, self._job), info)}
            content["output_digest"] = secret.digest
        else:
            content = {"text": text, "output_digest": digest(text.encode())}
        finish = "length" if len(text) < len(output.text) else output.finish
        try:
            self._post(self._result(finish, content))
        except LocalProtocolError as error:
            if not error.code.startswith(("size.", "schema.")):
                raise
            return False
        return True

    async def _post_stored(self) -> bool:
        """Whether the text could be stored as an artifact; a room without a chunk store gets it cut."""
        job, output = self._job, self._output
        context, requester = self._context, job.award.sender
        try:
            if is_sealed(context, job):
                secret = sealed.Secret.of(output.text)
                info = sealed.output_info(job.task, job.stage, job.attempt)
                artifact = await long_texts.store_sealed(
                    context, job.room, requester, secret, seal_key(context, job), info
                )
                output_digest = secret.digest
            else:
                artifact = await long_texts.store(context, job.room, requester, output.text)
                output_digest = artifact.digest
        except Unavailable as error:
            log.warning("the output of %s of task %s is cut: %s", job.stage, short(job.task), error)
            return False
        content = {"artifact": artifact, "output_digest": output_digest}
        self._post(self._result(output.finish, content))
        return True

    def _result(self, finish: Any, content: dict[str, Any]) -> task.Result:
        job, output = self._job, self._output
        return task.Result(
            stage=job.stage, attempt=job.attempt, award=job.award.id, inputs=tuple(self._inputs), model=self._name,
            model_digest=output.model_digest or UNSET, parameters=self._spec.parameters, media_type=output.media_type,
            finish=finish, usage=output.usage, **content,
        )  # fmt: skip
