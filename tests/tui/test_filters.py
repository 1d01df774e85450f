"""The filter language: what each pane shows."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.watched import Errand, Watched
from tui.filters import EVERYTHING, EXAMPLES, FilterError, parse

EMPTY = Watched()


@pytest.fixture(scope="module")
def errand() -> Errand:
    return Errand()


def lines(errand: Errand, text: str) -> str:
    """The entries that are shown, by the first letters of what happened."""
    shown, context = parse(text), errand.context()
    names = ["ann-ada", "ann-bob", "ann-carol", "request", "award", "start", "person", "forged", "relayed", "unbound"]
    entries = errand.snapshot().entries
    assert len(entries) == len(names)
    return " ".join(name for name, entry in zip(names, entries, strict=True) if shown.entry(entry, context))


def agents(errand: Errand, text: str) -> list[str]:
    return sorted(row.name for row in errand.snapshot().agents if parse(text).agent(row))


def tasks(errand: Errand, text: str) -> int:
    return sum(parse(text).task(row, errand.context()) for row in errand.snapshot().tasks)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("type:task.*", "request award start"),
        ("type:task", "request award start"),
        ("type:award", "award"),
        ("TYPE:Task.A*", "award"),
        ("type:award type:start", "award start"),
        ("-type:presence", "request award start person forged"),
        ("from:ada", "ann-ada start"),
        ("from:AD", "ann-ada start"),
        ("from:?da", "ann-ada start"),
        ("from:lee", "person"),
        ("from:ada type:start", "start"),
        ("to:ada", "award"),
        ("from:carol to:ada", "award"),
        ("verdict:invalid", "forged"),
        ("verdict:relayed", "relayed"),
        ("verdict:unbound", "unbound"),
        ("verdict:unsigned", "person"),
        ("verdict:invalid verdict:unsigned", "person forged"),
        ("-verdict:bound", "person forged relayed unbound"),
        ("state:working", "request award start"),
        ("state:completed", ""),
        ("state:unbound", "unbound"),
        ("role:writer", "ann-ada start unbound"),
        ("model:gemma", "ann-ada start"),
        ("model:*270m", "ann-ada start"),
        ("sky", "request"),
        ("SKY blue", "request"),
        ("sky cat", ""),
        ('"blue sky"', ""),
        ('"is the sky"', "request"),
        ("my cat", "person"),
        ("awards", "award"),
        ("task.start", "start"),
        ("signature", "forged"),
        ("-is", "award start person forged"),
        ("", "ann-ada ann-bob ann-carol request award start person forged relayed unbound"),
    ],
)
def test_a_filter_shows_these_lines(errand: Errand, text: str, shown: str) -> None:
    assert lines(errand, text) == shown


def test_a_task_is_found_by_the_beginning_of_its_id(errand: Errand) -> None:
    assert lines(errand, f"task:{errand.task_id[:6]}") == "request award start"
    assert tasks(errand, f"task:{errand.task_id[:6]}") == 1
    assert tasks(errand, f"-task:{errand.task_id[:6]}") == 0


def test_an_identity_is_found_by_a_part_of_its_did_but_not_by_a_few_letters(errand: Errand) -> None:
    assert agents(errand, f"from:{errand.ada.did[-8:]}") == ["ada"]
    assert agents(errand, f"from:{errand.ada.did}") == ["ada"]
    assert agents(errand, f"from:{errand.ada.did[-5:]}") == []


@pytest.mark.parametrize(
    "text, names, count",
    [
        ("from:ada", ["ada"], 1),
        ("from:carol", ["carol"], 1),
        ("from:bob", ["bob"], 0),
        ("to:ada", ["ada"], 1),
        ("to:carol", ["carol"], 0),
        ("from:carol to:ada", ["ada", "carol"], 1),
        ("-from:ada", ["bob", "carol", "dora"], 0),
        ("state:working", ["ada", "bob", "carol", "dora"], 1),
        ("state:failed", ["ada", "bob", "carol", "dora"], 0),
        ("state:live", ["ada", "bob", "carol"], 1),
        ("-state:live", ["dora"], 1),
        ("role:writer", ["ada", "dora"], 1),
        ("role:reviewer", ["bob"], 0),
        ("model:gemma3", ["ada"], 0),
        ("type:presence.* verdict:invalid", ["ada", "bob", "carol", "dora"], 1),
        ("sky", [], 1),
        ("english", ["ada", "bob", "carol", "dora"], 0),
        ("asker english", ["carol"], 0),
    ],
)
def test_each_pane_heeds_what_says_something_of_its_rows(
    errand: Errand, text: str, names: list[str], count: int
) -> None:
    assert agents(errand, text) == names
    assert tasks(errand, text) == count


@pytest.mark.parametrize(
    "text, code, names",
    [
        ("colour:red", "filter.key", ["“colour:”", "type", "from", "quotes"]),
        ("http://example.org", "filter.key", ["“http:”"]),
        ("verdict:good", "filter.value", ["“good”", "bound", "pending"]),
        ("state:busy", "filter.value", ["“busy”", "working", "live"]),
        ("type:tusk.*", "filter.value", ["type:tusk.*", "task.*"]),
        ("from:", "filter.empty", ["“from:”"]),
        ("sky -", "filter.empty", ["“-”"]),
        ('from:"ada', "filter.quote", ['“from:"ada”']),
        ('"ada"bob', "filter.quote", ["quotes"]),
        ("x" * 401, "filter.long", ["400", "401"]),
    ],
)
def test_a_fault_is_named_in_one_sentence(text: str, code: str, names: list[str]) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.code == code
    sentence = str(caught.value)
    assert all(name in sentence for name in names)
    assert sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("  Sky   BLUE ", "sky blue"),
        ("FROM:Ada", "from:ada"),
        ('from:"Ada Lovelace"', 'from:"ada lovelace"'),
        ('"sky"', "sky"),
        ('"-sky"', '"-sky"'),
        ('"a:b"', '"a:b"'),
        ('-"two words"', '-"two words"'),
        ("12:30", "12:30"),
        ("sky sky -sky", "sky -sky"),
        ("task:-x_y", "task:-x_y"),
        (r'"say \"hi\" \\ there"', r'"say \"hi\" \\ there"'),
        ("", ""),
    ],
)
def test_the_canonical_text_of_a_filter(text: str, canonical: str) -> None:
    assert parse(text).text == canonical
    assert parse(canonical).text == canonical


def test_the_examples_of_the_help_are_filters() -> None:
    for example, meaning in EXAMPLES:
        assert parse(example).text == example
        assert meaning


HOSTILE = st.text(max_size=60) | st.text(alphabet='abfromtypestaevrdic:-*?[]!"\\. \n\u200b\ud800', max_size=60)


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(HOSTILE)
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    try:
        found = parse(text)
    except FilterError:
        return
    assert parse(found.text).text == found.text


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(text=HOSTILE)
def test_a_filter_answers_for_every_row(errand: Errand, text: str) -> None:
    try:
        found = parse(text)
    except FilterError:
        return
    again = parse(found.text)
    context, picture = errand.context(), errand.snapshot()
    for entry in picture.entries:
        assert found.entry(entry, context) is again.entry(entry, context)
    for agent in picture.agents:
        assert found.agent(agent) is again.agent(agent)
    for row in picture.tasks:
        assert found.task(row, context) is again.task(row, context)


def test_a_pattern_that_would_explode_does_not() -> None:
    watched = Watched()
    author = Author("a" * 60)
    entry = watched.say(author, samples.announce(author))
    context = watched.context()
    began = time.thread_time()
    shown = parse("from:" + "*a" * 150 + "b")
    assert not any(shown.entry(entry, context) for _ in range(10))
    assert time.thread_time() - began < 0.5


def test_what_is_hidden_in_a_name_does_not_hide_it() -> None:
    watched = Watched()
    author = Author("eve")
    entry = watched.say(author, samples.announce(author, name="a\u200bd\u202ea"))
    assert parse("from:ada").entry(entry, watched.context())


def test_everything_shows_everything(errand: Errand) -> None:
    assert EVERYTHING.text == ""
    assert all(EVERYTHING.entry(entry, errand.context()) for entry in errand.snapshot().entries)
