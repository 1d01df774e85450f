"""The model: arrivals in, a picture out, and nothing in it that no signature holds for."""

from __future__ import annotations

import json
import sys

import msgspec
import pytest

from clawnet_proto.families import identity, presence, task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author
from tests.tui.arriving import arrival, message_of, model_of, said, tampered
from tui.arrivals import Arrival, Words
from tui.checking import check, raw_carrier
from tui.model import PULSE_MS, Model
from tui.sources import Key

ALICE, BOB, CAROL = Author("alice"), Author("bob"), Author("carol")


def announced(author: Author, revision: int = 1, **changes: object) -> presence.Announce:
    return samples.announce(author, revision, **changes)


class TestAgents:
    def test_an_announce_from_its_own_address_is_a_live_agent(self) -> None:
        model = model_of(said(ALICE, announced(ALICE)))
        (row,) = model.snapshot(NOW_MS).agents
        assert (row.name, row.state, row.kind, row.role) == ("alice", "live", "ai", "writer")
        assert row.load == 0.5
        assert row.addresses == (ALICE.address,)

    def test_an_announce_from_elsewhere_is_unbound(self) -> None:
        carrier = ALICE.carrier(announced(ALICE))
        model = model_of(arrival(carrier, sender=BOB.address))
        assert model.snapshot(NOW_MS).agents[0].state == "unbound"

    def test_time_makes_it_expire_and_a_leave_makes_it_left(self) -> None:
        model = model_of(said(ALICE, announced(ALICE)))
        assert model.snapshot(NOW_MS + 8 * 86_400_000).agents[0].state == "expired"
        model.fold(check(said(ALICE, presence.Leave(revision=1), at_ms=NOW_MS + 1)))
        assert model.snapshot(NOW_MS + 1, fresh=True).agents[0].state == "left"

    def test_who_only_spoke_is_unheard_of(self) -> None:
        model = model_of(said(ALICE, samples.request()))
        (row,) = model.snapshot(NOW_MS).agents
        assert (row.state, row.kind) == ("unheard", "")

    def test_it_is_me_by_the_key_alone(self) -> None:
        model = model_of(said(ALICE, announced(ALICE)), said(BOB, announced(BOB)), me=BOB.did)
        assert {row.name: row.me for row in model.snapshot(NOW_MS).agents} == {"alice": False, "bob": True}

    def test_our_own_round_trip_time_counts_before_what_others_say(self) -> None:
        def knows(author: Author, other: Author, rtt_ms: int) -> presence.Announce:
            return announced(author, confirmed=(presence.Confirmed(peer=other.did, at_ms=NOW_MS, rtt_ms=rtt_ms),))

        arrivals = (
            said(ALICE, knows(ALICE, CAROL, 90)), said(BOB, knows(BOB, CAROL, 20)), said(CAROL, announced(CAROL)),
        )  # fmt: skip
        rtts = {row.name: row.rtt_ms for row in model_of(*arrivals, me=ALICE.did).snapshot(NOW_MS).agents}
        assert rtts["carol"] == 90
        rtts = {row.name: row.rtt_ms for row in model_of(*arrivals).snapshot(NOW_MS).agents}
        assert rtts == {"carol": 20, "alice": -1, "bob": -1}


class TestEdges:
    def test_an_edge_is_a_handshake_that_a_bound_peer_announces(self) -> None:
        confirmed = (presence.Confirmed(peer=BOB.did, at_ms=NOW_MS, rtt_ms=41),)
        model = model_of(said(ALICE, announced(ALICE, confirmed=confirmed)), said(BOB, announced(BOB)))
        (edge,) = model.snapshot(NOW_MS).edges
        assert {edge.a, edge.b} == {ALICE.did, BOB.did}
        assert (edge.rtt_ms, edge.mutual) == (41, False)

    def test_both_sides_make_it_mutual(self) -> None:
        model = model_of(
            *(
                said(one, announced(one, confirmed=(presence.Confirmed(peer=other.did, at_ms=NOW_MS, rtt_ms=rtt),)))
                for one, other, rtt in ((ALICE, BOB, 41), (BOB, ALICE, 30))
            )
        )
        (edge,) = model.snapshot(NOW_MS).edges
        assert (edge.rtt_ms, edge.mutual) == (30, True)

    def test_what_an_unbound_peer_says_draws_nothing(self) -> None:
        confirmed = (presence.Confirmed(peer=BOB.did, at_ms=NOW_MS, rtt_ms=41),)
        carrier = ALICE.carrier(announced(ALICE, confirmed=confirmed))
        model = model_of(arrival(carrier, sender=BOB.address), said(BOB, announced(BOB)))
        assert model.snapshot(NOW_MS).edges == ()


