"""Whose words they are: a key that may not speak for somebody does not get his name, and nobody is nameless."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clawnet_proto.families import task
from tests.proto import samples
from tests.proto.authoring import ROOM, Author
from tests.tui.one_pane import LARGE, OnePane, screen, showing
from tests.tui.watched import Errand, Watched
from tui import exports
from tui.glyphs import BRAILLE
from tui.inspected_agent import agent_sections
from tui.inspected_task import task_sections
from tui.inspection import entry_sections
from tui.line import line_of
from tui.sections import Section
from tui.tail import Lines
from tui.text import name_or_did
from tui.views import Entry, Selection
from tui.widgets.agents import AgentsPane
from tui.widgets.rows import Rows
from tui.widgets.tasks import TasksPane
from tui.widgets.timeline import TimelinePane

NOTHING = "\u200b\u2060\ufe0f\u200d"


class Impersonated(Errand):
    """Eve signs as ada, with her own key."""

    def __init__(self) -> None:
        super().__init__()
        self.eve = Author("eve")
        self.say(self.eve, samples.announce(self.eve))
        self.forgery = self.say(self.eve, samples.request(title="Send me money"), sender=self.ada.did)


class Nameless(Watched):
    """Somebody whose name does not show asks somebody like that."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = Author("one"), Author("other")
        for author in (self.one, self.other):
            self.say(author, samples.announce(author, name=NOTHING))
        self.request = self.say(self.one, samples.request())
        assert self.request.message is not None
        self.award: Entry = self.say(
            self.one,
            task.Award(stage="draft", attempt=1, lease_ms=30_000),
            to=self.other.did,
            thread=self.request.message.id,
            answers=self.request.message.id,
        )


async def lines_of(pane: Rows, room: Watched) -> list[str]:
    app = OnePane(pane)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.pause()
        await showing(pilot, pane, room.snapshot(), Selection(), room.model)
        return screen(app)


def told(sections: list[Section]) -> str:
    return "\n".join(f"{line.label} {line.text}" for section in sections for line in section.lines)


async def test_a_key_that_may_not_speak_for_somebody_is_shown_by_its_address() -> None:
    room = Impersonated()
    entry = room.forgery
    assert room.model.verdict(entry) == "invalid" and room.model.objection(entry) == "key.unproven"
    (line,) = [line for line in await lines_of(TimelinePane(), room) if "Send me money" in line]
    assert "eve:example.org" in line and "ada" not in line
    assert line_of(entry, room.model).name == "eve:example.org"
    lines = Lines(room=ROOM)
    (last,) = [line for arrival in room.arrivals for line in lines.of(arrival)][-1:]
    assert "eve:example.org: asks: Send me money" in last
    text = told(entry_sections(entry, room.snapshot(), room.model, BRAILLE))
    assert " eve:example.org asks: Send me money" in text
    assert "claims to be ada" in text and "name ada" not in text


def test_it_is_not_among_what_somebody_said_last() -> None:
    room = Impersonated()
    ada = room.snapshot().agent(room.ada.did)
    assert ada is not None
    text = told(agent_sections(ada, room.snapshot(), room.model, BRAILLE))
    assert "task.start" in text and "Send me money" not in text


def test_a_name_in_which_nothing_shows_gives_way_to_the_end_of_the_identity() -> None:
    assert name_or_did(NOTHING, "did:key:z6MkABCDEFGH") == "ABCDEFGH"
    assert name_or_did(" \u2800\t", "did:key:z6MkABCDEFGH", 4) == "ABC…"
    assert name_or_did(f"a{NOTHING}da", "did:key:z6MkABCDEFGH") == "ada"


@pytest.mark.parametrize("pane", [AgentsPane, TimelinePane, TasksPane])
async def test_nobody_is_nameless_in_a_list(pane: type[Rows]) -> None:
    room = Nameless()
    seen = "\n".join(await lines_of(pane(), room))
    assert room.one.did[-8:] in seen and room.other.did[-8:] in seen


def test_nobody_is_nameless_where_one_reads_on() -> None:
    room = Nameless()
    snapshot, ends = room.snapshot(), {room.one.did[-8:], room.other.did[-8:]}
    (row,) = snapshot.tasks
    inspected = [
        told(entry_sections(room.award, snapshot, room.model, BRAILLE)),
        told(task_sections(row, "", snapshot, room.model, BRAILLE)),
    ]
    lines = Lines(room=ROOM)
    printed = [line for arrival in room.arrivals for line in lines.of(arrival)]
    svg = exports.svg(snapshot, {})
    document: dict[str, Any] = json.loads(exports.data(snapshot, room.model))
    for text in [*inspected, printed[-1], svg, exports.dot(snapshot), document["entries"][-1]["line"] + svg]:
        assert all(end in text for end in ends), text
    for agent in snapshot.agents:
        (first, *_) = agent_sections(agent, snapshot, room.model, BRAILLE)
        assert first.lines[0].text == agent.did[-8:]
    assert document["entries"][-1]["name"] == room.one.did[-8:]
