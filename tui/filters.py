"""The filter language: what a person types after ``/``, compiled once, then asked for every row.

A filter is words and ``key:value`` pairs. All words must occur; of several values of one key one must fit; with a
``-`` in front none may. Quotes hold together what has spaces. Each pane heeds the keys that say something about its
rows: ``from:ada`` shows the messages of ada, ada herself, and the tasks she asked for or works on.
"""

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

_LONGEST = 400  # characters of a filter
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


class _Key(NamedTuple):
    """What stands before a colon. A pane whose texts are None does not heed it."""

    usage: str
    help: str
    read: Callable[[str], Fits]  # the value, folded, to its test; raises FilterError
    entry: Texts | None = None
    agent: Texts | None = None
    task: Texts | None = None
    every: bool = False  # of several values all must fit, not one


class _Test(NamedTuple):
    texts: Texts
    wanted: tuple[Fits, ...]
    unwanted: tuple[Fits, ...]
    every: bool


class Filter:
    """What to show. ``text`` is its canonical form: parsed again it gives the same filter."""

    __slots__ = ("_agents", "_entries", "_tasks", "text")

    def __init__(self, terms: Sequence[_Term] = ()) -> None:
        self.text = " ".join(dict.fromkeys(term.text for term in terms))
        ordered = sorted(terms, key=lambda term: _COST[term.key.usage])
        self._entries = _tests((term.key.entry, term) for term in ordered)
        self._agents = _tests((term.key.agent, term) for term in ordered)
        self._tasks = _tests((term.key.task, term) for term in ordered)

    def entry(self, entry: Entry, context: Context) -> bool:
        """Whether to show a line of the timeline."""
        return _shown(self._entries, entry, context)

    def agent(self, row: AgentRow) -> bool:
        return _shown(self._agents, row)

    def task(self, row: TaskRow, context: Context) -> bool:
        return _shown(self._tasks, row, context)


def _shown(tests: Sequence[_Test], *row: object) -> bool:
    for texts_of, wanted, unwanted, every in tests:
        texts = texts_of(*row)
        if wanted and not (all if every else any)(fits(text) for text in texts for fits in wanted):
            return False
        if unwanted and any(fits(text) for text in texts for fits in unwanted):
            return False
    return True


def _tests(terms: Iterable[tuple[Texts | None, _Term]]) -> tuple[_Test, ...]:
    """Terms about the same texts are one test: for agents ``from:`` and ``to:`` both name who is of interest."""
    found: dict[Texts, _Test] = {}
    for texts, term in terms:
        if texts is not None:
            test = found.get(texts, _Test(texts, (), (), term.key.every))
            wanted, unwanted = ((), (term.fits,)) if term.negative else ((term.fits,), ())
            found[texts] = test._replace(wanted=test.wanted + wanted, unwanted=test.unwanted + unwanted)
    return tuple(found.values())


# -- how values are read ---------------------------------------------------------------------------------------


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _glob(value: str) -> Fits | None:
    """The test of a pattern with ``*``, ``?`` or ``[...]``, None of a value without. Takes linear time."""
    if not any(mark in value for mark in "*?["):
        return None
    match = re.compile(fnmatch.translate(value)).match
    return lambda text: match(_fold(text)) is not None


def _beginning(value: str) -> Fits:
    return _glob(value) or (lambda text: _fold(text).startswith(value))


def _who(value: str) -> Fits:
    """The beginning of a name, or some characters of a did."""
    if len(value) < _DID_PART:
        return _beginning(value)
    return _glob(value) or (lambda text: _fold(text).startswith(value) or (text[:4] == "did:" and value in _fold(text)))


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
    return [_joined([*known, who(entry, context.name_of), said(entry, context.name_of)])]


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
    return _fold("\n".join(cell(text, _SAID, pad=False) for text in texts))


# -- the language ------------------------------------------------------------------------------------------------