def conversation() -> tuple[list[Arrival], str]:
    """Alice asks, awards bob, bob answers, alice closes: the arrivals and the task's id."""
    asked = said(ALICE, samples.request())
    task_id = message_of(asked).id
    awarded = said(
        ALICE, task.Award(stage="draft", attempt=1, lease_ms=30_000), at_ms=NOW_MS + 10,
        thread=task_id, answers=task_id, recipients=(BOB.did,),
    )  # fmt: skip
    award = message_of(awarded).id
    inputs = (task.InputDigest(source="question", digest=digest(samples.QUESTION.encode())),)
    result = said(
        BOB, samples.result(award, inputs=inputs), at_ms=NOW_MS + 2000, thread=task_id, answers=award,
        recipients=(ALICE.did,),
    )  # fmt: skip
    kept = message_of(result)
    close = task.Close(
        outcome="completed", executions=1,
        accepted=(
            task.Accepted(
                stage="draft", attempt=1, executor=BOB.did, result=kept.id, output_digest=kept.body.output_digest
            ),
        ),
    )  # fmt: skip
    closed = said(ALICE, close, at_ms=NOW_MS + 2100, thread=task_id, answers=task_id)
    return [asked, awarded, result, closed], task_id


class TestTasks:
    def test_the_row_follows_the_fold(self) -> None:
        arrivals, task_id = conversation()
        model, seen = Model(), []
        for one in arrivals:
            model.fold(check(one))
            row = model.snapshot(one.received_ms, fresh=True).task(task_id)
            assert row is not None
            seen.append((row.state, row.stages[0].state, row.stages[0].executor))
        assert seen == [
            ("submitted", "submitted", ""),
            ("working", "awarded", BOB.did),
            ("completed", "completed", BOB.did),
            ("completed", "completed", BOB.did),
        ]
        assert row is not None and row.ended_ms == NOW_MS + 2100 and not row.ours
        stage = row.stages[0]
        assert (stage.tokens, stage.text) == (74, samples.ANSWER)
        assert stage.tokens_per_s == pytest.approx(1000 * 73 / 2210)

    def test_what_does_not_count_is_counted_and_said(self) -> None:
        arrivals, task_id = conversation()
        stray = said(CAROL, task.Cancel(), at_ms=NOW_MS + 20, thread=task_id, answers=task_id)
        model = model_of(*arrivals, stray)
        picture = model.snapshot(NOW_MS + 3000)
        row = picture.task(task_id)
        assert row is not None and row.refused == 1 and row.state == "completed"
        assert model.objection(picture.entries[-1]) == "task.not_permitted"

    def test_the_task_touched_last_comes_first_and_old_ones_go(self) -> None:
        model = Model()
        for number in range(230):
            model.fold(check(said(ALICE, samples.request(title=f"number {number}"))))
        titles = [row.title for row in model.snapshot(NOW_MS).tasks]
        assert titles[:2] == ["number 229", "number 228"]
        assert len(titles) == 200


