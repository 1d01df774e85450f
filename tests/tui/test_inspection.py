"""The inspector's text: every type of message, every verdict, agents, tasks, and what hostile senders try."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import msgspec
import pytest

from clawnet_proto.families import BODIES, task
from clawnet_proto.message import Message
from clawnet_proto.specification import ERRORS
from tests.proto import samples
from tests.proto.authoring import NOW_MS, Author, some_digest
from tests.tui.watched import Errand, Watched
from tui.glyphs import ASCII, BRAILLE
from tui.inspected_agent import STANDINGS, agent_sections
from tui.inspected_task import task_sections
from tui.inspection import PROOFS, STAGES, checks_text, entry_sections, moment, raw_sections
from tui.moments import clock, relative, span
from tui.sections import TEXT_MOST, Known, Line, Link, Section, paragraph, wrap
from tui.spans import text_of
from tui.text import width_of
from tui.verbatim import escaped, pieces, quoted, tree
from tui.views import Entry, Selection, Snapshot, Verdict

EVIL = "\x1b[2Jred\u202etxt\u200b\u200b\x07é\x9b31m\u2028\U000e0041 end"


def text_of_sections(sections: list[Section]) -> str:
    return "\n".join(f"{line.label} {line.text}" for section in sections for line in section.lines)


def drawn(sections: list[Section], width: int = 60) -> list[str]:
    return [text_of(wrapped.spans) for wrapped in wrap(sections, width, "-")]


def harmless(lines: list[str], width: int) -> None:
    """Nothing that could disturb a terminal, and nothing wider than the pane."""
    for line in lines:
        assert width_of(line) <= width, line
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")], line


def links(sections: list[Section]) -> set[tuple[str, str]]:
    return {(line.link.kind, line.link.key) for section in sections for line in section.lines if line.link is not None}


def inspect(room: Watched, entry: Entry) -> list[Section]:
    return entry_sections(entry, room.snapshot(), room.model, BRAILLE)


# -- messages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("kind", BODIES)
def test_every_type_of_message_is_told_in_full(kind: str, full: bool) -> None:
    room, ada, bob = Watched(), Author("ada"), Author("bob")
    envelope = samples.envelopes(ada, bob, full=full)[kind]
    entry = room.say(ada, samples.announce(ada))
    sections = inspect(room, msgspec.structs.replace(entry, message=Message(some_digest(kind), envelope)))
    assert [section.title for section in sections][:4] == ["Says", "Verdict", "Who", "When"]
    text = text_of_sections(sections)
    assert kind in text
    assert envelope.nonce in text
    for name in msgspec.structs.asdict(envelope.body):
        if getattr(envelope.body, name) is not msgspec.UNSET:
            assert any(line.label == name for section in sections for line in section.lines), name
    for width in (20, 40, 80):
        harmless(drawn(sections, width), width)


def test_a_bound_message_says_so_and_leads_to_its_sender_and_its_task() -> None:
    room = Errand()
    sections = inspect(room, room.award)
    text = text_of_sections(sections)
    assert PROOFS["bound"] in text
    assert "awards draft to ada" in text
    assert {("agent", room.carol.did), ("agent", room.ada.did), ("task", room.task_id)} <= links(sections)
    assert ("stage", f"{room.task_id}/draft") in links(sections)
    assert ("message", room.task_id) in links(sections)  # what it answers
    assert room.start.message is not None
    assert ("message", room.start.message.id) in links(sections)  # what answers it


def test_a_signature_that_does_not_hold_is_explained_by_code_meaning_rule_and_check() -> None:
    room = Errand()
    text = text_of_sections(inspect(room, room.forged))
    assert PROOFS["invalid"] in text
    assert "signature.invalid" in text
    assert ERRORS["signature.invalid"].meaning in text
    assert ERRORS["signature.invalid"].reference in text
    assert "No signature vouches for anybody." in text
    assert "key ✓  signature ✗  canonical ╌" in text


def test_the_checks_before_the_failed_one_were_passed_and_those_after_it_not_made() -> None:
    for rule in ERRORS.values():
        text = checks_text(rule.stage, True, ASCII)
        before, after = text.split(f"{rule.stage} X")
        assert before.count(" +") == STAGES.index(rule.stage)
        assert after.count(" .") == len(STAGES) - STAGES.index(rule.stage) - 1
    assert "opening" not in checks_text("size", False, ASCII)
    assert "opening X" in checks_text("opening", False, ASCII)


def test_what_a_relay_delivered_and_what_nobody_vouches_for_are_explained() -> None:
    room = Errand()
    relayed = text_of_sections(inspect(room, room.relayed))
    assert PROOFS["relayed"] in relayed and "relay:example.org" in relayed and "bob:example.org" in relayed
    unbound = text_of_sections(inspect(room, room.unbound))
    assert PROOFS["unbound"] in unbound and "no address yet" in unbound


def test_the_words_of_a_person_are_shown_in_full() -> None:
    room = Errand()
    text = text_of_sections(inspect(room, room.person))
    assert PROOFS["unsigned"] in text and "Has anybody seen my cat?" in text and "lee:example.org" in text


def test_what_is_not_checked_yet_claims_nothing() -> None:
    room = Errand()
    room.model.expect([room.arrivals[0]])
    (pending,) = [entry for entry in room.snapshot().entries if entry.pending]
    text = text_of_sections(inspect(room, pending))
    assert PROOFS["pending"] in text and "ada is here" not in text and "bound," not in text


@pytest.mark.parametrize("code", ERRORS)
def test_every_reason_there_is_can_be_told(code: str) -> None:
    room = Errand()
    entry = msgspec.structs.replace(room.forged, code=code, detail="a detail" + EVIL)
    sections = inspect(room, entry)
    text = text_of_sections(sections)
    assert code in text and ERRORS[code].meaning in text and "a detail" in text
    verdict = "unopened" if code == "sealed.unopened" else "invalid"
    assert PROOFS[verdict] in text  # type: ignore[index]
    harmless(drawn(sections), 60)


def test_a_message_that_does_not_count_says_why() -> None:
    room = Errand()
    again = room.say(
        room.bob,
        task.Award(stage="draft", attempt=1, lease_ms=30_000),
        to=room.ada.did,
        thread=room.task_id,
        answers=room.task_id,
    )
    text = text_of_sections(inspect(room, again))
    assert PROOFS["bound"] in text and "task.not_permitted" in text and ERRORS["task.not_permitted"].reference in text


def test_an_expired_message_says_that_nobody_acts_on_it() -> None:
    room = Errand()
    snapshot = msgspec.structs.replace(room.snapshot(), now_ms=NOW_MS + 10**11)
    sections = entry_sections(room.award, snapshot, room.model, BRAILLE)
    assert any(line.label == "expired" and "nobody acts on it" in line.text for s in sections for line in s.lines)


def test_every_verdict_has_a_proof() -> None:
    assert set(PROOFS) == set(Verdict.__args__)  # type: ignore[attr-defined]


def test_the_raw_carrier_is_what_travelled() -> None:
    room = Errand()
    carrier = json.loads(room.forged.arrival.event)["content"]["net.clawnet.carriers"][0]
    sections = raw_sections(room.forged)
    assert [section.title for section in sections] == ["Carrier", "Signed text"]
    assert "".join(line.text for line in sections[1].lines) == carrier["env"]
    assert carrier["sig"] in text_of_sections(sections)
    (event,) = raw_sections(room.person)
    assert "Has anybody seen my cat?" in event.lines[0].text


# -- hostile senders -------------------------------------------------------------------------------------------


def test_hostile_text_is_cleaned_where_it_is_read_and_shown_as_escapes_where_it_is_data() -> None:
    room, eve = Errand(), Author("eve")
    entry = room.say(eve, samples.announce(eve, name=EVIL, description=EVIL))
    sections = inspect(room, entry)
    lines = drawn(sections)
    harmless(lines, 60)
    assert "\\u202e" in "".join(lines) and "\\u001b" in "".join(lines)
    row = room.snapshot().agent(eve.did)
    assert row is not None
    harmless(drawn(agent_sections(row, room.snapshot(), room.model, BRAILLE)), 60)
    words = room.words(EVIL * 3)
    harmless(drawn(inspect(room, words)), 60)
    harmless(drawn(raw_sections(words)), 60)


def test_ten_megabytes_are_cut_with_a_sentence_and_sixteen_kilobytes_are_not() -> None:
    room = Errand()
    for text in ("x" * 10_000_000, "a word " * 1_400_000, "\u202e" * 10_000_000):
        entry = room.words(text)
        # What is that large is refused before anything reads it.
        assert entry.code == "size.carrier"
        lines = drawn([*inspect(room, entry), *raw_sections(entry)])
        harmless(lines, 60)
        assert any("too large to be kept" in line for line in lines)
        assert sum(map(len, lines)) < 4000
    lines = drawn([Section("Text", paragraph("word " * 3200))], 80)
    assert sum(line.count("word") for line in lines) == 3200


def test_a_cut_says_how_much_there_is() -> None:
    first, rest = paragraph("y" * (TEXT_MOST + 5))
    assert len(first.text) == TEXT_MOST
    assert rest.text == "Only the first 20,000 of 20,005 characters are shown."


def test_data_of_any_shape_becomes_lines() -> None:
    value: dict[str, Any] = {"a": 1, "b": {"c": [], "d": ["x", 2], "e": [{"f": True}, "y" * 80]}, "g": {}}
    assert tree(value) == [
        (0, "a", "1"),
        (0, "b", ""),
        (1, "c", "[]"),
        (1, "d", '["x", 2]'),
        (1, "e", ""),
        (2, "[0]", ""),
        (3, "f", "true"),
        (2, "[1]", '"' + "y" * 80 + '"'),
        (0, "g", "{}"),
    ]
    assert tree("alone") == [(0, "", '"alone"')]
    assert len(tree(list(range(5000)))) == 2001


def test_escapes_show_what_cannot_be_seen_and_leave_the_rest() -> None:
    assert quoted('a"b\n') == '"a\\"b\\n"'
    assert escaped("é漢 \u200b\u202e") == "é漢 \\u200b\\u202e"
    assert escaped("\U000e0041") == "\\udb40\\udc41"
    assert escaped("\ud800") == "\\ud800"


def test_data_is_broken_at_the_cell_and_nothing_is_lost() -> None:
    for text in ("", "abc", "x" * 100, "漢字" * 30, "a  b   c" * 9):
        for width in (1, 2, 7, 40):
            found = pieces(text, width, 3)
            assert "".join(found) == text
            assert all(width_of(piece) <= max(2, width) for piece in found)


def test_links_are_known_on_every_line_they_wrap_to() -> None:
    link = Link("agent", "did:key:z")
    wrapped = wrap([Section("Who", (Line(label="name", text="word " * 30, link=link),))], 40, "-")
    assert len(wrapped) > 4 and all(line.link == link for line in wrapped[1:])


# -- agents and tasks ------------------------------------------------------------------------------------------


def test_an_agent_is_told_with_its_announce_its_peers_and_what_it_does() -> None:
    room = Errand()
    row = room.snapshot().agent(room.ada.did)
    assert row is not None
    sections = agent_sections(row, room.snapshot(), room.model, BRAILLE)
    text = text_of_sections(sections)
    assert [section.title for section in sections] == [
        "Agent", "Can", "Shook hands with", "Tasks", "Said last", "Announce",
    ]  # fmt: skip
    assert "gemma3-270m" in text and "drafts, english" in text and row.did in text and STANDINGS[row.state] in text
    assert {("agent", room.bob.did), ("task", room.task_id)} <= links(sections)
    harmless(drawn(sections), 60)


def test_an_agent_that_never_announced_itself_is_told_as_far_as_it_is_known() -> None:
    room, ghost = Errand(), Author("ghost")
    room.say(ghost, samples.request())
    row = room.snapshot().agent(ghost.did)
    assert row is not None and row.state == "unheard"
    text = text_of_sections(agent_sections(row, room.snapshot(), room.model, BRAILLE))
    assert STANDINGS["unheard"] in text and "no address" in text


def test_trouble_with_an_identity_is_told_in_words() -> None:
    room = Errand()
    row = room.snapshot().agent(room.ada.did)
    assert row is not None
    for state, words in STANDINGS.items():
        bad = msgspec.structs.replace(row, state=state, conflict=True, equivocates=True, rotations=2)
        text = text_of_sections(agent_sections(bad, room.snapshot(), room.model, ASCII))
        assert words in text and "same address" in text and "one revision" in text and "number 3" in text


def test_a_task_is_told_with_its_stages_attempts_parameters_and_inputs() -> None:
    room = Errand()
    room.say(
        room.bob,
        task.Award(stage="draft", attempt=1, lease_ms=30_000),
        to=room.bob.did,
        thread=room.task_id,
        answers=room.task_id,
    )
    row = room.snapshot().task(room.task_id)
    assert row is not None
    sections = task_sections(row, "draft", room.snapshot(), room.model, BRAILLE)
    assert [section.title for section in sections] == ["Stage draft", "Task", "Inputs", "Does not count", "Request"]
    text = text_of_sections(sections)
    assert "◐ working" in text and "at most 128 tokens, temperature 0.7" in text
    assert samples.QUESTION in text and "task.not_permitted" in text
    assert room.award.message is not None
    assert {("agent", room.ada.did), ("agent", room.carol.did), ("message", room.award.message.id)} <= links(sections)
    first = task_sections(row, "", room.snapshot(), room.model, BRAILLE)
    assert [section.title for section in first][:2] == ["Task", "Stage draft"]
    harmless(drawn(sections), 60)


def test_a_result_its_digest_and_its_text_belong_to_its_stage() -> None:
    room = Errand()
    assert room.award.message is not None
    body = samples.result(room.award.message.id, EVIL + " and the answer", model="gemma3-270m")
    fields: dict[str, Any] = {"thread": room.task_id, "answers": room.award.message.id}
    result = room.say(room.ada, body, to=room.carol.did, **fields)
    assert result.message is not None and room.model.objection(result) == ""
    row = room.snapshot().task(room.task_id)
    assert row is not None
    sections = task_sections(row, "", room.snapshot(), room.model, BRAILLE)
    text = "\n".join(drawn(sections))
    assert "and the answer" in text and body.output_digest in text.replace("\n", "") and "74 tokens in 2.6 s" in text
    assert ("message", result.message.id) in links(sections)
    harmless(drawn(sections), 60)


def test_a_task_the_fold_has_forgotten_is_told_from_its_row() -> None:
    room = Errand()
    row = room.snapshot().task(room.task_id)
    assert row is not None
    sections = task_sections(row, "", Snapshot(now_ms=NOW_MS), Watched().model, BRAILLE)
    assert [section.title for section in sections] == ["Task", "Stage draft"]


# -- times -----------------------------------------------------------------------------------------------------


def test_times_are_short_and_never_fail() -> None:
    assert [span(ms) for ms in (-5, 0, 59_999, 60_000, 3_600_000, 86_400_000, 10**15)] == [
        "0s", "0s", "59s", "1m", "1h", "1d", "999d",
    ]  # fmt: skip
    assert relative(NOW_MS, NOW_MS) == "now"
    assert relative(NOW_MS - 12_000, NOW_MS) == "12s ago"
    assert relative(NOW_MS + 180_000, NOW_MS) == "in 3m"
    assert moment(0, NOW_MS) == ""
    for at_ms in (-1, 0, NOW_MS, 2**53 - 1):
        assert re.fullmatch(r"\d\d:\d\d:\d\d", clock(at_ms))


def test_a_selection_is_about_nothing_at_first() -> None:
    assert Selection().about == ""


def test_of_what_was_wrapped_only_what_is_shown_is_kept() -> None:
    known: Known = {}
    first = [Section("Text", (Line(text="one " * 40), Line(text="two")))]
    wrapped = wrap(first, 40, "-", known)
    assert {line.text for line, _ in known} == {"one " * 40, "two"}
    kept = known[first[0].lines[1], 40]
    other = [Section("Text", (Line(text="two"), Line(text="three")))]
    assert wrap(other, 40, "-", known) == wrap(other, 40, "-") != wrapped
    assert {line.text for line, _ in known} == {"two", "three"}
    assert known[first[0].lines[1], 40] is kept