_WORDS: Final = _Key(
    "word", "occurs in the name, the type or what is said; “two words” in quotes",
    _word, _entry_words, _agent_words, _task_words, every=True,
)  # fmt: skip
_AGENT_STATE: Final = _Key(
    "state:live", f"agents that are {', '.join(get_args(PeerState))}; what they say",
    _of("state", (*_TASK_STATES, *get_args(PeerState))),
    lambda entry, context: [row.state for row in _agents(_sender(entry), context)],
    lambda row: [row.state],
)  # fmt: skip
_KEYS: Final[Mapping[str, _Key]] = {
    "type": _Key(
        "type:task.*", "messages of a type, a family or a pattern of them",
        _type,
        lambda entry, _: [] if entry.message is None else [entry.message.type],
    ),
    "verdict": _Key(
        "verdict:invalid", f"messages that are {', '.join(get_args(Verdict))}",
        _of("verdict", get_args(Verdict)),
        lambda entry, context: [context.verdict_of(entry)],
    ),
    "task": _Key(
        "task:5fjx", "one task and its messages, by the beginning of its id",
        _beginning, _entry_task, None, lambda row, _: [row.id],
    ),
    "from": _Key(
        "from:ada", "who speaks, asks or works: the beginning of a name, or a part of the did",
        _who, _entry_from, _agent_names, lambda row, context: _people(_parties(row), context),
    ),
    "to": _Key(
        "to:ada", "whom it is for: the beginning of a name, or a part of the did",
        _who, _entry_to, _agent_names, lambda row, context: _people(_executors(row), context),
    ),
    "state": _Key(
        "state:working", f"tasks that are {', '.join(_TASK_STATES)}; their messages",
        _of("state", (*_TASK_STATES, *get_args(PeerState))),
        _entry_task_state, None, lambda row, _: [row.state],
    ),
    "role": _Key(
        "role:writer", "agents of a role; what they say and work on",
        _beginning,
        lambda entry, context: [row.role for row in _agents(_sender(entry), context)],
        lambda row: [row.role],
        lambda row, context: [agent.role for agent in _agents(_parties(row), context)],
    ),
    "model": _Key(
        "model:gemma*", "agents with a model; what they say, and the tasks it works on",
        _beginning,
        lambda entry, context: [model for row in _agents(_sender(entry), context) for model in row.models],
        lambda row: row.models,
        lambda row, _: [stage.model for stage in row.stages],
    ),
}  # fmt: skip
_ALL_KEYS: Final = (*_KEYS.values(), _AGENT_STATE, _WORDS)
_COST: Final = {key.usage: place for place, key in enumerate(_ALL_KEYS)}  # words last: their texts take longest

EXAMPLES: Final[Sequence[tuple[str, str]]] = (
    *((key.usage, key.help) for key in _ALL_KEYS),
    ("-type:presence", "a minus: not what fits"),
)
"""Every form with what it shows, for the help."""


class _Term(NamedTuple):
    key: _Key
    fits: Fits
    negative: bool
    text: str


_TERM = re.compile(
    r"""(?P<minus>-?)(?:(?P<key>[A-Za-z]+):)?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"(?=\s|\Z)|(?P<bare>\S*))""", re.DOTALL
)
_BARE = re.compile(r"""(?![A-Za-z]+:)[^\s"-]\S*\Z""")


def parse(text: str) -> Filter:
    """Compile what was typed; "" shows everything. Raises FilterError and nothing else."""
    if len(text) > _LONGEST:
        raise FilterError("filter.long", f"A filter has at most {_LONGEST} characters; this one has {len(text)}.")
    terms = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        found = _TERM.match(text, place)
        assert found is not None  # its last part may be empty
        terms.append(_term(found))
        place = found.end()
    return Filter(terms)


def _term(found: re.Match[str]) -> _Term:
    minus, name, quoted, word = found.group("minus", "key", "quoted", "bare")
    if quoted is None and word.startswith('"'):
        raise FilterError("filter.quote", f"The quotes of “{found[0]}” must end, with a space behind them.")
    value = _fold(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else word)
    if not value:
        raise FilterError("filter.empty", f"“{found[0]}” needs a value: {EXAMPLES[0][0]} or -{EXAMPLES[-1][0][1:]}.")
    key = _key(name, value)
    shown = value if (_BARE.match(value) or (name and re.match(r'[^\s"]\S*\Z', value))) else _quoted(value)
    return _Term(key, key.read(value), bool(minus), f"{minus}{name.lower() + ':' if name else ''}{shown}")


def _key(name: str | None, value: str) -> _Key:
    if name is None:
        return _WORDS
    key = _KEYS.get(name.lower())
    if key is None:
        keys = ", ".join(_KEYS)
        raise FilterError("filter.key", f"“{name}:” is none of {keys}; text with a colon goes in quotes.")
    return _AGENT_STATE if key is _KEYS["state"] and value in get_args(PeerState) else key


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


EVERYTHING: Final = Filter()
