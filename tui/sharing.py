"""One copy of each text, however many messages hold it: names, ids and answers come again and again."""

from __future__ import annotations

from sys import intern
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from clawnet_proto.message import Message
from tui.arrivals import Checked

_WHENCE = ("transport", "room", "sender")
_WHO = ("type", "sender", "kid", "room", "thread", "answers")


def share(checked: Checked) -> Checked:
    """The same, with the texts of its messages shared with all others that were. Only the memory can tell."""
    for outcome in checked.outcomes:
        if isinstance(outcome, Message):
            _shared(outcome)
    return checked


def share_names(checked: Checked) -> Checked:
    """The same, with one copy of what nearly every event repeats: who, where, and which conversation.

    Where thousands come in a second, looking at every text would cost more than it spares.
    """
    _intern(checked.arrival, _WHENCE)
    for outcome in checked.outcomes:
        if isinstance(outcome, Message):
            _intern(outcome.envelope, _WHO)
    return checked


def _intern(struct: msgspec.Struct, fields: tuple[str, ...]) -> None:
    for field in fields:
        text = getattr(struct, field)
        if type(text) is str:  # else it is not there
            force_setattr(struct, field, intern(text))


def _shared(value: Any) -> Any:
    if type(value) is str:
        return intern(value)  # forgotten with the last message that holds it
    if type(value) is tuple:
        return tuple(map(_shared, value)) if value else value
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            before = getattr(value, field)
            after = _shared(before)
            if after is not before:
                force_setattr(value, field, after)
    return value
