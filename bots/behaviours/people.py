"""People without a key: they write in the room, an agent asks on their behalf and answers in a thread.

The homeserver vouches for who wrote, our signature for what we did about it (spec/08-task.md, "On behalf of").
A question to nobody in particular is taken by exactly one agent, by the ranking everybody computes; the next
one takes over if nothing has happened after a wave.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from bots import pipelines
from bots.behaviours import Context, Question
from bots.behaviours.requester import Order, RequesterBehaviour
from bots.errors import ClawbotError
from bots.quota import Bucket, is_listed
from bots.ranking import ranked
from clawnet_proto.errors import ProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.mesh import Peer
from clawnet_proto.rendering import clean, short
from clawnet_proto.signing import digest

log = logging.getLogger(__name__)

_PREFIX = "!claw"
_WAVE_MS = 3_000
_FORGET_MS = 60_000
_FORGET_ADDRESSED_MS = 900_000
_OPEN_QUESTIONS = 32
_KEY = "question "
_HELP = (
    "I pass questions on to the agents of this room. Write:\n"
    "!claw ask QUESTION – ask the mesh\n"
    "!claw peers – who is here and what they can do\n"
    "!claw task ID – how a task stands\n"
    "!claw answer ID TEXT – answer a question a task has for you\n"
    "!claw cancel ID – cancel your task"
)


class _Pending(msgspec.Struct, kw_only=True):
    question: Question
    command: str
    argument: str
    addressed: bool


class PeopleBehaviour:
    """What people write, and what we answer."""

    def __init__(self, context: Context, requester: RequesterBehaviour) -> None:
        self._context = context
        self._requester = requester
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._strangers = Bucket(context.config.people.questions_per_minute_strangers, context.now_ms())
        self._declined_ms: dict[str, int] = {}
        self._taken: dict[str, str] = {}  # tasks for questions that addressed nobody: the question's event

    @property
    def waiting(self) -> int:
        """How many questions may still become ours to answer."""
        return len(self._pending)

    def on_question(self, question: Question) -> None:
        """A person's live words. Ignored unless they address us or the mesh, and the owner allows the person."""
        words = question.words
        text = words.text.strip()
        if words.edited or self._is_agent(question) or not self._allowed(question.address):
            return
        first, *rest = text.split(maxsplit=2) or ("",)
        if first.casefold() == _PREFIX:
            command, argument = rest[0] if rest else "", rest[1] if len(rest) > 1 else ""
            addressed = words.mentions_us
        elif words.mentions_us:
            command, argument, addressed = "ask", text, True
        else:
            return
        self._pending[question.event_id] = _Pending(
            question=question, command=command.lower() or "help", argument=argument.strip(), addressed=addressed
        )
        # Committed with what marks the event handled: a crash before it is served loses nothing.
        self._context.store.set_fact(_KEY + question.event_id, msgspec.json.encode(question).decode())
        if len(self._pending) > 256:
            self._forget(next(iter(self._pending)))

    def resume(self) -> None:
        """Take up questions that an earlier run had not served yet."""
        for text in self._context.store.facts(_KEY).values():
            self.on_question(msgspec.json.decode(text, type=Question))

    def _forget(self, event_id: str) -> None:
        self._pending.pop(event_id, None)
        self._context.store.forget_fact(_KEY + event_id)

    def _is_agent(self, question: Question) -> bool:
        """Agents are never asked by words: two of them would talk for ever."""
        for peer in self._context.mesh(question.room).peers.values():
            if question.address in peer.addresses and peer.body is not None and peer.body.kind in ("ai", "system"):
                return True
        return False

    def _allowed(self, address: str) -> bool:
        people, owner = self._context.config.people, self._context.config.matrix.owner
        if owner and is_listed(address, (owner,)):
            return True
        return people.answer == "room" or (people.answer == "listed" and is_listed(address, people.listed))

    def advance(self, now_ms: int) -> None:
        self._yield_doubles()
        for event_id, pending in list(self._pending.items()):
            age = now_ms - pending.question.received_ms
            if age > (_FORGET_ADDRESSED_MS if pending.addressed else _FORGET_MS) or self._is_answered(pending):
                self._forget(event_id)
            elif pending.addressed or self._my_turn(pending, age):
                with self._context.store.transaction():
                    self._forget(event_id)
                    self._serve(pending)
            elif pending.command != "ask" and self._mine(pending) is None:
                # Settled at once: ranks change with the load, and then a second one would answer.
                self._forget(event_id)

    def _yield_doubles(self) -> None:
        """Two agents took one question that addressed nobody: who has answered it stands, else who ranks better."""
        me = self._context.identity.did
        for task_id, event in list(self._taken.items()):
            if task_id not in self._requester.open_tasks():
                del self._taken[task_id]
                continue
            room = self._requester.room_of(task_id)
            order = ranked(event, self._agents(room))
            better = order[: order.index(me)] if me in order else order
            others = (view for view in self._requests_for(room, event) if view.requester != me)
            if any(view.close is not None or view.requester in better for view in others):
                del self._taken[task_id]
                self._requester.cancel(task_id, "another agent serves this question")

    def _requests_for(self, room: str, event: str) -> list[TaskView]:
        """What agents of the room asked on behalf of one event and neither failed at nor canceled."""
        mesh = self._context.mesh(room)
        found = []
        for view in mesh.tasks():
            behalf = view.request.body.on_behalf_of
            if not isinstance(behalf, task.OnBehalfOf) or behalf.event != event:
                continue
            if view.state not in ("failed", "canceled") and mesh.binding(view.request) == "bound":
                found.append(view)
        return found

    def _is_answered(self, pending: _Pending) -> bool:
        """Whether another agent has answered a question to nobody in particular."""
        question = pending.question
        requests = [] if pending.addressed else self._requests_for(question.room, question.event_id)
        return any(view.close is not None for view in requests)

    def _my_turn(self, pending: _Pending, age_ms: int) -> bool:
        """Whether a question to nobody in particular is ours: by rank, and by what others have done."""
        mine = self._mine(pending)
        if mine is not None:
            return mine
        room, event_id = pending.question.room, pending.question.event_id
        order = ranked(event_id, self._agents(room))
        me = self._context.identity.did
        if me not in order:
            return False
        if pending.command != "ask":
            # Only a request is seen by the others: what leaves no trace in the fold is answered by the first alone.
            return order.index(me) == 0
        if self._requests_for(room, event_id):
            return False
        return order.index(me) + _came_late(pending.question) <= age_ms // _WAVE_MS

    def _mine(self, pending: _Pending) -> bool | None:
        """For commands about a task: whether we are its requester; None for everything else."""
        if pending.command not in ("task", "answer", "cancel"):
            return None
        view = self._find(pending)
        return None if view is None else view.requester == self._context.identity.did

    def _agents(self, room: str) -> list[Peer]:
        live = self._context.live_peers(room)
        return [peer for peer in live if peer.body is not None and peer.body.kind != "human"]

    def _serve(self, pending: _Pending) -> None:
        question = pending.question
        if not self._may_ask(question.address):
            self._decline(pending)
            return
        handler = _COMMANDS.get(pending.command, PeopleBehaviour._help)
        try:
            handler(self, pending)
        except (ClawbotError, ProtocolError) as error:
            self._answer(pending, str(error))

    def _may_ask(self, address: str) -> bool:
        """Within the quotas: of this person, of all that the owner does not list, and of what is open."""
        people, now = self._context.config.people, self._context.now_ms()
        bucket = self._buckets.setdefault(address, Bucket(people.questions_per_minute, now))
        self._buckets.move_to_end(address)
        if len(self._buckets) > 1024:
            self._buckets.popitem(last=False)
        listed = is_listed(address, (*people.listed, self._context.config.matrix.owner))
        if not bucket.take(1, now) or not (listed or self._strangers.take(1, now)):
            return False
        return len(list(self._requester.open_tasks())) < _OPEN_QUESTIONS

    def _decline(self, pending: _Pending) -> None:
        """Too many questions: said once a minute to who speaks to us; for the others another agent may have time."""
        address, now = pending.question.address, self._context.now_ms()
        log.info("%s asks too often", address)
        if pending.addressed and now - self._declined_ms.get(address, 0) > _FORGET_MS:
            self._declined_ms = {address: now}
            self._answer(pending, "That was more than I may answer you in a minute. Ask again in a while.")

    def _answer(self, pending: _Pending, text: str) -> None:
        question = pending.question
        self._context.say(question.room, text, root=question.words.thread_root, mention=question.address)

    def _help(self, pending: _Pending) -> None:
        self._answer(pending, _HELP)

    def _ask(self, pending: _Pending) -> None:
        question, text = pending.question, pending.argument
        if not text:
            self._answer(pending, "What shall I ask? Write: !claw ask QUESTION")
            return
        announces = [peer.body for peer in self._agents(question.room) if peer.body is not None]
        kind = pipelines.kind_for(announces)
        task_id = self._requester.request(
            Order(
                room=question.room,
                title=clean(text, limit=200),
                inputs={pipelines.QUESTION: text},
                stages=pipelines.build(("draft", "critique", "revise"), kind),
                on_behalf_of=task.OnBehalfOf(
                    address=question.address, event=question.event_id, text_digest=digest(question.words.body.encode())
                ),
                root=question.words.thread_root,
            )
        )
        if not pending.addressed:
            self._taken[task_id] = question.event_id

    def _peers(self, pending: _Pending) -> None:
        lines = []
        for peer in self._context.live_peers(pending.question.room):
            if peer.body is not None:
                models = ", ".join(clean(model.name, limit=40) for model in peer.body.models) or "no model"
                lines.append(f"{clean(peer.body.name, limit=40)} – {peer.body.kind} {peer.body.role}, {models}")
        self._answer(pending, "\n".join(lines[:50]) or "Nobody is here yet.")

    def _find(self, pending: _Pending) -> TaskView | None:
        prefix = pending.argument.partition(" ")[0]
        if len(prefix) < 4:
            return None
        for view in self._context.mesh(pending.question.room).tasks():
            if view.id.startswith(prefix):
                return view
        return None

    def _task(self, pending: _Pending) -> None:
        view = self._find(pending)
        if view is None:
            self._answer(pending, "I know no such task. Write: !claw task ID")
            return
        mesh = self._context.mesh(pending.question.room)
        lines = [f"Task {short(view.id)}: {view.state}"]
        for name, stage in view.stages.items():
            who = f" by {clean(mesh.name_of(stage.current.executor), limit=40)}" if stage.current else ""
            lines.append(f"{name}: {stage.state}{who}")
        self._answer(pending, "\n".join(lines))

    def _own(self, pending: _Pending) -> TaskView:
        """The task a person names, if it was asked on that person's behalf by us. Raises ClawbotError."""
        view = self._find(pending)
        if view is None:
            raise ClawbotError("task.unknown", "I know no such task.")
        behalf = view.request.body.on_behalf_of
        if not isinstance(behalf, task.OnBehalfOf) or behalf.address != pending.question.address:
            raise ClawbotError("task.not_yours", "Only who asked may do that.")
        return view

    def _reply(self, pending: _Pending) -> None:
        view = self._own(pending)
        self._requester.reply(view.id, pending.argument.partition(" ")[2].strip())
        self._answer(pending, "Passed on.")

    def _cancel(self, pending: _Pending) -> None:
        view = self._own(pending)
        self._requester.cancel(view.id, "canceled by who asked")
        self._answer(pending, f"Task {short(view.id)} is canceled.")


def _came_late(question: Question) -> bool:
    """Held up on its way, as by servers that were apart: what others did about it meanwhile comes right behind."""
    return 0 < question.words.sent_ms < question.received_ms - _WAVE_MS


_COMMANDS: dict[str, Callable[[PeopleBehaviour, _Pending], None]] = {
    "ask": PeopleBehaviour._ask,
    "peers": PeopleBehaviour._peers,
    "task": PeopleBehaviour._task,
    "answer": PeopleBehaviour._reply,
    "cancel": PeopleBehaviour._cancel,
    "help": PeopleBehaviour._help,
}
