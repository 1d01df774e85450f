"""The ``task`` family's messages (spec/08-task.md). Its state machine is ``task_state``.

A request carries inputs and a graph of stages; everything after it names the stage and the attempt it speaks of.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from clawnet_proto.artifact import Artifact
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.presence import StageKind
from clawnet_proto.signing import digest
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import (
    Attempt,
    Count,
    Did,
    Digest,
    Line,
    Name,
    Record,
    Sealed,
    Text,
    Token,
    Uri,
    present,
)

# Only a request names stages; everything else refers to them.
StageRef = Annotated[str, Meta(min_length=1, max_length=32)]
StageId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z", max_length=32)]


class TextPart(Record, frozen=True, kw_only=True, tag_field="part", tag="text"):
    """Words of the requester, put into the prompt as they are."""

    text: Text


class DataPart(Record, frozen=True, kw_only=True, tag_field="part", tag="data"):
    """The text of an input or of an earlier stage, put into the prompt as delimited data."""

    source: StageRef
    form: Literal["line", "block"]


class Parameters(Record, frozen=True, kw_only=True):
    """How to choose tokens; fractions in thousandths."""

    max_tokens: Annotated[int, Meta(ge=1, le=8192)]
    temperature_milli: Annotated[int, Meta(ge=0, le=5000)]
    top_p_milli: Annotated[int, Meta(ge=1, le=1000)]
    seed: Annotated[int, Meta(ge=0, le=4294967295)]
    stop: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=8)]


class Needs(Record, frozen=True, kw_only=True):
    """What a stage needs of whoever runs it."""

    model: Name | UnsetType = UNSET  # a model's name
    model_digest: Annotated[str, Meta(max_length=71)] | UnsetType = UNSET
    context_tokens: Count | UnsetType = UNSET
    memory_mib: Count | UnsetType = UNSET


class Stage(Record, frozen=True, kw_only=True):
    """One piece of work: its prompt's data parts say whose output is its input."""

    id: StageId
    kind: StageKind
    prompt: Annotated[tuple[TextPart | DataPart, ...], Meta(min_length=1, max_length=32)]
    parameters: Parameters
    needs: Needs | UnsetType = UNSET

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the inputs and stages it reads, in order, each once."""
        return tuple(dict.fromkeys(part.source for part in self.prompt if isinstance(part, DataPart)))


class Input(Record, frozen=True, kw_only=True):
    """An input of the task: its text, or only its digest when it is sealed to whoever is awarded."""

    name: StageId
    digest: Digest
    text: Text | UnsetType = UNSET


class Preferences(Record, frozen=True, kw_only=True):
    """Whom the requester would rather have, in order; never a requirement."""

    models: Annotated[tuple[Name, ...], Meta(max_length=8)] | UnsetType = UNSET
    roles: Annotated[tuple[Token, ...], Meta(max_length=8)] | UnsetType = UNSET
    regions: Annotated[tuple[Token, ...], Meta(max_length=8)] | UnsetType = UNSET
    trusted: Annotated[tuple[Did, ...], Meta(max_length=16)] | UnsetType = UNSET


class OnBehalfOf(Record, frozen=True, kw_only=True):
    """A person without a key: the homeserver vouches for the address, the agent signs."""

    address: Uri
    event: Annotated[str, Meta(min_length=1, max_length=255)]
    text_digest: Digest


def _check_text(text: str | UnsetType, expected: str) -> None:
    """An inline text is bounded in bytes and has the digest that stands beside it."""
    if text is UNSET:
        return
    data = text.encode()
    if len(data) > LIMITS.inline_text_bytes:
        raise RemoteProtocolError("schema.body", "text too long")
    if digest(data) != expected:
        raise RemoteProtocolError("digest.mismatch")


def _check_artifact(artifact: Artifact | UnsetType) -> None:
    if artifact is not UNSET:
        artifact.check()


class Request(Record, frozen=True, kw_only=True):
    """``task.request``: opens the thread."""

    title: Line
    inputs: Annotated[tuple[Input, ...], Meta(min_length=1, max_length=8)]
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1, max_length=16)]
    privacy: Literal["public", "sealed"]
    lease_ms: Annotated[int, Meta(ge=1000, le=3600000)]
    hops: Annotated[int, Meta(ge=0, le=8)]
    parent: Digest | UnsetType = UNSET
    preferences: Preferences | UnsetType = UNSET
    on_behalf_of: OnBehalfOf | UnsetType = UNSET

    def check(self) -> None:
        known: set[str] = set()
        for item in self.inputs:
            if item.name in known:
                raise RemoteProtocolError("schema.body", f"two inputs {item.name}")
            known.add(item.name)
        # A stage reads inputs and stages that stand before it, so the graph has no cycles.
        for stage in self.stages:
            if stage.id in known:
                raise RemoteProtocolError("schema.body", f"two sources {stage.id}")
            for part in stage.prompt:
                if isinstance(part, DataPart) and part.source not in known:
                    raise RemoteProtocolError("schema.body", f"{stage.id} reads {part.source}")
            known.add(stage.id)
        for item in self.inputs:
            if (item.text is UNSET) != (self.privacy == "sealed"):
                raise RemoteProtocolError("schema.body", "privacy")
            _check_text(item.text, item.digest)

    def stage(self, name: str) -> Stage | None:
        """The stage of this name."""
        return next((stage for stage in self.stages if stage.id == name), None)


class StageOffer(Record, frozen=True, kw_only=True):
    """One stage the sender would run."""

    stage: StageRef
    model: Name | UnsetType = UNSET
    model_digest: Annotated[str, Meta(max_length=71)] | UnsetType = UNSET
    wait_ms: Count  # until it could start


class Offer(Record, frozen=True, kw_only=True):
    """``task.offer``: answers the request."""

    stages: Annotated[tuple[StageOffer, ...], Meta(min_length=1, max_length=16)]


class SealedInput(Record, frozen=True, kw_only=True):
    """An input sealed to the awarded agent (HPKE; spec/08-task.md)."""

    source: StageRef
    digest: Digest
    sealed: Sealed | UnsetType = UNSET
    artifact: Artifact | UnsetType = UNSET


class Award(Record, frozen=True, kw_only=True):
    """``task.award``: answers the request; its one recipient is the executor."""

    stage: StageRef
    attempt: Attempt
    lease_ms: Annotated[int, Meta(ge=1000, le=3600000)]
    inputs: Annotated[tuple[SealedInput, ...], Meta(min_length=1, max_length=16)] | UnsetType = UNSET

    def check(self) -> None:
        for item in present(self.inputs, ()):
            if (item.sealed is UNSET) == (item.artifact is UNSET):
                raise RemoteProtocolError("schema.body", "one of sealed and artifact")
            _check_artifact(item.artifact)


class Start(Record, frozen=True, kw_only=True):
    """``task.start``: answers the award; the executor began, and its lease is renewed."""

    stage: StageRef
    attempt: Attempt
    model: Name | UnsetType = UNSET


class Progress(Record, frozen=True, kw_only=True):
    """``task.progress``: answers the award; ``text`` begins at ``offset`` code points of the output."""

    stage: StageRef
    attempt: Attempt
    index: Count
    tokens: Count
    offset: Count
    text: Text | UnsetType = UNSET
    sealed: Sealed | UnsetType = UNSET


class Ask(Record, frozen=True, kw_only=True):
    """``task.ask``: the executor needs a word from the requester."""

    stage: StageRef
    attempt: Attempt
    question: Text


class Reply(Record, frozen=True, kw_only=True):
    """``task.reply``: answers the ask."""

    stage: StageRef
    attempt: Attempt
    text: Text


class InputDigest(Record, frozen=True, kw_only=True):
    """What a result was computed from."""

    source: StageRef
    digest: Digest


class Usage(Record, frozen=True, kw_only=True):
    """Tokens and times a stage took, by the executor's clock."""

    prompt_tokens: Count
    output_tokens: Count
    queued_ms: Count
    prompt_ms: Count
    generate_ms: Count


