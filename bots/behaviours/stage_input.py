"""What a stage reads, wherever it is: in the request, in earlier results, sealed in the award, or stored apart."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from bots.behaviours import Context, long_texts
from bots.behaviours.job import Job
from bots.errors import EngineError
from clawnet_proto import sealed_text as sealed
from clawnet_proto.artifact import Artifact
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.wire import present


async def read_inputs(
    context: Context, job: Job, view: TaskView, spec: task.Stage
) -> tuple[dict[str, str], list[task.InputDigest]]:
    """The texts a stage reads and their digests, what is stored elsewhere fetched.

    Raises RemoteProtocolError if a sealed one does not open, Unavailable if one can not be had.
    """
    texts: dict[str, str] = {}
    digests: list[task.InputDigest] = []
    given = {item.source: item for item in present(job.award.body.inputs, ())}
    left = context.config.limits.prompt_bytes
    for source in spec.sources:
        expected = str(view.output_digest(source))
        item = given.get(source)
        artifact = item.artifact if item is not None else _stored(view, source)
        if artifact is not UNSET:
            # Whoever asks shall not make us fetch more than we would read.
            text = await _fetch(context, job, source, artifact, expected, left, private=item is not None)
            left -= len(text.encode(errors="replace"))
        elif item is not None:
            info = sealed.input_info(job.task, job.stage, job.attempt, source)
            text = sealed.unseal(context.identity.seal, present(item.sealed, ""), info, expected).text
        else:
            known = view.output_text(source)
            if known is None:
                raise RemoteProtocolError("sealed.unreadable", source)
            text = known
        texts[source] = text
        digests.append(task.InputDigest(source=source, digest=expected))
    return texts, digests


async def _fetch(
    context: Context, job: Job, source: str, artifact: Artifact, expected: str, most: int, *, private: bool
) -> str:
    smallest = artifact.bytes // 6 - 512 if private else artifact.bytes
    if smallest > most:
        raise EngineError("prompt.too_large", f"{source} has more than {max(0, most)} bytes.", retryable=False)
    if not private:
        return await long_texts.fetch(context.artifacts, artifact, expected, most)
    info = sealed.input_info(job.task, job.stage, job.attempt, source)
    secret = await long_texts.fetch_sealed(context.artifacts, artifact, context.identity.seal, info, expected, most)
    return secret.text


def _stored(view: TaskView, source: str) -> Artifact | UnsetType:
    """Where the output of a stage is stored, if it was too long for its result."""
    stage = view.stages.get(source)
    accepted = stage.accepted if stage else None
    return accepted.body.artifact if accepted is not None else UNSET
