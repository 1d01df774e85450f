"""The keys of the filter language: how their values are read, and which texts of a row these are held against."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, get_args

import msgspec

from clawnet_proto.rendering import short
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import present
from tui.line import task_of
from tui.sayings import address_of, said, who
from tui.text import cell
from tui.views import AgentRow, Entry, PeerState, TaskRow, Verdict

_DID_PART = 6  # characters that tell a part of a did from a name
_NAME = 64  # characters of the longest name
_SAID = 400
_TASK_STATES = ("submitted", "working", "input_required", "completed", "failed", "canceled")


class FilterError(Exception):
    """A filter that makes no sense. The text is one sentence: which part, and what it may be."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _nobody(_: str) -> None:
    return None


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a filter asks about a row beyond what stands in it."""

    name_of: Callable[[str], str]  # did -> name
    verdict_of: Callable[[Entry], Verdict]
    task_state: Callable[[str], str]  # task id -> state, "" if it is not known
    agent_of: Callable[[str], AgentRow | None] = _nobody  # did -> row


Fits = Callable[[str], bool]
Texts = Callable[..., Sequence[str]]  # a row, and the context but for agents, to the texts of which one must fit


class Key(NamedTuple):
    """What stands before a colon. A pane whose texts are None does not heed it."""

    usage: str
    help: str
    read: Callable[[str], Fits]  # the value, folded, to its test; raises FilterError
    entry: Texts | None = None
    agent: Texts | None = None
    task: Texts | None = None
    every: bool = False  # of several values all must fit, not one


# -- how values are read ---------------------------------------------------------------------------------------


def fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _glob(value: str) -> Fits | None:
    """The test of a pattern with ``*``, ``?`` or ``[...]``, None of a value without. Takes linear time."""
    if not any(mark in value for mark in "*?["):
        return None
    match = re.compile(fnmatch.translate(value)).match
    return lambda text: match(fold(text)) is not None


def _beginning(value: str) -> Fits:
    return _glob(value) or (lambda text: fold(text).startswith(value))


def _who(value: str) -> Fits:
    """The beginning of a name, or some characters of a did."""
    if len(value) < _DID_PART:
        return _beginning(value)
    return _glob(value) or (lambda text: fold(text).startswith(value) or (text[:4] == "did:" and value in fold(text)))


def _of(key: str, words: Collection[str]) -> Callable[[str], Fits]:
    def read(value: str) -> Fits:
        if value not in words:
            raise FilterError("filter.value", f"{key}: cannot be “{value}”; it is one of {', '.join(words)}.")
        return value.__eq__

    return read


def _type(value: str) -> Fits:
    """A message type, its family, its last word, or a pattern of these."""
    match = _glob(value) or value.__eq__
    types = frozenset(kind for kind in TYPES if any(map(match, (kind, *kind.split(".")))))
    if not types:
        families = ", ".join(dict.fromkeys(f"{rule.family}.*" for rule in TYPES.values()))
        raise FilterError("filter.value", f"No message type fits type:{value}; there are {families}.")
    return types.__contains__


def _word(value: str) -> Fits:
    return lambda text: value in text


# -- which texts of a row a value may fit ------------------------------------------------------------------------


def _plain(text: str) -> str:
    """A name as it is shown: nothing hides in it."""
    return cell(text, _NAME, pad=False)


def _people(dids: Iterable[str], context: Context) -> list[str]:
    return [text for did in dids for text in (_plain(context.name_of(did)), did)]


def _agents(dids: Iterable[str], context: Context) -> list[AgentRow]:
    return [row for row in map(context.agent_of, dids) if row is not None]


def _executors(row: TaskRow) -> list[str]:
    return list(dict.fromkeys(stage.executor for stage in row.stages if stage.executor))


def _parties(row: TaskRow) -> list[str]:
    return [row.requester, *_executors(row)]


def _sender(entry: Entry) -> list[str]:
    return [] if entry.message is None else [entry.message.sender]


def _entry_from(entry: Entry, context: Context) -> list[str]:
    return _people(_sender(entry), context) or [address_of(entry.arrival.sender), entry.arrival.sender]


def _entry_to(entry: Entry, context: Context) -> list[str]:
    return [] if entry.message is None else _people(present(entry.message.envelope.recipients, ()), context)


def _entry_task(entry: Entry, _: Context) -> list[str]:
    return [] if entry.message is None else [task_of(entry.message)]


def _entry_task_state(entry: Entry, context: Context) -> list[str]:
    return [context.task_state(task) for task in _entry_task(entry, context) if task]


def _entry_words(entry: Entry, context: Context) -> list[str]:
    message = entry.message
    known = ["", ""] if message is None else [message.type, short(message.id)]
    return [_joined([*known, who(entry, context.name_of, context.verdict_of(entry)), said(entry, context.name_of)])]


def _agent_names(row: AgentRow) -> list[str]:
    return [_plain(row.name), row.did]


def _agent_words(row: AgentRow) -> list[str]:
    lists = (row.models, row.capabilities, row.offers, row.wants, row.addresses)
    single = [row.name, row.did, row.kind, row.role, row.description, row.state, row.region]
    return [_joined([*single, *(text for texts in lists for text in texts)])]


def _task_words(row: TaskRow, context: Context) -> list[str]:
    stages = [text for stage in row.stages for text in (stage.id, stage.kind, stage.state, stage.model)]
    names = map(context.name_of, _parties(row))
    rest = [row.title, short(row.id), row.state, row.privacy, row.outcome, address_of(row.on_behalf_of)]
    return [_joined([*rest, *names, *stages])]


def _joined(texts: Iterable[str]) -> str:
    """One text to look for words in; what a person typed in quotes is not found across two of them."""
    return fold("\n".join(cell(text, _SAID, pad=False) for text in texts))


# -- the language ------------------------------------------------------------------------------------------------

WORDS: Final = Key(
    "word", "occurs in the name, the type or what is said; “two words” in quotes",
    _word, _entry_words, _agent_words, _task_words, every=True,
)  # fmt: skip
AGENT_STATE: Final = Key(
    "state:live", f"agents that are {', '.join(get_args(PeerState))}; what they say",
    _of("state", (*_TASK_STATES, *get_args(PeerState))),
    lambda entry, context: [row.state for row in _agents(_sender(entry), context)],
    lambda row: [row.state],
)  # fmt: skip
KEYS: Final[Mapping[str, Key]] = {
    "type": Key(
        "type:task.*", "messages of a type, a family or a pattern of them",
        _type,
        lambda entry, _: [] if entry.message is None else [entry.message.type],
    ),
    "verdict": Key(
        "verdict:invalid", f"messages that are {', '.join(get_args(Verdict))}",
        _of("verdict", get_args(Verdict)),
        lambda entry, context: [context.verdict_of(entry)],
    ),
    "task": Key(
        "task:5fjx", "one task and its messages, by the beginning of its id",
        _beginning, _entry_task, None, lambda row, _: [row.id],
    ),
    "from": Key(
        "from:ada", "who speaks, asks or works: the beginning of a name, or a part of the did",
        _who, _entry_from, _agent_names, lambda row, context: _people(_parties(row), context),
    ),
    "to": Key(
        "to:ada", "whom it is for: the beginning of a name, or a part of the did",
        _who, _entry_to, _agent_names, lambda row, context: _people(_executors(row), context),
    ),
    "state": Key(
        "state:working", f"tasks that are {', '.join(_TASK_STATES)}; their messages",
        _of("state", (*_TASK_STATES, *get_args(PeerState))),
        _entry_task_state, None, lambda row, _: [row.state],
    ),
    "role": Key(
        "role:writer", "agents of a role; what they say and work on",
        _beginning,
        lambda entry, context: [row.role for row in _agents(_sender(entry), context)],
        lambda row: [row.role],
        lambda row, context: [agent.role for agent in _agents(_parties(row), context)],
    ),
    "model": Key(
        "model:gemma*", "agents with a model; what they say, and the tasks it works on",
        _beginning,
        lambda entry, context: [model for row in _agents(_sender(entry), context) for model in row.models],
        lambda row: row.models,
        lambda row, _: [stage.model for stage in row.stages],
    ),
}  # fmt: skip
ALL_KEYS: Final = (*KEYS.values(), AGENT_STATE, WORDS)
"""In the order of what they take: words last, whose texts are made for them."""
