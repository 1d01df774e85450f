"""The agent's witness: notes what it does as it does it, and signs the log in time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from typing import TypeAlias

from bots.audit import deeds
from bots.audit.log import AuditHealth, AuditLog
from bots.audit.records import Counted, Received, Stopped
from bots.behaviours import Received as Taken
from bots.clock import Clock
from bots.events import AnyEvent, MessageSeen
from bots.outbox import Entry as Words
from bots.quota import Bucket
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import present

log = logging.getLogger(__name__)

_CHECKPOINT_S = 30.0
_RETRY_S = 1.0
_TASKS = 1024
# Others decide how often these come: a log of them would be theirs to fill.
_COUNTED = frozenset({"handshake.hello", "handshake.accept", "handshake.confirm", "task.progress"})
RECEIVED_PER_MINUTE = 300

# A message of ours when it is signed, words of ours when they are said, a message of others when we take it up.
Deed: TypeAlias = Message | Words | Taken


class Audit:
    """Turns what it is told into records of ``log``. ``me`` is our did."""

    def __init__(self, log: AuditLog, me: str, clock: Clock) -> None:
        self._log = log
        self._me = me
        self._clock = clock
        self._tasks: OrderedDict[str, None] = OrderedDict()  # those that we have signed something about
        self._signed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._left_out = 0
        self._room = Bucket(RECEIVED_PER_MINUTE, clock.monotonic_ms())

    @property
    def health(self) -> AuditHealth:
        return self._log.health

    def begin(self, *, version: str, config: str) -> None:
        """The agent is there; ``config`` is the digest of its configuration."""
        self._log.begin(version=version, config=config)

    async def run(self) -> None:
        """Sign what is new every now and then, and at the end."""
        try:
            while True:
                await asyncio.sleep(_RETRY_S if self._log.health.fault else _CHECKPOINT_S)
                self._note_counts()
                self._log.retry()
                self._log.checkpoint()
        finally:
            self._note_counts()
            self._log.append(Stopped(at_ms=self._clock.now_ms()))
            self._log.close()

    def note(self, deed: Deed) -> None:
        """Something is done, or is about to be. Never raises."""
        try:
            if isinstance(deed, Message):
                self._note_signed(deed)
            elif isinstance(deed, Words):
                self._log.append(deeds.spoke(deed, self._clock.now_ms()))
            else:
                self._note_taken(deed)
        except Exception:
            # A fault of ours must not stop the work that it is about.
            log.exception("the audit log misses something")

    def told(self, event: AnyEvent) -> None:
        """An event of the agent: what it refuses is counted, and noted if it is about work of ours."""
        if not isinstance(event, MessageSeen) or event.ours or not event.live or not event.code:
            return
        if event.code == "recipient.other":
            return  # nothing is wrong with it
        self._refused[event.code] += 1
        if event.thread in self._tasks and event.type not in _COUNTED:
            self._note_received(
                Received(
                    at_ms=self._clock.now_ms(),
                    id=event.id,
                    type=event.type,
                    sender=event.sender,
                    room=event.room,
                    task=event.thread,
                    refused=event.code,
                )
            )

    def _note_signed(self, message: Message) -> None:
        if message.type in _COUNTED:
            self._signed[message.type] += 1
            return
        if thread := deeds.thread_of(message):
            self._tasks[thread] = None
            if len(self._tasks) > _TASKS:
                self._tasks.popitem(last=False)
        self._log.append(deeds.signed(message, self._clock.now_ms()))

    def _note_taken(self, taken: Taken) -> None:
        message = taken.message
        if TYPES[message.type].family != "task" or message.type in _COUNTED or message.sender == self._me:
            return
        if self._me in present(message.envelope.recipients, ()) or deeds.thread_of(message) in self._tasks:
            self._note_received(deeds.received(taken, self._clock.now_ms()))

    def _note_received(self, record: Received) -> None:
        if self._room.take(1, self._clock.monotonic_ms()):
            self._log.append(record)
        else:
            self._left_out += 1

    def _note_counts(self) -> None:
        if self._signed or self._refused or self._left_out:
            self._log.append(
                Counted(
                    at_ms=self._clock.now_ms(),
                    signed=dict(self._signed),
                    refused=dict(self._refused),
                    left_out=self._left_out,
                )
            )
            self._signed.clear()
            self._refused.clear()
            self._left_out = 0
