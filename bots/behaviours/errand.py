"""A task of ours that is not finished: what was ordered, and what the fold cannot know about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TypeAlias

import msgspec
from msgspec import UNSET

from bots.artifacts import Unavailable
from bots.behaviours import Context, Posting, long_texts
from bots.events import StageChanged, StageDone
from bots.takeovers import before
from clawnet_proto import sealed_text as sealed
from clawnet_proto.artifact import Artifact
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import AttemptView, StageView, TaskView
from clawnet_proto.message import Message
from clawnet_proto.wire import Record, present

log = logging.getLogger(__name__)


# A stage, an attempt, a source of the stage, and who is to run it.
Place: TypeAlias = tuple[str, int, str, str]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants done in a room."""

    room: str
    title: str
    inputs: Mapping[str, str]
    stages: tuple[task.Stage, ...]
    private: bool = False
    to: str = ""  # did of the one peer to ask; "" asks the room
    timeout_ms: int = 900_000
    preferences: task.Preferences | None = None
    on_behalf_of: task.OnBehalfOf | None = None
    parent: str = ""
    hops: int = 0
    root: str = ""  # the thread of the person's question


class Errand(msgspec.Struct, kw_only=True):
    """The requester's side of a task: offers, signs of life, plain texts of what is sealed.

    All its moments are of the monotonic clock.
    """

    id: str
    room: str
    order: Order | None  # None: taken up again after a restart
    secrets: dict[str, sealed.Secret]  # by input or stage
    asked_ms: int
    deadline_ms: int
    expected: int = 0  # peers that will offer in the first wave
    offers: dict[str, dict[str, task.StageOffer]] = {}  # by did, by stage
    first_offer_ms: int = 0
    heard_ms: dict[tuple[str, int], int] = {}  # by stage and attempt
    signs: dict[tuple[str, int], tuple[str, str]] = {}  # by stage and attempt: its state, its newest progress
    began_ms: dict[tuple[str, int], int] = {}  # by stage and attempt
    ended_ms: dict[tuple[str, int], int] = {}  # by stage and attempt
    excluded: dict[str, set[str]] = {}  # by stage: who failed at it
    unable: dict[str, set[str]] = {}  # by stage: who says that trying again is no use
    unfit: set[str] = set()  # to whose announced key nothing can be sealed
    refusals: list[str] = []
    awarded: bool = False
    lacking_ms: int = 0  # since when there is nobody for some stage; 0: there is
    told: dict[str, tuple[int, str]] = {}  # by stage: attempt and state last shown
    texts: dict[str, str] = {}  # by result: what was stored as an artifact and is fetched
    fetches: dict[str, asyncio.Task[None]] = {}  # by result: under way, or over
    parcels: dict[Place, Artifact | Unavailable | None] = {}  # sealed inputs stored for an executor; None: under way
    shown: dict[tuple[str, int], int] = {}  # code points of a stage's output streamed so far

    @property
    def addressed(self) -> bool:
        return self.order is not None and bool(self.order.to)

    def view(self, context: Context) -> TaskView | None:
        """The task as the fold has it."""
        return context.mesh(self.room).task(self.id)

    def hear(self, context: Context, view: TaskView, monotonic_ms: int) -> None:
        """Signs of life begin a lease anew from when they arrive, whatever the clock of who gives them says."""
        mesh = context.mesh(self.room)
        for name, stage in view.stages.items():
            current = stage.current
            if current is None or current.state == "awarded":
                continue
            progress = mesh.progress(view.id, name, current.number)
            bound = progress is not None and mesh.vouched(progress)
            key, sign = (name, current.number), (current.state, progress.id if progress and bound else "")
            if sign != self.signs.get(key):
                self.signs[key] = sign
                self.heard_ms[key] = monotonic_ms

    def post(
        self, context: Context, body: Record, *, answers: str, to: str = "", line: str = "", mention: str = ""
    ) -> Message:
        """Post a message of this task; it lives as long as the request."""
        view = self.view(context)
        expires = view.request.envelope.expires_ms if view else 0
        return context.post(
            self.room,
            body,
            lifetime_ms=max(60_000, expires - context.now_ms()),
            recipients=[to] if to else (),
            thread=self.id,
            answers=answers,
            posting=Posting(line=line, mention=mention, priority=0),
        )

    def accepted(self, context: Context, stage: StageView) -> Message | None:
        """The stage's result, if it may be acted upon and can be read.

        One whose artifact is not fetched is as if it had not arrived yet (ART-7).
        """
        result = stage.accepted
        if result is None or not context.mesh(self.room).vouched(result):
            return None
        if result.body.artifact is not UNSET:
            return result if result.id in self.texts else None
        if result.body.sealed is not UNSET and stage.spec.id not in self.secrets:
            info = sealed.output_info(self.id, stage.spec.id, result.body.attempt)
            try:
                secret = sealed.unseal(context.identity.seal, result.body.sealed, info, result.body.output_digest)
            except RemoteProtocolError as error:
                log.warning("result %s: %s", result.id, error)
                return None
            self.secrets[stage.spec.id] = secret
        return result

    def is_fetching(self, stage: StageView) -> bool:
        """Whether the stage is done and its output on the way to us."""
        fetch = self.fetches.get(stage.accepted.id) if stage.accepted is not None else None
        return fetch is not None and not fetch.done()

    async def fetch(self, context: Context, result: Message, most: int) -> None:
        """Fetch the text of a result, of at most ``most`` bytes. Raises Unavailable."""
        body: task.Result = result.body
        assert body.artifact is not UNSET
        view = self.view(context)
        if view is None or view.request.body.privacy == "public":
            text = await long_texts.fetch(context.artifacts, body.artifact, body.output_digest, most)
        else:
            info = sealed.output_info(self.id, body.stage, body.attempt)
            secret = await long_texts.fetch_sealed(
                context.artifacts, body.artifact, context.identity.seal, info, body.output_digest, most
            )
            self.secrets[body.stage] = secret
            text = secret.text
        self.texts[result.id] = text

    def progress_text(self, context: Context, body: task.Progress) -> str:
        """The text a progress carries, unsealed if need be; "" if it carries none that can be read."""
        if body.sealed is UNSET:
            return present(body.text, "")
        info = sealed.progress_info(self.id, body.stage, body.attempt, body.index)
        try:
            return sealed.unseal(context.identity.seal, body.sealed, info).text
        except RemoteProtocolError as error:
            log.info("progress of %s: %s", self.id, error)
            return ""

    def text_of(self, result: Message) -> str:
        """The plain text of an accepted result."""
        if result.body.artifact is not UNSET:
            return self.texts.get(result.id, "")
        secret = self.secrets.get(result.body.stage)
        return secret.text if secret is not None else present(result.body.text, "")

    def stage_changed(self, context: Context, stage: StageView, current: AttemptView) -> StageChanged:
        """A stage's state as it is told."""
        name_of, earlier = context.mesh(self.room).name_of, before(stage)
        return StageChanged(
            at_ms=context.now_ms(),
            task=self.id,
            stage=stage.spec.id,
            attempt=current.number,
            state=stage.state,
            executor=current.executor,
            name=name_of(current.executor),
            detail=current.failure.body.message if current.failure else "",
            before=earlier.executor if earlier else "",
            before_name=name_of(earlier.executor) if earlier else "",
            before_state=earlier.state if earlier else "",
        )

    def stage_done(self, context: Context, result: Message) -> StageDone:
        """An accepted result as it is told."""
        body: task.Result = result.body
        return StageDone(
            stage=body.stage,
            executor=result.sender,
            name=context.mesh(self.room).name_of(result.sender),
            attempt=body.attempt,
            text=self.text_of(result),
            output_digest=body.output_digest,
            model=present(body.model, ""),
            finish=body.finish,
            prompt_tokens=body.usage.prompt_tokens,
            output_tokens=body.usage.output_tokens,
            queued_ms=body.usage.queued_ms,
            prompt_ms=body.usage.prompt_ms,
            generate_ms=body.usage.generate_ms,
        )
