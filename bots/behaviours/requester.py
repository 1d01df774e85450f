"""Ask the mesh: post a request, award its stages, keep the leases, close with a receipt (spec/08-task.md).

What a task *is* comes from the fold; an ``Errand`` keeps only what the fold cannot know.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET

from bots.artifacts import Unavailable
from bots.behaviours import Context, Posting, Received
from bots.behaviours.awarding import Hopeless, award, expected_offers, needs_award
from bots.behaviours.errand import Errand, Order
from bots.behaviours.handshake import HandshakeBehaviour
from bots.behaviours.liveness import Liveness
from bots.errors import ClawbotError
from bots.events import Notice, StageText, TaskEnded, TaskOpened, TaskQuestion
from clawnet_proto import sealed_text as sealed
from clawnet_proto.errors import ProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean, short
from clawnet_proto.signing import digest
from clawnet_proto.wire import present

log = logging.getLogger(__name__)

__all__ = ["Order", "RequesterBehaviour"]

_OFFERING_PEERS = 64
_ANSWER = 8000
_FETCHED_BYTES = 4 << 20  # of one task's outputs, all together


def _secrets_key(room: str, task_id: str) -> str:
    return f"secrets {room} {task_id}"


def _person(request: task.Request) -> str:
    """The address of the person a task is for, "" if it is for ourselves."""
    return "" if request.on_behalf_of is UNSET else request.on_behalf_of.address


class RequesterBehaviour:
    """All tasks of ours. ``handshakes`` are made at first need, and to learn who is alive."""

    def __init__(self, context: Context, handshakes: HandshakeBehaviour) -> None:
        self._context = context
        self._handshakes = handshakes
        self._liveness = Liveness(context, handshakes)
        self._errands: dict[str, Errand] = {}

    # -- what the owner does ---------------------------------------------------------------------------------

    def request(self, order: Order) -> str:
        """Post a request and return its id. Raises ClawbotError or LocalProtocolError if it cannot be made."""
        context = self._context
        if order.to and order.to not in context.mesh(order.room).peers:
            raise ClawbotError("task.no_such_peer", "That peer is not in the room.", "See `clawbot peers`.")
        secrets = {name: sealed.Secret.of(text) for name, text in order.inputs.items()} if order.private else {}
        body = self._request_body(order, secrets)
        with context.store.transaction():
            message = context.post(
                order.room,
                body,
                lifetime_ms=order.timeout_ms,
                recipients=[order.to] if order.to else (),
                posting=Posting(root=order.root, mention=_person(body), priority=0),
            )
            now = context.monotonic_ms()
            errand = Errand(
                id=message.id, room=order.room, order=order, secrets=secrets,
                asked_ms=now, deadline_ms=now + order.timeout_ms,
            )  # fmt: skip
            self._errands[message.id] = errand
            if secrets:
                context.store.set_fact(_secrets_key(order.room, message.id), msgspec.json.encode(secrets).decode())
            errand.expected = expected_offers(context, errand, body)
            names = tuple(stage.id for stage in body.stages)
            context.notify(TaskOpened(at_ms=context.now_ms(), task=message.id, room=order.room, stages=names))
            # An addressed task needs no offers: request and awards travel as one event.
            if order.to:
                self._drive(errand, now)
        context.wake()
        return message.id

    def _request_body(self, order: Order, secrets: dict[str, sealed.Secret]) -> task.Request:
        return task.Request(
            title=order.title,
            inputs=tuple(
                task.Input(name=name, digest=secrets[name].digest)
                if order.private
                else task.Input(name=name, digest=digest(text.encode()), text=text)
                for name, text in order.inputs.items()
            ),
            stages=order.stages,
            privacy="sealed" if order.private else "public",
            lease_ms=self._context.config.requests.lease_ms,
            hops=order.hops,
            parent=order.parent or UNSET,
            preferences=order.preferences or UNSET,
            on_behalf_of=order.on_behalf_of or UNSET,
        )

    def resume(self) -> None:
        """Take up unfinished tasks of an earlier run, from the fold alone; of finished ones no plain text is kept."""
        kept = self._context.store.facts("secrets ")
        for room in self._context.rooms():
            for view in self._context.mesh(room.uri).tasks(requester=self._context.identity.did):
                self._take_up(room.uri, view)
                if view.finished and _secrets_key(room.uri, view.id) in kept:
                    self._context.store.forget_fact(_secrets_key(room.uri, view.id))

    def _take_up(self, room: str, view: TaskView) -> None:
        if view.finished or view.id in self._errands:
            return
        context, now = self._context, self._context.monotonic_ms()
        kept = context.store.fact(_secrets_key(room, view.id))
        self._errands[view.id] = Errand(
            id=view.id,
            room=room,
            order=None,
            secrets=msgspec.json.decode(kept, type=dict[str, sealed.Secret]) if kept else {},
            asked_ms=now,
            # Of an earlier run only the wall clock tells how long ago it was.
            deadline_ms=now + view.request.envelope.expires_ms - context.now_ms(),
            awarded=any(stage.current for stage in view.stages.values()),
        )

    def open_tasks(self) -> Iterable[str]:
        """Ids of our tasks that are not finished."""
        return tuple(self._errands)

    def room_of(self, task_id: str) -> str:
        """The room of an open task of ours."""
        return self._errands[task_id].room

    def cancel(self, task_id: str, reason: str) -> None:
        """Cancel a task of ours. Raises ClawbotError if it is not ours or already over."""
        errand = self._errands.get(task_id)
        if errand is None:
            raise ClawbotError("task.not_open", "There is no open task of ours with this id.", "See `clawbot tasks`.")
        errand.post(self._context, task.Cancel(reason=reason or UNSET), answers=task_id)
        self._end(errand, "canceled", code="canceled", message=reason)

    def fail(self, task_id: str, code: str, message: str) -> None:
        """Close a task of ours as failed, if it is still open."""
        errand = self._errands.get(task_id)
        view = errand.view(self._context) if errand is not None else None
        if errand is not None and view is not None and not view.finished:
            self._close(errand, view, code=code, message=message)

    def abandon(self, room: str, code: str, message: str) -> None:
        """End our tasks in a room that hears us no more; no plain text is kept, not of those never taken up either."""
        for errand in [errand for errand in self._errands.values() if errand.room == room]:
            for fetch in errand.fetches.values():
                fetch.cancel()
            self._end(errand, "failed", code=code, message=message)
        for key in self._context.store.facts(_secrets_key(room, "")):
            self._context.store.forget_fact(key)

    def reply(self, task_id: str, text: str) -> None:
        """Answer the question a task of ours waits for. Raises ClawbotError if it waits for none."""
        errand = self._errands.get(task_id)
        view = errand.view(self._context) if errand is not None else None
        for stage in view.stages.values() if view else ():
            current = stage.current
            if errand is not None and current is not None and current.question is not None:
                body = task.Reply(stage=stage.spec.id, attempt=current.number, text=text)
                errand.post(self._context, body, answers=current.question.id, to=current.executor)
                errand.heard_ms[(stage.spec.id, current.number)] = self._context.monotonic_ms()
                return
        raise ClawbotError("task.no_question", "That task waits for no answer.", "See `clawbot tasks`.")

    # -- what others say -------------------------------------------------------------------------------------

    def on_message(self, received: Received) -> None:
        message = received.message
        self._liveness.heard(message)
        if message.sender == self._context.identity.did and isinstance(message.body, task.Request):
            # The echo of a request that a crash kept us from remembering.
            view = self._context.mesh(message.envelope.room).task(message.id)
            if view is not None:
                self._take_up(message.envelope.room, view)
            return
        errand = self._errands.get(str(message.envelope.thread))
        if errand is None:
            return
        if isinstance(message.body, task.Offer):
            self._note_offer(errand, message)
        elif isinstance(message.body, task.Progress | task.Ask | task.Result):
            self._tell_words(errand, message)

    def _note_offer(self, errand: Errand, message: Message) -> None:
        if len(errand.offers) >= _OFFERING_PEERS and message.sender not in errand.offers:
            # An account is one live peer, by however many identities it has offered.
            live = {peer.did for peer in self._context.live_peers(errand.room)}
            if not (gone := [did for did in errand.offers if did not in live]):
                return
            del errand.offers[gone[0]]
        offers = errand.offers.setdefault(message.sender, {})
        offers.update({offer.stage: offer for offer in message.body.stages})
        errand.first_offer_ms = errand.first_offer_ms or self._context.monotonic_ms()
        self._handshakes.greet(errand.room, message.sender)

    def _tell_words(self, errand: Errand, message: Message) -> None:
        """What the executor of an attempt says, for whoever watches."""
        body, now = message.body, self._context.now_ms()
        view = errand.view(self._context)
        stage = view.stages.get(body.stage) if view else None
        attempt = stage.attempts.get(body.attempt) if stage else None
        if view is None or stage is None or attempt is None or attempt.executor != message.sender:
            return
        if isinstance(body, task.Progress):
            self._show(errand, body, body.offset, errand.progress_text(self._context, body), now)
        elif isinstance(body, task.Result) and body.media_type == "text/plain":
            # What the last progress did not carry any more.
            accepted = errand.accepted(self._context, stage)
            if accepted is not None and accepted.id == message.id:
                self._show(errand, body, 0, errand.text_of(message), now)
        elif isinstance(body, task.Ask):
            self._context.notify(TaskQuestion(at_ms=now, task=errand.id, stage=body.stage, text=body.question))
            self._pass_on(errand, view, body.question)

    def _show(self, errand: Errand, body: task.Progress | task.Result, offset: int, text: str, now: int) -> None:
        """Stream text of a running stage to whoever watches, each piece once."""
        shown = errand.shown.get((body.stage, body.attempt), 0)
        offset, text = max(offset, shown), text[max(0, shown - offset) :]
        if text:
            errand.shown[(body.stage, body.attempt)] = offset + len(text)
            self._context.notify(
                StageText(at_ms=now, task=errand.id, stage=body.stage, attempt=body.attempt, offset=offset, text=text)
            )

    def _pass_on(self, errand: Errand, view: TaskView, question: str) -> None:
        """A question of an executor goes to the person the task is for."""
        person = _person(view.request.body)
        if person:
            text = f"{clean(question)}\nWrite: !claw answer {short(errand.id)} YOUR ANSWER"
            self._context.say(errand.room, text, conversation=errand.id, mention=person)

    # -- what is due -----------------------------------------------------------------------------------------

    def advance(self, monotonic_ms: int) -> None:
        for errand in list(self._errands.values()):
            try:
                self._drive(errand, monotonic_ms)
            except ProtocolError as error:
                # What it needs next cannot be said, now or later; the other tasks go on.
                log.warning("task %s: %s", errand.id, error)
                self._give_up(errand, error)

    def _give_up(self, errand: Errand, error: ProtocolError) -> None:
        view = errand.view(self._context)
        try:
            if view is not None:
                self._close(errand, view, code=error.code, message=f"The task cannot go on: {error}")
        except ProtocolError:
            self._end(errand, "failed", code=error.code, message=f"The task cannot go on: {error}")

    def _drive(self, errand: Errand, now: int) -> None:
        """Look at the task as it stands and do what it needs next."""
        context = self._context
        view = errand.view(context)
        if view is None:
            return
        if view.finished:
            self._end_as_told(errand, view)
            return
        self._tell_stages(errand, view)
        errand.hear(context, view, now)
        self._fetch_what_is_stored(errand, view, now)
        lacking = [stage for stage in view.stages.values() if errand.accepted(context, stage) is None]
        if not lacking:
            self._close(errand, view)
        elif now >= errand.deadline_ms:
            self._close(errand, view, code="deadline", message="The task's time is over.")
        elif needy := [stage for stage in lacking if needs_award(context, errand, view, stage, now)]:
            try:
                award(context, self._liveness, errand, view, needy, now)
            except Hopeless as error:
                self._close(errand, view, code=error.code, message=error.message)
            else:
                self._tell_stages(errand, errand.view(context) or view)

    def _fetch_what_is_stored(self, errand: Errand, view: TaskView, now: int) -> None:
        """Outputs that were too long for their results; while one is on its way its stage is not silent."""
        for stage in view.stages.values():
            result = stage.accepted
            if result is None or result.body.artifact is UNSET or result.id in errand.texts:
                continue
            if not self._context.mesh(errand.room).vouched(result):
                continue
            if result.id not in errand.fetches:
                errand.fetches[result.id] = self._context.spawn(self._fetch(errand, result))
            if not errand.fetches[result.id].done():
                errand.heard_ms[(stage.spec.id, result.body.attempt)] = now

    async def _fetch(self, errand: Errand, result: Message) -> None:
        context = self._context
        try:
            left = _FETCHED_BYTES - sum(len(text.encode(errors="replace")) for text in errand.texts.values())
            await errand.fetch(context, result, left)
        except Unavailable as error:
            # Another attempt may be luckier, once the lease of this one has lapsed.
            name = clean(context.mesh(errand.room).name_of(result.sender), limit=64)
            errand.refusals.append(f"{name}: {error}")
            text = f"The output of {name} for {result.body.stage} can not be had: {error}"
            context.notify(Notice(at_ms=context.now_ms(), task=errand.id, text=text))
            return
        if result.body.media_type == "text/plain":
            self._show(errand, result.body, 0, errand.text_of(result), context.now_ms())
        context.wake()

    def _tell_stages(self, errand: Errand, view: TaskView) -> None:
        for name, stage in view.stages.items():
            current = stage.current
            if current is not None and errand.told.get(name) != (current.number, stage.state):
                errand.told[name] = (current.number, stage.state)
                self._context.notify(errand.stage_changed(self._context, stage, current))

    def _close(self, errand: Errand, view: TaskView, *, code: str = "", message: str = "") -> None:
        """Post the receipt, and end."""
        context = self._context
        results = [errand.accepted(context, stage) for stage in view.stages.values()]
        body = task.Close(
            outcome="failed" if code else "completed",
            accepted=tuple(
                task.Accepted(
                    stage=result.body.stage,
                    attempt=result.body.attempt,
                    executor=result.sender,
                    result=result.id,
                    output_digest=result.body.output_digest,
                )
                for result in results
                if result is not None
            ),
            executions=sum(stage.executions for stage in view.stages.values()),
            code=code or UNSET,
            message=message[:300] or UNSET,
        )
        person = _person(view.request.body)
        line = self._words_for(errand, results, message) if person else ""
        errand.post(context, body, answers=errand.id, line=line, mention=person)
        closed = errand.view(context) or view
        self._tell_stages(errand, closed)
        self._end_as_told(errand, closed)

    def _words_for(self, errand: Errand, results: list[Message | None], message: str) -> str:
        """What a person who asked in the room reads: the answer itself, or why there is none."""
        last = results[-1]
        if message or last is None:
            return f"I could not get an answer: {clean(message)}"
        return clean(errand.text_of(last).strip(), limit=_ANSWER, lines=True)

    def _end_as_told(self, errand: Errand, view: TaskView) -> None:
        if view.close is None:
            self._end(errand, "canceled", code="canceled")
            return
        body: task.Close = view.close.body
        self._end(errand, body.outcome, code=present(body.code, ""), message=present(body.message, ""))

    def _end(
        self,
        errand: Errand,
        outcome: Literal["completed", "failed", "canceled"],
        *,
        code: str = "",
        message: str = "",
    ) -> None:
        context, now = self._context, self._context.now_ms()
        self._errands.pop(errand.id, None)
        if errand.secrets:
            context.store.forget_fact(_secrets_key(errand.room, errand.id))
        view = errand.view(context)
        results = [stage.accepted for stage in view.stages.values() if stage.accepted] if view else []
        done = tuple(errand.stage_done(context, result) for result in results)
        context.notify(
            TaskEnded(
                at_ms=now,
                task=errand.id,
                outcome=outcome,
                code=code,
                message=message,
                stages=done,
                text=done[-1].text if done and outcome == "completed" else "",
                executions=view.close.body.executions if view and view.close else 0,
                elapsed_ms=context.monotonic_ms() - errand.asked_ms,
            )
        )
        if outcome == "failed":
            context.notify(Notice(at_ms=now, task=errand.id, text=message))
