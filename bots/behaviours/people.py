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
from bots.complaints import Complaints
from bots.errors import ClawbotError
from bots.fair_memory import FairMemory
from bots.quota import Bucket, is_listed
from bots.ranking import ranked
from bots.takeovers import before, ended
from clawnet_proto.errors import ProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.freshness import is_in_time
from clawnet_proto.mesh import Peer
from clawnet_proto.rendering import clean, short
from clawnet_proto.signing import digest

log = logging.getLogger(__name__)

_PREFIX = "!claw"
_WAVE_MS = 3_000
_CLOCK_OFF_WAVES = 5
_FORGET_MS = 60_000
_FORGET_ADDRESSED_MS = 900_000
_OPEN_QUESTIONS = 32
_PENDING = 256
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
    asked_ms: int  # by the monotonic clock
    free_ms: int  # by the same: since when nobody is known to serve it
    command: str
    argument: str
    addressed: bool


class PeopleBehaviour:
    """What people write, and what we answer."""

    def __init__(self, context: Context, requester: RequesterBehaviour) -> None:
        self._context = context
        self._requester = requester
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._pending_of = FairMemory[str](_PENDING)
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._strangers = Bucket(context.config.people.questions_per_minute_strangers, context.monotonic_ms())
        self._declined_ms: dict[str, int] = {}
        self._complaints = Complaints(log, context.monotonic_ms)
        self._taken: dict[str, Question] = {}  # tasks for questions that addressed nobody

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
        # One of an earlier run has waited since then: only the wall clock can tell.
        waited = max(0, self._context.now_ms() - question.received_ms)
        asked_ms = self._context.monotonic_ms() - waited
        self._pending[question.event_id] = _Pending(
            question=question,
            asked_ms=asked_ms,
            free_ms=asked_ms,
            command=command.lower() or "help",
            argument=argument.strip(),
            addressed=addressed,
        )
        # Committed with what marks the event handled: a crash before it is served loses nothing.
        self._context.store.set_fact(_KEY + question.event_id, msgspec.json.encode(question).decode())
        for forgotten in self._pending_of.add(question.event_id, question.address):
            self._forget(forgotten)

    def resume(self) -> None:
        """Take up questions that an earlier run had not served yet."""
        rooms = {room.uri for room in self._context.rooms()}
        for text in self._context.store.facts(_KEY).values():
            question = msgspec.json.decode(text, type=Question)
            if question.room in rooms:
                self.on_question(question)
            else:
                self._forget(question.event_id)

    def abandon(self, room: str) -> None:
        """Leave open the questions of a room that hears us no more."""
        for event_id in [key for key, pending in self._pending.items() if pending.question.room == room]:
            self._forget(event_id)

    def _forget(self, event_id: str) -> None:
        self._pending.pop(event_id, None)
        self._pending_of.discard(event_id)
        self._context.store.forget_fact(_KEY + event_id)

    def _is_agent(self, question: Question) -> bool:
        """Agents are never asked by words: two of them would talk for ever."""
        mesh = self._context.mesh(question.room)
        announces = (mesh.peers[did].body for did in mesh.claimants(question.address))
        return any(body is not None and body.kind in ("ai", "system") for body in announces)

    def _allowed(self, address: str) -> bool:
        people, owner = self._context.config.people, self._context.config.matrix.owner
        if owner and is_listed(address, (owner,)):
            return True
        return people.answer == "room" or (people.answer == "listed" and is_listed(address, people.listed))

    def advance(self, monotonic_ms: int) -> None:
        self._yield_doubles()
        for event_id, pending in list(self._pending.items()):
            age = monotonic_ms - pending.asked_ms
            if age > (_FORGET_ADDRESSED_MS if pending.addressed else _FORGET_MS) or self._is_answered(pending):
                self._forget(event_id)
            elif pending.addressed or self._my_turn(pending, monotonic_ms):
                with self._context.store.transaction():
                    self._forget(event_id)
                    self._serve(pending)
            elif pending.command != "ask" and self._mine(pending) is None:
                # Settled at once: ranks change with the load, and then a second one would answer.
                self._forget(event_id)

    def _yield_doubles(self) -> None:
        """Two agents took one question that addressed nobody: who has answered it stands, else who ranks better."""
        me = self._context.identity.did
        for task_id, question in list(self._taken.items()):
            if task_id not in self._requester.open_tasks():
                del self._taken[task_id]
                continue
            room, event = question.room, question.event_id
            order = ranked(event, self._agents(room, question.address))
            better = order[: order.index(me)] if me in order else order
            others = (view for view in self._requests_for(room, event) if view.requester != me)
            if any(view.close is not None or view.requester in better for view in others):
                del self._taken[task_id]
                self._requester.cancel(task_id, "another agent serves this question")

    def _requests_for(self, room: str, event: str) -> list[TaskView]:
        """What agents of the room asked on behalf of one event, and may still be, or was, answered."""
        mesh, now = self._context.mesh(room), self._context.now_ms()
        found = []
        for view in mesh.asked_for(event):
            # One that is out of time is worked on by nobody.
            stands = view.state not in ("failed", "canceled") and (view.close or is_in_time(view.request, now))
            if stands and mesh.vouched(view.request):
                found.append(view)
        return found

    def _is_answered(self, pending: _Pending) -> bool:
        """Whether another agent has answered a question to nobody in particular."""
        question = pending.question
        requests = [] if pending.addressed else self._requests_for(question.room, question.event_id)
        return any(view.close is not None for view in requests)

    def _my_turn(self, pending: _Pending, monotonic_ms: int) -> bool:
        """Whether a question to nobody in particular is ours: by rank, and by what others have done."""
        mine = self._mine(pending)
        if mine is not None:
            return mine
        room, event_id = pending.question.room, pending.question.event_id
        order = ranked(event_id, self._agents(room, pending.question.address))
        me = self._context.identity.did
        if me not in order:
            return False
        if pending.command != "ask":
            # Only a request is seen by the others: what leaves no trace in the fold is answered by the first alone.
            return order.index(me) == 0
        if self._requests_for(room, event_id):
            pending.free_ms = monotonic_ms  # should it fail, we do not all take it up at once
            return False
        # If our clock is wrong nobody would act on what we ask: others go first.
        late = _came_late(pending.question) + (_CLOCK_OFF_WAVES if self._context.clock_fault else 0)
        return order.index(me) + late <= (monotonic_ms - pending.free_ms) // _WAVE_MS

    def _mine(self, pending: _Pending) -> bool | None:
        """For commands about a task: whether we are its requester; None for everything else."""
        if pending.command not in ("task", "answer", "cancel"):
            return None
        view = self._find(pending)
        return None if view is None else view.requester == self._context.identity.did

    def _agents(self, room: str, person: str) -> list[Peer]:
        """The agents that hear a person."""
        live = self._context.hearing(room, person)
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
        people, now = self._context.config.people, self._context.monotonic_ms()
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
        address, now = pending.question.address, self._context.monotonic_ms()
        self._complaints.say(logging.INFO, address, "%s asks too often", address, extra={})
        declined = self._declined_ms.get(address)
        if pending.addressed and (declined is None or now - declined > _FORGET_MS):
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
        announces = [peer.body for peer in self._context.live_peers(question.room) if peer.body is not None]
        kind = pipelines.kind_for(announces)
        task_id = self._requester.request(
            Order(
                room=question.room,
                title=clean(text, limit=200),
                inputs={pipelines.QUESTION: text},
                stages=pipelines.build(
                    ("draft", "critique", "revise"), kind, max_tokens=self._context.config.requests.max_tokens
                ),
                on_behalf_of=task.OnBehalfOf(
                    address=question.address, event=question.event_id, text_digest=digest(question.words.body.encode())
                ),
                root=question.words.thread_root,
            )
        )
        if not pending.addressed:
            self._taken[task_id] = question

    def _peers(self, pending: _Pending) -> None:
        lines = []
        for peer in self._context.live_peers(pending.question.room):
            if peer.body is not None:
                models = ", ".join(clean(model.name, limit=40) for model in peer.body.models) or "no model"
                lines.append(f"{clean(peer.body.name, limit=40)} – {peer.body.kind} {peer.body.role}, {models}")
        self._answer(pending, "\n".join(lines[:50]) or "Nobody is here yet.")

    def _find(self, pending: _Pending) -> TaskView | None:
        prefix = pending.argument.partition(" ")[0]
        return None if len(prefix) < 4 else self._context.mesh(pending.question.room).find_task(prefix)

    def _task(self, pending: _Pending) -> None:
        view = self._find(pending)
        if view is None:
            self._answer(pending, "I know no such task. Write: !claw task ID")
            return
        mesh = self._context.mesh(pending.question.room)
        lines = [f"Task {short(view.id)}: {view.state}"]
        for name, stage in view.stages.items():
            who = f" by {clean(mesh.name_of(stage.current.executor), limit=40)}" if stage.current else ""
            if earlier := before(stage):
                who += f", after {clean(mesh.name_of(earlier.executor), limit=40)} ({ended(earlier.state)})"
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