class TestTimeline:
    def test_every_verdict(self) -> None:
        good = said(ALICE, announced(ALICE))
        relayed = arrival(ALICE.carrier(announced(ALICE, 2)), sender=CAROL.address)
        unbound = said(BOB, samples.request())
        model = model_of(good, relayed, unbound, tampered(said(CAROL, announced(CAROL))),
                         arrival(sender=CAROL.address, body="hello"))  # fmt: skip
        model.expect([said(ALICE, announced(ALICE, 3))])
        picture = model.snapshot(NOW_MS)
        verdicts = [model.verdict(entry) for entry in picture.entries]
        assert verdicts == ["bound", "relayed", "unbound", "invalid", "unsigned", "pending"]
        assert picture.entries[3].code == "signature.invalid"
        assert picture.entries[4].words == "hello"
        counts = picture.counts
        assert (counts.arrivals, counts.messages, counts.invalid, counts.unsigned, counts.pending) == (6, 3, 1, 1, 1)

    def test_an_address_proven_later_binds_what_came_before(self) -> None:
        model = model_of(said(ALICE, samples.request()))
        (entry,) = model.snapshot(NOW_MS).entries
        assert model.verdict(entry) == "unbound"
        model.fold(check(said(ALICE, announced(ALICE))))
        assert model.verdict(entry) == "bound"

    def test_it_is_bounded_and_the_rest_is_forgotten(self) -> None:
        model = Model(history=10)
        for revision in range(1, 31):
            model.fold(check(said(ALICE, announced(ALICE, revision))))
        entries = model.snapshot(NOW_MS).entries
        assert [entry.seq for entry in entries] == list(range(21, 31))
        assert model.lines == 30

    def test_the_same_again_is_counted_not_listed(self) -> None:
        one = said(ALICE, announced(ALICE))
        model = model_of(one, one)
        picture = model.snapshot(NOW_MS)
        assert len(picture.entries) == 1 and picture.counts.duplicates == 1

    def test_other_rooms_are_left_out(self) -> None:
        there = msgspec.structs.replace(said(BOB, announced(BOB)), room="matrix:roomid/other:example.org")
        model = model_of(said(ALICE, announced(ALICE)), there)
        picture = model.snapshot(NOW_MS)
        assert picture.room == ROOM
        assert [row.name for row in picture.agents] == ["alice"]
        assert picture.counts.elsewhere == 1

    def test_what_was_checked_is_no_longer_pending(self) -> None:
        model, one = Model(), said(ALICE, announced(ALICE))
        model.expect([one])
        assert model.waiting == 1
        model.fold(check(one))
        picture = model.snapshot(NOW_MS)
        assert model.waiting == 0 and [model.verdict(entry) for entry in picture.entries] == ["bound"]


class TestForgeries:
    """What a stranger signs with a key of his own must not be drawn as somebody else's."""

    def test_a_key_that_was_never_proven_speaks_for_nobody(self) -> None:
        arrivals, _ = conversation()
        model = model_of(said(ALICE, announced(ALICE)), *arrivals)
        before = model.snapshot(NOW_MS + 5000)
        forged = announced(ALICE, 9, name="not alice", addresses=(presence.Address(uri=CAROL.address),))
        carrier = CAROL.carrier(forged, sender=ALICE.did, kid=CAROL.did, sent_ms=NOW_MS + 5000)
        model.fold(check(arrival(carrier, sender=CAROL.address, at_ms=NOW_MS + 6000)))
        after = model.snapshot(NOW_MS + 6000, fresh=True)
        assert model.verdict(after.entries[-1]) == "invalid"
        assert model.objection(after.entries[-1]) == "key.unproven"
        assert after.counts.invalid == before.counts.invalid + 1
        assert not [pulse for pulse in after.pulses if pulse.at_ms == NOW_MS + 6000]
        assert after.agent(ALICE.did) == before.agent(ALICE.did)
        assert all("not alice" not in one.event for one in model.arrivals()[:-1])

    def test_what_somebody_else_delivers_does_not_make_its_sender_seen(self) -> None:
        model = model_of(said(ALICE, announced(ALICE)))
        carrier = ALICE.carrier(announced(ALICE, 0), sent_ms=NOW_MS)
        model.fold(check(arrival(carrier, sender=CAROL.address, at_ms=NOW_MS + 9000)))
        picture = model.snapshot(NOW_MS + 9000, fresh=True)
        row = picture.agent(ALICE.did)
        assert row is not None and row.heard_ms == NOW_MS
        assert [pulse.at_ms for pulse in picture.pulses] == []

    def test_messages_about_tasks_nobody_knows_push_out_none(self) -> None:
        arrivals, task_id = conversation()
        model = model_of(*arrivals)
        for number in range(900):
            thread = digest(str(number).encode())
            model.fold(check(said(CAROL, task.Cancel(), thread=thread, answers=thread)))
        assert [row.id for row in model.snapshot(NOW_MS + 3000, fresh=True).tasks] == [task_id]

    def test_a_flood_of_requests_pushes_out_neither_ours_nor_those_of_bound_agents(self) -> None:
        ours, bound = said(ALICE, samples.request(title="ours")), said(BOB, samples.request(title="bound"))
        model = model_of(said(BOB, announced(BOB)), ours, bound, me=ALICE.did)
        for number in range(500):
            model.fold(check(said(CAROL, samples.request(title=str(number)))))
            model.snapshot(NOW_MS + number * 300)
        titles = {row.title for row in model.snapshot(NOW_MS, fresh=True).tasks}
        assert {"ours", "bound"} <= titles and len(titles) == 200

    @pytest.mark.parametrize("who", [ALICE, BOB])
    def test_a_revoked_key_takes_back_what_was_drawn_of_a_task(self, who: Author) -> None:
        arrivals, task_id = conversation()
        model = model_of(*arrivals)
        assert model.snapshot(NOW_MS + 3000).task(task_id) is not None
        model.fold(check(said(who, identity.Revoke(chain=(), since_ms=NOW_MS), at_ms=NOW_MS + 4000)))
        row, view = model.snapshot(NOW_MS + 4000, fresh=True).task(task_id), model.mesh.task(task_id)
        assert (row is None) == (view is None) == (who is ALICE)
        if row is not None and view is not None:
            assert row.state == view.state and view.stages["draft"].accepted is None
            assert (row.stages[0].text, row.stages[0].result) == ("", "")

    def test_only_what_live_agents_announce_draws_edges_and_times(self) -> None:
        def knows(author: Author, other: Author, sender: str) -> Arrival:
            confirmed = (presence.Confirmed(peer=other.did, at_ms=NOW_MS, rtt_ms=1),)
            return arrival(author.carrier(announced(author, confirmed=confirmed)), sender=sender)

        model = model_of(knows(ALICE, BOB, ALICE.address), said(BOB, announced(BOB)), knows(CAROL, BOB, ALICE.address))
        assert len(model.snapshot(NOW_MS).edges) == 1
        model.fold(check(said(ALICE, presence.Leave(revision=1), at_ms=NOW_MS + 1)))
        picture = model.snapshot(NOW_MS + 1, fresh=True)
        row = picture.agent(BOB.did)
        assert picture.edges == () and row is not None and row.rtt_ms == -1


