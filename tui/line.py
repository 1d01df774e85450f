"""A line of the timeline for programs and screen readers: what is known of one message at this moment."""

from __future__ import annotations

import msgspec

from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from tui.judge import Judge
from tui.sayings import said, who
from tui.views import Entry, Verdict


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What no signature tells is "" or 0."""

    id: str  # of the message
    verdict: Verdict  # an ``unbound`` message may become bound when an announce comes
    code: str  # why it is invalid or does not count
    type: str
    sender: str  # did, as claimed where it is invalid
    name: str  # announced, cleaned; the address where no signature holds, or one of a key that may not speak for it
    address: str  # that delivered it, as the transport says
    thread: str  # id of the task, or of the message that opened the handshake
    task: str  # id of the task
    line: str  # what it says, cleaned
    received_ms: int
    sent_ms: int  # by the sender's clock


def line_of(entry: Entry, judge: Judge) -> Line:
    message, name_of, verdict = entry.message, judge.mesh.name_of, judge.verdict(entry)
    known = {"id": "", "type": "", "sender": "", "thread": "", "task": "", "sent_ms": 0}
    if message is not None:
        thread = message.envelope.thread
        known = {
            "id": message.id,
            "type": message.type,
            "sender": message.sender,
            "thread": thread if isinstance(thread, str) else "",
            "task": task_of(message),
            "sent_ms": message.envelope.sent_ms,
        }
    return msgspec.convert(
        known
        | {
            "verdict": verdict,
            "code": judge.objection(entry),
            "name": who(entry, name_of, verdict),
            "address": entry.arrival.sender,
            "line": said(entry, name_of),
            "received_ms": entry.at_ms,
        },
        Line,
    )


def task_of(message: Message) -> str:
    """The id of the task a message belongs to, "" if to none."""
    if message.type == "task.request":
        return message.id
    return str(message.envelope.thread) if TYPES[message.type].family == "task" else ""
