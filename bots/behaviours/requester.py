"""Ask the mesh: post a request, award its stages, keep the leases, close with a receipt (spec/08-task.md).

What a task *is* comes from the fold; kept here is only what the fold cannot know: offers, when we last heard
of an executor, and the plain text of sealed inputs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from bots import sealed
from bots.behaviours import Context, Posting, Received
from bots.behaviours.assignment import Candidate, assign
from bots.errors import ClawbotError
from bots.events import Notice, StageChanged, StageDone, StageText, TaskEnded, TaskOpened, TaskQuestion
from bots.ranking import OFFERS_PER_WAVE, capable, ranked, stage_key
from clawnet_proto.message import Message
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import AttemptView, StageView, TaskView
from clawnet_proto.signing import digest
from clawnet_proto.wire import present

log = logging.getLogger(__name__)

_TRY_AGAIN = frozenset({"failed", "rejected", "lapsed", "canceled"})
_NOBODY_CAPABLE_MS = 15_000


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
    mention: str = ""


class _Errand(msgspec.Struct, kw_only=True):
    """A task of ours that is not finished."""

    id: str
    room: str
    order: Order | None  # None: taken up again after a restart
    secrets: dict[str, sealed.Secret]
    asked_ms: int
    expected: int = 0
    offers: dict[str, dict[str, task.StageOffer]] = {}
    first_offer_ms: int = 0
    heard_ms: dict[tuple[str, int], int] = {}
    excluded: dict[str, set[str]] = {}
    told: dict[str, tuple[int, str]] = {}
    refusals: list[str] = []
    awarded: bool = False


def _secrets_key(task_id: str) -> str:
    return f"secrets {task_id}"


class RequesterBehaviour:
    """All tasks of ours. ``handshake`` shakes hands with a peer at first need."""

    def __init__(self, context: Context, greet: Callable[[str, str], bool]) -> None:
        self._context = context
        self._greet = greet
        self._errands: dict[str, _Errand] = {}

    def request(self, order: Order) -> str:
        """Post a request and return its id. Raises ClawbotError or LocalProtocolError if it cannot be made."""
        context = self._context
        secrets = {name: sealed.Secret.of(text) for name, text in order.inputs.items()} if order.private else {}
        inputs = tuple(
            task.Input(name=name, digest=secrets[name].digest)
            if order.private
            else task.Input(name=name, digest=digest(text.encode()), text=text)
            for name, text in order.inputs.items()
        )
        body = task.Request(
            title=order.title,
            inputs=inputs,
            stages=order.stages,
            privacy="sealed" if order.private else "public",
            lease_ms=context.config.requests.lease_ms,
            hops=order.hops,
            parent=order.parent or UNSET,
            preferences=order.preferences or UNSET,
            on_behalf_of=order.on_behalf_of or UNSET,
        )
        if order.to and order.to not in context.mesh(order.room).peers:
            raise ClawbotError("task.no_such_peer", "That peer is not in the room.", "See `clawbot peers`.")
        with context.store.transaction():
            message = context.post(
                order.room,
                body,
                lifetime_ms=order.timeout_ms,
                recipients=[order.to] if order.to else (),
                posting=Posting(root=order.root, mention=order.mention, priority=0),
            )
            now = context.now_ms()
            errand = _Errand(id=message.id, room=order.room, order=order, secrets=secrets, asked_ms=now)
            self._errands[message.id] = errand
            if secrets:
                context.store.set_fact(_secrets_key(message.id), msgspec.json.encode(secrets).decode())
            errand.expected = self._expected(errand, body)
            names = tuple(stage.id for stage in body.stages)
            context.notify(TaskOpened(at_ms=now, task=message.id, room=order.room, stages=names))
            # An addressed task needs no offers: request and awards travel as one event.
            if order.to:
                self._drive(errand, now)
        context.wake()
        return message.id

    def resume(self) -> None:
        """Take up unfinished tasks of an earlier run, from the fold alone."""
        for room in self._context.rooms():
            for view in self._context.mesh(room.uri).tasks():
                if view.requester == self._context.identity.did:
                    self._take_up(room.uri, view)

    def _take_up(self, room: str, view: TaskView) -> None:
        if view.finished or view.id in self._errands:
            return
        kept = self._context.store.fact(_secrets_key(view.id))
        self._errands[view.id] = _Errand(
            id=view.id,
            room=room,
            order=None,
            secrets=msgspec.json.decode(kept, type=dict[str, sealed.Secret]) if kept else {},
            asked_ms=self._context.now_ms(),
            awarded=any(stage.current for stage in view.stages.values()),
        )

    def open_tasks(self) -> Iterable[str]:
        return tuple(self._errands)

    def cancel(self, task_id: str, reason: str) -> None:
        """Cancel a task of ours. Raises ClawbotError if it is not ours or already over."""
        errand = self._errands.pop(task_id, None)
        if errand is None:
            raise ClawbotError("task.not_open", "There is no open task of ours with this id.", "See `clawbot tasks`.")
        self._post(errand, task.Cancel(reason=reason or UNSET), answers=task_id, priority=0)
        self._end(errand, "canceled", code="canceled", message=reason)

    def reply(self, task_id: str, text: str) -> None:
        """Answer the question a task of ours waits for. Raises ClawbotError if it waits for none."""
        errand = self._errands.get(task_id)
        view = self._view(errand) if errand is not None else None
        for stage in view.stages.values() if view else ():
            current = stage.current
            if errand is not None and current is not None and current.question is not None:
                body = task.Reply(stage=stage.spec.id, attempt=current.number, text=text)
                self._post(errand, body, answers=current.question.id, to=current.executor, priority=0)
                errand.heard_ms[(stage.spec.id, current.number)] = self._context.now_ms()
                return
        raise ClawbotError("task.no_question", "That task waits for no answer.", "See `clawbot tasks`.")

    def on_message(self, received: Received) -> None:
        message = received.message
        if message.sender == self._context.identity.did and isinstance(message.body, task.Request):
            # The echo of a request that a crash kept us from remembering.
            view = self._context.mesh(message.envelope.room).task(message.id)
            if view is not None:
                self._take_up(message.envelope.room, view)
            return
        errand = self._errands.get(str(message.envelope.thread))
        if errand is None or received.binding != "bound":
            return
        now = self._context.now_ms()
        if isinstance(message.body, task.Offer):
            self._note_offer(errand, message, now)
        elif isinstance(message.body, task.Start | task.Progress | task.Ask | task.Result):
            self._note_sign_of_life(errand, message, now)

    def _note_offer(self, errand: _Errand, message: Message, now: int) -> None:
        if len(errand.offers) >= 64 and message.sender not in errand.offers:
            return
        offers = errand.offers.setdefault(message.sender, {})
        offers.update({offer.stage: offer for offer in message.body.stages})
        errand.first_offer_ms = errand.first_offer_ms or now
        self._greet(errand.room, message.sender)

    def _note_sign_of_life(self, errand: _Errand, message: Message, now: int) -> None:
        body: Any = message.body
        view = self._view(errand)
        stage = view.stages.get(body.stage) if view else None
        attempt = stage.attempts.get(body.attempt) if stage else None
        if attempt is None or attempt.executor != message.sender:
            return
        errand.heard_ms[(body.stage, body.attempt)] = now
        context = self._context
        if isinstance(body, task.Progress):
            text = present(body.text, "")
            if body.sealed is not UNSET:
                info = sealed.progress_info(errand.id, body.stage, body.attempt, body.index)
                try:
                    text = sealed.unseal(context.identity.seal, body.sealed, info).text
                except RemoteProtocolError as error:
                    log.info("progress %s: %s", message.id, error)
            if text:
                context.notify(
                    StageText(
                        at_ms=now, task=errand.id, stage=body.stage, attempt=body.attempt, offset=body.offset, text=text
                    )
                )
        elif isinstance(body, task.Ask):
            context.notify(TaskQuestion(at_ms=now, task=errand.id, stage=body.stage, text=body.question))

    def advance(self, now_ms: int) -> None:
        for errand in list(self._errands.values()):
            self._drive(errand, now_ms)

    def _view(self, errand: _Errand) -> TaskView | None:
        return self._context.mesh(errand.room).task(errand.id)

    def _drive(self, errand: _Errand, now: int) -> None:
        """Look at the task as it stands and do what it needs next."""
        view = self._view(errand)
        if view is None:
            return
        if view.finished:
            self._end_as_told(errand, view)
            return
        self._tell_stages(errand, view, now)
        accepted = {name: self._accepted(errand, stage) for name, stage in view.stages.items()}
        if all(accepted.values()):
            self._close(errand, view)
            return
        if now >= view.request.envelope.expires_ms:
            self._close(errand, view, code="deadline", message="The task's time is over.")
            return
        needy = [stage for name, stage in view.stages.items() if accepted[name] is None and self._needs(errand, view, stage, now)]
        if needy:
            self._award(errand, view, needy, now)

    def _accepted(self, errand: _Errand, stage: StageView) -> Message | None:
        """The stage's result, if the executor's own account delivered it and it can be read."""
        result = stage.accepted
        if result is None or self._context.mesh(errand.room).binding(result) != "bound":
            return None
        if result.body.sealed is not UNSET and stage.spec.id not in errand.secrets:
            info = sealed.output_info(errand.id, stage.spec.id, result.body.attempt)
            try:
                secret = sealed.unseal(self._context.identity.seal, result.body.sealed, info, result.body.output_digest)
            except RemoteProtocolError as error:
                log.warning("result %s: %s", result.id, error)
                return None
            errand.secrets[stage.spec.id] = secret
        return result

    def _needs(self, errand: _Errand, view: TaskView, stage: StageView, now: int) -> bool:
        """Whether a stage is to be awarded, for the first time or anew."""
        if view.request.body.privacy == "sealed" and not view.ready(stage.spec):
            return False
        current = stage.current
        if current is None:
            return True
        if current.state in _TRY_AGAIN:
            return True
        if current.state == "input_required" or not view.ready(stage.spec):
            return False
        # The lease runs from the moment the stage can be worked on.
        key = (stage.spec.id, current.number)
        heard = errand.heard_ms.setdefault(key, now)
        return now - heard > int(current.award.body.lease_ms)

    def _expected(self, errand: _Errand, body: task.Request) -> int:
        """How many peers will offer in the first wave, by the ranking everybody computes."""
        now = self._context.now_ms()
        me = self._context.identity.did
        peers = [peer for peer in self._context.mesh(errand.room).live_peers(now) if peer.did != me]
        best: set[str] = set()
        for stage in body.stages:
            able = [peer for peer in peers if peer.body is not None and capable(peer.body, stage)]
            best.update(ranked(stage_key(errand.id, stage.id), able)[:OFFERS_PER_WAVE])
        return len(best)

    def _award(self, errand: _Errand, view: TaskView, needy: list[StageView], now: int) -> None:
        config = self._context.config.requests
        for stage in needy:
            if stage.current is not None and not self._give_up_attempt(errand, view, stage, stage.current):
                return
        candidates = self._candidates(errand, view, needy, now)
        missing = [stage.spec.id for stage in needy if not candidates[stage.spec.id]]
        if missing:
            waited = now - errand.asked_ms
            nobody = errand.expected == 0 and waited > _NOBODY_CAPABLE_MS
            if nobody or waited > config.give_up_seconds * 1000:
                told = "; ".join(errand.refusals[-3:])
                message = f"Nobody offered to run {', '.join(missing)}." + (f" Last refusals: {told}" if told else "")
                self._close(errand, view, code="no_offers", message=message)
            return
        addressed = errand.order is not None and bool(errand.order.to)
        if not errand.awarded and not addressed:
            waiting = now - errand.first_offer_ms < config.offer_wait_ms
            if len(errand.offers) < errand.expected and waiting:
                return
        used = [stage.current.executor for stage in view.stages.values() if stage.current and stage not in needy]
        chosen = assign({stage.spec.id: candidates[stage.spec.id] for stage in needy}, used)
        errand.awarded = True
        with self._context.store.transaction():
            for stage in needy:
                self._award_stage(errand, view, stage, chosen[stage.spec.id], now)

    def _give_up_attempt(self, errand: _Errand, view: TaskView, stage: StageView, current: AttemptView) -> bool:
        """Note why an attempt is over; False if the whole task is given up with it."""
        errand.excluded.setdefault(stage.spec.id, set()).add(current.executor)
        name = self._context.mesh(errand.room).name_of(current.executor)
        failure = current.failure.body if current.failure is not None else None
        reason = f"{name}: {failure.message}" if failure is not None else f"{name} fell silent"
        if reason not in errand.refusals:
            errand.refusals.append(reason)
        failed = [item for item in stage.attempts.values() if item.failure and not item.failure.body.retryable]
        if current.number >= self._context.config.requests.attempts or len(failed) >= 2:
            self._close(errand, view, code="attempts", message=f"Stage {stage.spec.id} failed. {reason}"[:300])
            return False
        return True

    def _candidates(
        self, errand: _Errand, view: TaskView, needy: list[StageView], now: int
    ) -> dict[str, list[Candidate]]:
        """Whom each stage may be awarded to: who offered; after that, whoever announced that it can."""
        mesh = self._context.mesh(errand.room)
        preferences = view.request.body.preferences
        found: dict[str, list[Candidate]] = {}
        addressed = present(view.request.envelope.recipients, ())
        live = mesh.live_peers(now)
        for stage in needy:
            name = stage.spec.id
            excluded = errand.excluded.get(name, set())
            offering = {did: offers[name].wait_ms for did, offers in errand.offers.items() if name in offers}
            if addressed:
                offering = dict.fromkeys(addressed, 0)
            elif stage.current is not None:
                # Offers are old by now: the peers that can do it are asked as they stand.
                for peer in live:
                    if peer.body is not None and peer.did != self._context.identity.did and capable(peer.body, stage.spec):
                        offering.setdefault(peer.did, 0)
            fresh = {did: wait for did, wait in offering.items() if did not in excluded} or (
                offering if stage.current is not None else {}
            )
            order = ranked(stage_key(errand.id, name), [mesh.peers[did] for did in fresh if did in mesh.peers])
            found[name] = [
                Candidate(did=did, wait_ms=fresh[did], rank=rank, announce=mesh.peers[did].body, preferences=preferences)
                for rank, did in enumerate(order)
            ]
        return found

    def _award_stage(self, errand: _Errand, view: TaskView, stage: StageView, did: str, now: int) -> None:
        attempt = 1 if stage.current is None else stage.current.number + 1
        inputs: Any = UNSET
        if view.request.body.privacy == "sealed":
            inputs = self._sealed_inputs(errand, stage.spec, attempt, did)
        lease = view.request.body.lease_ms
        body = task.Award(stage=stage.spec.id, attempt=attempt, lease_ms=lease, inputs=inputs)
        self._post(errand, body, answers=errand.id, to=did, priority=0)
        errand.heard_ms.pop((stage.spec.id, attempt), None)
        if view.ready(stage.spec):
            errand.heard_ms[(stage.spec.id, attempt)] = now

    def _sealed_inputs(self, errand: _Errand, spec: task.Stage, attempt: int, did: str) -> Any:
        announce = self._context.mesh(errand.room).peers[did].body
        if announce is None or not spec.sources:
            return UNSET
        return tuple(
            task.SealedInput(
                source=source,
                digest=errand.secrets[source].digest,
                sealed=errand.secrets[source].sealed_to(
                    announce.seal_key, sealed.input_info(errand.id, spec.id, attempt, source)
                ),
            )
            for source in spec.sources
        )

    def _post(self, errand: _Errand, body: Any, *, answers: str, to: str = "", line: str = "", priority: int = 1) -> None:
        view = self._view(errand)
        expires = view.request.envelope.expires_ms if view else 0
        order = errand.order
        self._context.post(
            errand.room,
            body,
            lifetime_ms=max(60_000, expires - self._context.now_ms()),
            recipients=[to] if to else (),
            thread=errand.id,
            answers=answers,
            posting=Posting(line=line, mention=order.mention if order and line else "", priority=priority),
        )

    def _tell_stages(self, errand: _Errand, view: TaskView, now: int) -> None:
        mesh = self._context.mesh(errand.room)
        for name, stage in view.stages.items():
            current = stage.current
            told = (current.number if current else 0, stage.state)
            if errand.told.get(name) == told or current is None:
                continue
            errand.told[name] = told
            self._context.notify(
                StageChanged(
                    at_ms=now, task=errand.id, stage=name, attempt=current.number, state=stage.state,
                    executor=current.executor, name=mesh.name_of(current.executor),
                    detail=current.failure.body.message if current.failure else "",
                )  # fmt: skip
            )

    def _close(self, errand: _Errand, view: TaskView, *, code: str = "", message: str = "") -> None:
        accepted = tuple(
            task.Accepted(
                stage=name,
                attempt=result.body.attempt,
                executor=result.sender,
                result=result.id,
                output_digest=result.body.output_digest,
            )
            for name, stage in view.stages.items()
            if (result := self._accepted(errand, stage)) is not None
        )
        executions = sum(stage.executions for stage in view.stages.values())
        body = task.Close(
            outcome="failed" if code else "completed",
            accepted=accepted,
            executions=executions,
            code=code or UNSET,
            message=message[:300] or UNSET,
        )
        self._post(errand, body, answers=errand.id, line=self._last_line(errand, view, message), priority=0)
        now = self._context.now_ms()
        fresh = self._view(errand)
        if fresh is not None:
            self._tell_stages(errand, fresh, now)
        self._end_as_told(errand, fresh or view)

    def _last_line(self, errand: _Errand, view: TaskView, message: str) -> str:
        """What a person who asked in the room reads: the answer itself, or why there is none."""
        if errand.order is None or not errand.order.mention:
            return ""
        if message:
            return f"I could not get an answer: {message}"
        last = self._accepted(errand, view.stages[view.request.body.stages[-1].id])
        return "" if last is None else present(last.body.text, "")

    def _end_as_told(self, errand: _Errand, view: TaskView) -> None:
        if view.close is None:
            self._end(errand, "canceled", code="canceled")
            return
        body: task.Close = view.close.body
        self._end(errand, body.outcome, code=present(body.code, ""), message=present(body.message, ""))

    def _end(self, errand: _Errand, outcome: Any, *, code: str = "", message: str = "") -> None:
        context = self._context
        self._errands.pop(errand.id, None)
        if errand.secrets:
            context.store.forget_fact(_secrets_key(errand.id))
        view = self._view(errand)
        done = [self._stage_done(errand, stage) for stage in view.stages.values() if stage.accepted] if view else []
        now = context.now_ms()
        context.notify(
            TaskEnded(
                at_ms=now, task=errand.id, outcome=outcome, code=code, message=message, stages=tuple(done),
                text=done[-1].text if done and outcome == "completed" else "",
                executions=view.close.body.executions if view and view.close else 0,
                elapsed_ms=now - errand.asked_ms,
            )  # fmt: skip
        )
        if outcome == "failed":
            context.notify(Notice(at_ms=now, task=errand.id, text=message))

    def _stage_done(self, errand: _Errand, stage: StageView) -> StageDone:
        assert stage.accepted is not None
        result: task.Result = stage.accepted.body
        secret = errand.secrets.get(stage.spec.id)
        return StageDone(
            stage=stage.spec.id, executor=stage.accepted.sender, attempt=result.attempt,
            name=self._context.mesh(errand.room).name_of(stage.accepted.sender),
            text=secret.text if secret else present(result.text, ""), output_digest=result.output_digest,
            model=present(result.model, ""), finish=result.finish, prompt_tokens=result.usage.prompt_tokens,
            output_tokens=result.usage.output_tokens, queued_ms=result.usage.queued_ms,
            prompt_ms=result.usage.prompt_ms, generate_ms=result.usage.generate_ms,
        )  # fmt: skip
