"""What the messages of one task hold: the digests that chain its outputs, and what is sealed for whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET, UnsetType

from clawnet_proto import sealed_text as sealed
from clawnet_proto.families import task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from tui.sources.synthetic.cast import Actor, Engine
from tui.sources.synthetic.texts import STAGES

_QUESTION: Final = "question"
_LEASE_MS: Final = 60_000


class Papers:
    """The bodies of one task's messages, made in the order of its life. ``private``: texts are sealed."""

    def __init__(self, requester: Actor, *, private: bool) -> None:
        self.task = ""  # the id of the request, once it is signed
        self.awards: dict[str, Message] = {}  # by stage, the latest
        self.digests: dict[str, str] = {}  # by source: the question, and each stage that has an output
        self._requester = requester
        self._private = private
        self._secrets: dict[str, sealed.Secret] = {}
        self._accepted: list[task.Accepted] = []

    def request(
        self, question: str, names: Sequence[str], *, seed: int, behalf: task.OnBehalfOf | UnsetType
    ) -> task.Request:
        self._keep(_QUESTION, question)
        text = UNSET if self._private else question
        return task.Request(
            title="A private question" if self._private else question[:300],
            inputs=(task.Input(name=_QUESTION, digest=self.digests[_QUESTION], text=text),),
            stages=_stages(names, seed),
            privacy="sealed" if self._private else "public",
            lease_ms=_LEASE_MS,
            hops=0,
            on_behalf_of=behalf,
        )

    def award(self, stage: task.Stage, attempt: int, executor: Actor) -> task.Award:
        inputs: Any = UNSET
        if self._private:
            inputs = tuple(
                task.SealedInput(
                    source=source,
                    digest=self.digests[source],
                    sealed=self._secrets[source].sealed_to(
                        executor.seal_key.public, sealed.input_info(self.task, stage.id, attempt, source)
                    ),
                )
                for source in stage.sources
            )
        return task.Award(stage=stage.id, attempt=attempt, lease_ms=_LEASE_MS, inputs=inputs)

    def progress(self, stage: str, attempt: int, index: int, tokens: int, offset: int, text: str) -> task.Progress:
        content: dict[str, Any] = {"text": text}
        if self._private:
            info = sealed.progress_info(self.task, stage, attempt, index)
            content = {"sealed": sealed.Secret.of(text).sealed_to(self._requester.seal_key.public, info)}
        return task.Progress(stage=stage, attempt=attempt, index=index, tokens=tokens, offset=offset, **content)

    def result(self, stage: task.Stage, attempt: int, text: str, engine: Engine, usage: task.Usage) -> task.Result:
        self._keep(stage.id, text)
        content: dict[str, Any] = {"text": text}
        if self._private:
            info = sealed.output_info(self.task, stage.id, attempt)
            content = {"sealed": self._secrets[stage.id].sealed_to(self._requester.seal_key.public, info)}
        return task.Result(
            stage=stage.id,
            attempt=attempt,
            award=self.awards[stage.id].id,
            inputs=tuple(task.InputDigest(source=source, digest=self.digests[source]) for source in stage.sources),
            model=engine.card.name,
            model_digest=engine.card.digest,
            parameters=stage.parameters,
            output_digest=self.digests[stage.id],
            media_type="text/plain",
            finish="stop",
            usage=usage,
            **content,
        )

    def accept(self, result: Message) -> None:
        """The requester takes this result."""
        body = result.body
        self._accepted.append(
            task.Accepted(
                stage=body.stage, attempt=body.attempt, executor=result.sender, result=result.id,
                output_digest=body.output_digest,
            )
        )  # fmt: skip

    def close(self, failure: str = "") -> task.Close:
        """The receipt, or why there is none."""
        return task.Close(
            outcome="failed" if failure else "completed",
            accepted=tuple(self._accepted),
            executions=len(self._accepted),
            code="stage.failed" if failure else UNSET,
            message=failure or UNSET,
        )

    def _keep(self, source: str, text: str) -> None:
        if self._private:
            secret = self._secrets[source] = sealed.Secret.of(text)
            self.digests[source] = secret.digest
        else:
            self.digests[source] = digest(text.encode())


def _stages(names: Sequence[str], seed: int) -> tuple[task.Stage, ...]:
    """Stages of ``texts.STAGES``, each reading the question and what it knows of what stands before it."""
    made = []
    for place, name in enumerate(names):
        told, reads = STAGES[name]
        sources = (_QUESTION, *(read for read in reads if read in names[:place]))
        made.append(
            task.Stage(
                id=name,
                kind="chat",
                prompt=(task.TextPart(text=told), *(task.DataPart(source=read, form="block") for read in sources)),
                parameters=task.Parameters(max_tokens=256, temperature_milli=700, top_p_milli=950, seed=seed, stop=()),
            )
        )
    return tuple(made)
