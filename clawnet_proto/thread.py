"""The messages of one task, bounded, and the state that follows from them (spec/10-fold.md, FOLD-8 and FOLD-9)."""

from __future__ import annotations

from collections.abc import Callable

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.task_state import TaskView, derive
from clawnet_proto.message import Message
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import present

Speaker = tuple[str, str]  # sender and kid: a key that was given up fills up no place but its own


class Thread:
    """A task's messages by who said them.

    Everybody fills up only what is his own: the requester's messages, and those of whom it awarded, are kept
    whatever others send. Offers are for the requester alone and are no part of the state.
    """

    def __init__(self, request: Message) -> None:
        self.request = request
        self.size = request.size
        self._said: dict[Speaker, dict[tuple[str, ...], Message]] = {}
        self._awarded: set[str] = set()

    @property
    def age(self) -> tuple[int, str]:
        """What tasks are forgotten by, the least first."""
        return self.request.envelope.sent_ms, self.request.id

    def speaks(self, sender: str) -> bool:
        """Whether this identity has any part in the task."""
        return sender == self.request.sender or any(sender == speaker for speaker, _ in self._said)

    def add(self, message: Message, *, counts: bool) -> bool:
        """Keep a message; ``counts`` says whether its key may speak. Whether the state may be another one now.

        Raises RemoteProtocolError ``state.full``.
        """
        if message.type == "task.offer":
            return False
        ours = message.sender == self.request.sender
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
        self.size += message.size - (kept.size if kept is not None else 0)
        if ours and counts and message.type == "task.award":
            self._awarded.update(present(message.envelope.recipients, ()))
        return True

    def _make_room(self) -> None:
        others = [speaker for speaker in self._said if speaker[0] != self.request.sender]
        if len(others) < LIMITS.senders_per_task:
            return
        strangers = [speaker for speaker in others if speaker[0] not in self._awarded]
        if not strangers:
            raise RemoteProtocolError("state.full", "senders of one task")
        self.size -= sum(message.size for message in self._said.pop(min(strangers)).values())

    def progress(self, sender: str, kid: str, stage: str, attempt: int) -> Message | None:
        """The newest progress of an attempt by this key."""
        return self._said.get((sender, kid), {}).get((stage, str(attempt)))

    def derive(self, counts: Callable[[Message], bool]) -> TaskView:
        """The state that follows from the messages that count."""
        messages = (message for said in self._said.values() for message in said.values())
        return derive(self.request, filter(counts, messages))

    def copy(self) -> Thread:
        """An independent copy."""
        other = Thread(self.request)
        other.size = self.size
        other._said = {speaker: messages.copy() for speaker, messages in self._said.items()}
        other._awarded = self._awarded.copy()
        return other


def _place(message: Message) -> tuple[str, ...]:
    """Of an attempt's progress only the newest is kept."""
    if message.type == "task.progress":
        return message.body.stage, str(message.body.attempt)
    return (message.id,)


def _newer(message: Message, kept: Message) -> bool:
    """Progress is counted by its index; anything else in the same place is the same message."""
    return message.id != kept.id and (message.body.index, message.id) > (kept.body.index, kept.id)
