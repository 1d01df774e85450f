"""What an agent tells those who watch it: commands, the control socket, logs. JSON-shaped by msgspec."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Verdict = Literal["bound", "unbound", "relayed", "invalid"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """Base of all events; ``at_ms`` is the local clock."""

    at_ms: int


class MessageSeen(Event, frozen=True, kw_only=True, tag="message"):
    """A carrier arrived, or one of ours was posted. Of an "invalid" one only the ``code`` is known."""

    verdict: Verdict
    code: str = ""
    id: str = ""
    type: str = ""
    sender: str = ""
    name: str = ""
    plane: str = ""
    room: str = ""
    address: str = ""
    thread: str = ""
    line: str = ""
    sent_ms: int = 0
    ours: bool = False
    live: bool = True


class PeerConfirmed(Event, frozen=True, kw_only=True, tag="handshake"):
    """A handshake with a peer was completed."""

    peer: str
    name: str
    rtt_ms: int


class TaskOpened(Event, frozen=True, kw_only=True, tag="task"):
    """A task of ours was posted."""

    task: str
    room: str
    stages: tuple[str, ...]


class StageChanged(Event, frozen=True, kw_only=True, tag="stage"):
    """A stage of a task of ours has a new state, executor or attempt.

    From the second attempt on, ``before`` had the stage until this attempt took over.
    """

    task: str
    stage: str
    attempt: int
    state: str
    executor: str = ""
    name: str = ""
    detail: str = ""
    before: str = ""  # did
    before_name: str = ""
    before_state: str = ""  # how its attempt ended, as in spec/states.json: "lapsed", "failed", "rejected"


class StageText(Event, frozen=True, kw_only=True, tag="text"):
    """More text of a running stage; ``offset`` in code points of the stage's output."""

    task: str
    stage: str
    attempt: int
    offset: int
    text: str


class StageDone(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted result in a finished task."""

    stage: str
    executor: str
    name: str
    attempt: int
    text: str
    output_digest: str
    model: str = ""
    finish: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    queued_ms: int = 0
    prompt_ms: int = 0
    generate_ms: int = 0


class TaskQuestion(Event, frozen=True, kw_only=True, tag="question"):
    """An executor asks for a word before it goes on."""

    task: str
    stage: str
    text: str


class TaskEnded(Event, frozen=True, kw_only=True, tag="answer"):
    """A task of ours ended. ``text`` is the last stage's."""

    task: str
    outcome: Literal["completed", "failed", "canceled"]
    text: str = ""
    code: str = ""
    message: str = ""
    stages: tuple[StageDone, ...] = ()
    executions: int = 0
    elapsed_ms: int = 0


class Notice(Event, frozen=True, kw_only=True, tag="notice"):
    """A sentence for the person who watches."""

    text: str
    task: str = ""


AnyEvent: TypeAlias = (
    MessageSeen | PeerConfirmed | TaskOpened | StageChanged | StageText | TaskQuestion | TaskEnded | Notice
)
