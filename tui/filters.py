"""The filter language: what a person types after ``/``, compiled once, then asked for every row.

A filter is words and ``key:value`` pairs. All words must occur; of several values of one key one must fit; with a
``-`` in front none may. Quotes hold together what has spaces. Each pane heeds the keys that say something about its
rows: ``from:ada`` shows the messages of ada, ada herself, and the tasks she asked for or works on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, get_args

from tui.filter_keys import AGENT_STATE, ALL_KEYS, KEYS, WORDS, Context, FilterError, Fits, Key, Texts, fold
from tui.views import AgentRow, Entry, PeerState, TaskRow

__all__ = ["EVERYTHING", "EXAMPLES", "Context", "Filter", "FilterError", "parse"]

_LONGEST = 400  # characters of a filter
_COST: Final = {key.usage: place for place, key in enumerate(ALL_KEYS)}


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


# -- the language ------------------------------------------------------------------------------------------------

EXAMPLES: Final[Sequence[tuple[str, str]]] = (
    *((key.usage, key.help) for key in ALL_KEYS),
    ("-type:presence", "a minus: not what fits"),
)
"""Every form with what it shows, for the help."""


class _Term(NamedTuple):
    key: Key
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
    value = fold(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else word)
    if not value:
        raise FilterError("filter.empty", f"“{found[0]}” needs a value: {EXAMPLES[0][0]} or -{EXAMPLES[-1][0][1:]}.")
    key = _key(name, value)
    shown = value if (_BARE.match(value) or (name and re.match(r'[^\s"]\S*\Z', value))) else _quoted(value)
    return _Term(key, key.read(value), bool(minus), f"{minus}{name.lower() + ':' if name else ''}{shown}")


def _key(name: str | None, value: str) -> Key:
    if name is None:
        return WORDS
    key = KEYS.get(name.lower())
    if key is None:
        keys = ", ".join(KEYS)
        raise FilterError("filter.key", f"“{name}:” is none of {keys}; text with a colon goes in quotes.")
    return AGENT_STATE if key is KEYS["state"] and value in get_args(PeerState) else key


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


EVERYTHING: Final = Filter()