class Result(Record, frozen=True, kw_only=True):
    """``task.result``: answers the award, or the last reply."""

    stage: StageRef
    attempt: Attempt
    award: Digest
    inputs: Annotated[tuple[InputDigest, ...], Meta(max_length=16)]
    model: Name | UnsetType = UNSET
    model_digest: Annotated[str, Meta(max_length=71)] | UnsetType = UNSET
    parameters: Parameters
    output_digest: Digest
    text: Text | UnsetType = UNSET
    sealed: Sealed | UnsetType = UNSET
    artifact: Artifact | UnsetType = UNSET
    media_type: Annotated[str, Meta(min_length=3, max_length=64)]
    finish: Literal["stop", "length"]
    usage: Usage

    def check(self) -> None:
        if sum(output is not UNSET for output in (self.text, self.sealed, self.artifact)) != 1:
            raise RemoteProtocolError("schema.body", "one of text, sealed and artifact")
        _check_text(self.text, self.output_digest)
        _check_artifact(self.artifact)


class Fail(Record, frozen=True, kw_only=True):
    """``task.fail``: answers the award, or the last reply. The code ``declined`` rejects an award unstarted."""

    stage: StageRef
    attempt: Attempt
    code: Token
    message: Line
    retryable: bool


class Cancel(Record, frozen=True, kw_only=True):
    """``task.cancel``: answers the request; nobody works on the task any longer."""

    reason: Line | UnsetType = UNSET


class Accepted(Record, frozen=True, kw_only=True):
    """A result the requester took."""

    stage: StageRef
    attempt: Attempt
    executor: Did
    result: Digest
    output_digest: Digest


class Close(Record, frozen=True, kw_only=True):
    """``task.close``: the requester's receipt; answers the request."""

    outcome: Literal["completed", "failed"]
    accepted: Annotated[tuple[Accepted, ...], Meta(max_length=16)]
    executions: Count  # results that arrived, the accepted ones among them
    code: Token | UnsetType = UNSET
    message: Line | UnsetType = UNSET