class TestRoom:
    def test_a_direct_message_of_another_room_does_not_decide_which_is_watched(self) -> None:
        elsewhere = "matrix:roomid/elsewhere:example.org"
        hello = samples.bodies(BOB, ALICE, full=False)["handshake.hello"]
        first = said(BOB, hello, plane="direct", recipients=(ALICE.did,), room=elsewhere)
        model = model_of(first, said(ALICE, announced(ALICE)))
        picture = model.snapshot(NOW_MS)
        assert picture.room == ROOM and [row.name for row in picture.agents] == ["alice"]
        assert picture.counts.elsewhere == 1

    def test_direct_messages_from_before_it_is_known_are_kept(self) -> None:
        model = Model()
        one = said(ALICE, announced(ALICE), plane="direct")
        model.fold(check(one))
        assert model.snapshot(NOW_MS).entries == ()
        model.enter(ROOM)
        assert len(model.snapshot(NOW_MS).entries) == 1

    def test_directly_what_is_for_somebody_else_is_refused(self) -> None:
        accept = said(
            BOB, samples.bodies(BOB, ALICE, full=False)["handshake.hello"], plane="direct", recipients=(ALICE.did,)
        )
        assert isinstance(check(accept, Key(ALICE.did, ())).outcomes[0], Message)
        assert isinstance(check(accept, Key(BOB.did, ())).outcomes[0], Message)
        assert getattr(check(accept, Key(CAROL.did, ())).outcomes[0], "code", "") == "recipient.other"


