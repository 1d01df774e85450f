"""Messages as lines for people: the fallback body in the room, and what commands print.

Everything that comes from others is hostile text: control characters, direction overrides and mentions are
taken out, long text is cut.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from clawnet_proto.families import handshake, identity, presence, task
from clawnet_proto.message import Message
from clawnet_proto.wire import present

_LINE = 280
_MENTION = re.compile(r"@+(?=[^\s@:]{1,255}:[^\s@])|@+(?=room\b)")


def clean(text: str, *, limit: int = _LINE, lines: bool = False) -> str:
    """Text that cannot disturb a terminal or a room. ``lines`` keeps line breaks."""
    text = text[: limit * 4]
    # Most text is harmless: what is printable holds nothing that is taken out below, but for mentions and wide spaces.
    kept = list(text) if text.isprintable() and text.isascii() else []
    for character in "" if kept else text:
        category = unicodedata.category(character)
        if character == "\n" and lines:
            kept.append(character)
        elif character.isspace():
            kept.append(" ")
        elif category not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            kept.append(character)
    plain = _MENTION.sub("", "".join(kept))
    if not lines:
        plain = " ".join(plain.split())
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def short(identifier: str) -> str:
    """The first characters of an id, enough to tell it from others in a room."""
    return identifier[:8]


def line(message: Message, name_of: Callable[[str], str]) -> str:
    """What a message says, in one line, without the sender's name."""
    render = _LINES.get(type(message.body))
    if render is None:
        return message.type
    recipients = present(message.envelope.recipients, ())
    return render(message.body, clean(name_of(recipients[0]), limit=64) if recipients else "", message)


def full(message: Message, name_of: Callable[[str], str]) -> str:
    """The fallback body of a message in a room: what a person in any chat client reads."""
    body = message.body
    if isinstance(body, task.Result) and body.text is not UNSET and body.media_type == "text/plain":
        return f"[{body.stage}] {clean(body.text, limit=4000, lines=True).strip()}"
    return line(message, name_of)


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _rotate(body: identity.Rotate, _to: str, _message: Message) -> str:
    return f"gives up its key for key number {len(body.chain) + 1}"


def _revoke(body: identity.Revoke, _to: str, _message: Message) -> str:
    return "revokes its identity" + (f": {clean(body.reason)}" if body.reason is not UNSET else "")


def _announce(body: presence.Announce, _to: str, _message: Message) -> str:
    models = ", ".join(clean(model.name) for model in body.models)
    can = f", can {', '.join(body.capabilities)}" if body.capabilities else ""
    with_models = f" with {models}" if models else ""
    knows = f"; shook hands with {len(body.confirmed)}" if body.confirmed else ""
    return f"is here: {body.kind} {body.role}{can}{with_models}{knows}"


def _request(body: task.Request, to: str, message: Message) -> str:
    stages = " → ".join(stage.id for stage in body.stages)
    what = "a sealed task" if body.privacy == "sealed" else clean(body.title, limit=200)
    whom = f" of {to}" if to else ""
    person = f" for {_person(body.on_behalf_of)}" if body.on_behalf_of is not UNSET else ""
    return f"asks{whom}{person}: {what} [{stages}] task {short(message.id)}"


def vouched_by(address: str) -> str:
    """Who says that a person without a key, at this address, said something (TASK-57)."""
    return "vouched by the homeserver" if address.startswith("matrix:") else "vouched by the person's server"


def _person(behalf: Any) -> str:
    address = str(behalf.address)
    return f"{clean(address.removeprefix('matrix:u/'))} ({vouched_by(address)})"


def _award(body: task.Award, to: str, _message: Message) -> str:
    again = f" (attempt {body.attempt})" if body.attempt > 1 else ""
    return f"awards {clean(body.stage)} to {to}{again}"


def _offer(body: task.Offer, to: str, _message: Message) -> str:
    return f"offers {', '.join(clean(item.stage) for item in body.stages)} to {to}"


def _result(body: task.Result, _to: str, _message: Message) -> str:
    if body.artifact is not UNSET:
        text = f"{body.artifact.bytes} bytes, stored apart"
    else:
        text = "sealed" if body.text is UNSET else clean(body.text, limit=160)
    seconds = (body.usage.prompt_ms + body.usage.generate_ms) / 1000
    took = f" ({body.usage.output_tokens} tokens, {seconds:.1f} s)" if body.usage.output_tokens else ""
    return f"result of {clean(body.stage)}: {text}{took}"


def _close(body: task.Close, _to: str, message: Message) -> str:
    if body.outcome == "failed":
        return f"closes task {short(str(message.envelope.thread))}: failed, {clean(present(body.message, ''))}"
    executors = len({item.executor for item in body.accepted})
    return f"closes task {short(str(message.envelope.thread))}: completed by {_some(executors, 'peer')}, receipt signed"


_LINES: Mapping[type, Callable[[Any, str, Message], str]] = {
    identity.Rotate: _rotate,
    identity.Revoke: _revoke,
    presence.Announce: _announce,
    presence.Leave: lambda body, to, m: f"leaves: {clean(present(body.reason, 'no reason given'))}",
    handshake.Hello: lambda body, to, m: f"says hello to {to}",
    handshake.Accept: lambda body, to, m: f"accepts the handshake of {to}, version {body.version}",
    handshake.Confirm: lambda body, to, m: f"confirms the handshake with {to}",
    task.Request: _request,
    task.Offer: _offer,
    task.Award: _award,
    task.Start: lambda body, to, m: f"starts {clean(body.stage)} for {to}",
    task.Progress: lambda body, to, m: f"{clean(body.stage)}: {_some(body.tokens, 'token')} so far",
    task.Ask: lambda body, to, m: f"asks {to} about {clean(body.stage)}: {clean(body.question)}",
    task.Reply: lambda body, to, m: f"replies to {to}: {clean(body.text)}",
    task.Result: _result,
    task.Fail: lambda body, to, m: f"fails {clean(body.stage)} ({body.code}): {clean(body.message)}",
    task.Cancel: lambda body, to, m: f"cancels task {short(str(m.envelope.thread))}",
    task.Close: _close,
}
