"""Which work is drawn: nobody can make it look as if others worked for him."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from tests.tui.watched import Errand
from tui import exports
from tui.flows import GRACE_MS, Flow, flows
from tui.glyphs import BRAILLE
from tui.labels import TEXT_STYLES
from tui.layout import Layout
from tui.picture import LINE_STYLES, Scene, compose
from tui.raster import Canvas
from tui.views import AgentRow, PeerState, Selection, Snapshot, StageRow, TaskRow

NOW = 1_800_000_000_000


def working(*, requester: PeerState = "live", executor: PeerState = "live", **stage: Any) -> Snapshot:
    """Ada asked, bob works on it; each in that state."""
    fields: dict[str, Any] = {
        "id": "draft",
        "kind": "chat",
        "state": "working",
        "executor": "did:bob",
        "lease_until_ms": NOW,
        "tokens": 7,
    }
    task = TaskRow(
        id="t" * 43, title="", state="working", requester="did:ada", ours=False, privacy="public",
        stages=(StageRow(**(fields | stage)),),
    )  # fmt: skip
    ada = AgentRow(did="did:ada", name="ada", state=requester)
    bob = AgentRow(did="did:bob", name="bob", state=executor)
    return Snapshot(now_ms=NOW, agents=(ada, bob), tasks=(task,))


def scene_of(snapshot: Snapshot) -> Scene:
    layout = Layout()
    layout.update([row.did for row in snapshot.agents], [])
    canvas = Canvas(60, 20, "braille", LINE_STYLES, TEXT_STYLES)
    return compose(snapshot, layout, canvas, glyphs=BRAILLE, selection=Selection())


def drawn(snapshot: Snapshot) -> set[bool]:
    """Whether the work is in the mesh pane, in the SVG and in the graph."""
    return {
        bool(scene_of(snapshot).flows),
        "draft of tttttttt" in exports.svg(snapshot, {}),
        'kind="work"' in exports.dot(snapshot),
    }


@pytest.mark.parametrize("state", ["awarded", "working", "input_required"])
def test_work_between_two_who_are_here_is_drawn_everywhere(state: str) -> None:
    snapshot = working(state=state)
    assert list(flows(snapshot)) == [Flow("did:ada", "did:bob", state, "draft of tttttttt, 7 tokens")]
    assert drawn(snapshot) == {True}


@pytest.mark.parametrize("state", ["submitted", "completed", "failed", "rejected", "canceled", "lapsed"])
def test_what_nobody_works_on_is_not(state: str) -> None:
    assert drawn(working(state=state)) == {False}


@pytest.mark.parametrize("state", [state for state in get_args(PeerState) if state != "live"])
def test_nobody_who_is_not_here_seems_to_work_or_to_make_others_work(state: PeerState) -> None:
    assert drawn(working(requester=state)) == {False}
    assert drawn(working(executor=state)) == {False}


def test_it_ends_when_its_lease_has_lapsed_for_long() -> None:
    assert drawn(working(lease_until_ms=NOW - GRACE_MS + 1)) == {True}
    assert drawn(working(lease_until_ms=NOW - GRACE_MS)) == {False}


def test_an_award_in_a_room_flows_as_long_as_its_lease() -> None:
    room = Errand()
    (flow,) = flows(room.snapshot())
    assert (flow.requester, flow.executor) == (room.carol.did, room.ada.did)
    (task,) = room.snapshot().tasks
    late = msgspec.structs.replace(room.snapshot(), now_ms=task.stages[0].lease_until_ms + GRACE_MS)
    assert not list(flows(late))