class TestBounds:
    def test_after_a_reconnect_nothing_is_listed_twice(self) -> None:
        again = [
            said(ALICE, announced(ALICE)), tampered(said(BOB, announced(BOB))), arrival(sender=BOB.address, body="hi"),
        ]  # fmt: skip
        model = model_of(*again, *again, *again)
        picture = model.snapshot(NOW_MS)
        assert len(picture.entries) == 3
        assert (picture.counts.invalid, picture.counts.unsigned, picture.counts.duplicates) == (1, 1, 6)

    def test_long_events_are_forgotten_sooner(self) -> None:
        model = Model()
        for _ in range(1200):
            model.fold(check(arrival(sender=ALICE.address, body="\U0001f99e" + "x" * 60_000)))
        assert sum(sys.getsizeof(entry.arrival.event) for entry in model.snapshot(NOW_MS).entries) <= 32 << 20

    def test_what_is_too_long_to_be_an_event_is_not_kept(self) -> None:
        (entry,) = model_of(arrival(sender=ALICE.address, body="x" * 2_000_000)).snapshot(NOW_MS).entries
        assert entry.arrival.event == "" and entry.code == "size.carrier"

    def test_what_is_exported_stands_by_itself(self) -> None:
        """Even when announce, rotation and request have left the timeline."""
        arrivals, task_id = conversation()
        renewed = Author("next carol")
        carrier = renewed.carrier(samples.rotation(CAROL, renewed), sender=CAROL.did)
        rotated = arrival(carrier, sender=CAROL.address)
        model = Model(history=2)
        for one in (said(ALICE, announced(ALICE)), said(BOB, announced(BOB)), rotated, *arrivals):
            model.fold(check(one))
        again = model_of(*model.arrivals()).snapshot(NOW_MS + 3000)
        assert {row.name for row in again.agents if row.state == "live"} == {"alice", "bob"}
        carol = again.agent(CAROL.did)
        assert carol is not None and carol.rotations == 1
        assert again.task(task_id) is not None


class TestPulses:
    def test_an_award_goes_to_its_executor_and_the_result_back(self) -> None:
        arrivals, _ = conversation()
        model = model_of(*arrivals[:3])
        pulses = {pulse.type: (pulse.sender, pulse.to) for pulse in model.snapshot(NOW_MS + 1000).pulses}
        assert pulses["task.award"] == (ALICE.did, BOB.did)
        assert pulses["task.request"] == (ALICE.did, "")
        later = model.snapshot(NOW_MS + 2000 + PULSE_MS - 1).pulses
        assert [(pulse.type, pulse.sender, pulse.to) for pulse in later] == [("task.result", BOB.did, ALICE.did)]


class TestChecking:
    def test_a_direct_message_for_somebody_else_stays_closed(self) -> None:
        sealed = {"clawnet": "1", "seal_key": samples.announce(BOB).seal_key, "sealed": "AAAA"}
        checked = check(arrival(json.dumps(sealed).encode(), sender=ALICE.address, plane="direct"))
        assert [getattr(outcome, "code", "") for outcome in checked.outcomes] == ["sealed.unopened"]

    def test_words_are_no_message(self) -> None:
        assert check(arrival(sender=CAROL.address, body="hi")).outcomes == (Words("hi"),)

    def test_an_unknown_transport_or_junk_holds_nothing(self) -> None:
        one = said(ALICE, announced(ALICE))
        assert check(msgspec.structs.replace(one, transport="pigeon")).outcomes == ()
        assert check(msgspec.structs.replace(one, event="{" * 5000)).outcomes == ()

    def test_an_event_without_end_is_refused_at_once(self) -> None:
        huge = arrival(sender=ALICE.address, body="x" * 10_000_000)
        assert [getattr(outcome, "code", "") for outcome in check(huge).outcomes] == ["size.carrier"]

    def test_one_bad_carrier_does_not_stop_its_neighbour(self) -> None:
        both = arrival(b'{"clawnet":"1"}', ALICE.carrier(announced(ALICE)), sender=ALICE.address)
        model = model_of(both)
        assert [model.verdict(entry) for entry in model.snapshot(NOW_MS).entries] == ["invalid", "bound"]
        assert raw_carrier(both, 0) == {"clawnet": "1"}
        assert raw_carrier(both, 9) is None

    def test_an_announce_from_the_far_future_makes_nobody_live(self) -> None:
        early = msgspec.structs.replace(said(ALICE, announced(ALICE), at_ms=NOW_MS + 10**9), received_ms=NOW_MS)
        assert model_of(early).snapshot(NOW_MS).agents[0].state == "expired"

    def test_a_life_longer_than_its_type_allows_is_refused(self) -> None:
        carrier = ALICE.carrier(announced(ALICE), expires_ms=NOW_MS + 10**12)
        (outcome,) = check(arrival(carrier, sender=ALICE.address)).outcomes
        assert getattr(outcome, "code", "") == "time.lifetime"
