"""The messages of one task, bounded, and the state that follows from them (spec/10-fold.md, FOLD-8 and FOLD-9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView, derive
from clawnet_proto.message import Message
from clawnet_proto.packed import Packed
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import present

# Of those who were awarded nothing, together: what comes ahead of its award must fit, and no more.
_STRANGE_BYTES = 8 * LIMITS.envelope_bytes

Speaker = tuple[str, str]  # sender and kid: a key that was given up fills up no place but its own


class Thread:
    """A task's messages by who said them.

    Everybody fills up only what is his own: the requester's messages, and those of whom it awarded, are kept
    whatever others send. Offers are for the requester alone and are no part of the state.
    """

    __slots__ = ("_asleep", "_awarded", "_packed", "_request", "_said", "age", "asked_for", "requester", "size")

    def __init__(self, request: Message) -> None:
        self.age = request.envelope.sent_ms, request.id  # what tasks are forgotten by, the least first
        self.requester = request.sender
        behalf = request.body.on_behalf_of
        self.asked_for = behalf.event if isinstance(behalf, task.OnBehalfOf) else ""  # the event of a person
        self.size = request.size
        # Asleep, all that was said is packed.
        self._request: Message | None = request
        self._said: dict[Speaker, dict[tuple[str, ...], Message]] = {}
        self._asleep = False
        self._packed: Packed | None = None
        self._awarded: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """The task's id: its request's."""
        return self.age[1]

    @property
    def request(self) -> Message:
        """What opened the task."""
        self._wake()
        assert self._request is not None
        return self._request

    def speaks(self, sender: str) -> bool:
        """Whether this identity has any part in the task."""
        self._wake()
        return sender == self.requester or any(sender == speaker for speaker, _ in self._said)

    def add(self, message: Message, *, counts: bool) -> bool:
        """Keep a message; ``counts`` says whether its key may speak. Whether the state may be another one now.

        Raises RemoteProtocolError ``state.full``.
        """
        if message.type == "task.offer":
            return False
        self._wake()
        ours = message.sender == self.requester
        speaker = (message.sender, message.envelope.kid)
        messages = self._said.get(speaker)
        if messages is None:
            if not ours:
                self._make_room()
            messages = self._said[speaker] = {}
        place = _place(message)
        kept = messages.get(place)
        if kept is None and len(messages) >= (LIMITS.messages_per_task if ours else LIMITS.messages_per_sender):
            raise RemoteProtocolError("state.full", "messages of one task")
        if kept is not None and not _newer(message, kept):
            return False
        messages[place] = message
        self._packed = None
        self.size += message.size - (kept.size if kept is not None else 0)
        if ours and counts and message.type == "task.award":
            self._awarded = self._awarded.union(present(message.envelope.recipients, ()))
        elif not ours and message.sender not in self._awarded:
            self._hush()
        return True

    def _make_room(self) -> None:
        others = sum(sender != self.requester for sender, _ in self._said)
        if others < LIMITS.senders_per_task:
            return
        strangers = self._strangers()
        if not strangers:
            raise RemoteProtocolError("state.full", "senders of one task")
        self.size -= self._bytes_of(min(strangers))
        del self._said[min(strangers)]

    def _hush(self) -> None:
        """Strangers say little in a task, however many they are."""
        sizes = {speaker: self._bytes_of(speaker) for speaker in self._strangers()}
        while sum(sizes.values()) > _STRANGE_BYTES:
            del self._said[min(sizes)]
            self.size -= sizes.pop(min(sizes))

    def _strangers(self) -> list[Speaker]:
        """Those who were awarded nothing."""
        heard = {self.requester, *self._awarded}
        return [speaker for speaker in self._said if speaker[0] not in heard]

    def _bytes_of(self, speaker: Speaker) -> int:
        return sum(message.size for message in self._said[speaker].values())

    def progress(self, sender: str, kid: str, stage: str, attempt: int) -> Message | None:
        """The newest progress of an attempt by this key."""
        self._wake()
        return self._said.get((sender, kid), {}).get((stage, str(attempt)))

    def derive(self, counts: Callable[[Message], bool]) -> TaskView:
        """The state that follows from the messages that count."""
        return derive(self.request, filter(counts, self._messages()))

    def _messages(self) -> Iterator[Message]:
        return (message for said in self._said.values() for message in said.values())

    def rest(self) -> None:
        """Take little room until somebody asks. Nothing else changes."""
        if self._asleep:
            return
        if self._packed is None:
            self._packed = Packed((self.request, *self._messages()))
        self._request, self._said, self._asleep = None, {}, True

    def _wake(self) -> None:
        if self._asleep and self._packed is not None:
            self._request, *said = self._packed.unpack()
            for message in said:
                self._said.setdefault((message.sender, message.envelope.kid), {})[_place(message)] = message
        self._asleep = False

    def copy(self) -> Thread:
        """An independent copy."""
        other = Thread(self.request)
        other.size = self.size
        other._said = {speaker: messages.copy() for speaker, messages in self._said.items()}
        other._awarded = self._awarded
        return other


def _place(message: Message) -> tuple[str, ...]:
    """Of an attempt's progress only the newest is kept."""
    if message.type == "task.progress":
        return message.body.stage, str(message.body.attempt)
    return (message.id,)


def _newer(message: Message, kept: Message) -> bool:
    """Progress is counted by its index; anything else in the same place is the same message."""
    return message.id != kept.id and (message.body.index, message.id) > (kept.body.index, kept.id)
