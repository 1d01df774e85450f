"""Ends, absences, floods and bad messages: nothing is lost or doubled but what the specification gives up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bots.bridge import bridge as bridges
from bots.errors import Fatal
from clawnet_proto.carrier import sign, verify
from clawnet_proto.families import handshake, presence, task
from tests.agent.virtual_time import until
from tests.bridge.crossing import PATIENCE_S, Crossing, now_ms
from tests.proto.authoring import Author
from tests.proto.samples import request, rotation

if TYPE_CHECKING:
    from tests.bridge.conftest import NewBridge

_HOUR_MS = 3_600_000


# --- ends and absences ---


async def test_what_is_said_while_it_is_away_is_carried_once(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    ada, bert = crossing.on_matrix("ada"), crossing.on_hub("bert")
    said = [await ada.announce(), await bert.announce()]
    await crossing.quiet(ada, bert)
    for end in (bridge.crash, bridge.stop):
        said += [await ada.tell(request()), await bert.tell(request())]  # perhaps arrived, perhaps not yet carried
        await end()
        said += [await ada.tell(request()), await bert.tell(request())]
        await bridge.start()
        await crossing.quiet(ada, bert)
    await until(lambda: not bridge.waiting, PATIENCE_S)
    for side in ("matrix", "http"):
        counted = await crossing.counted(side)
        assert [counted[message.id] for message in said] == [1] * len(said)


async def test_who_spoke_on_both_sides_while_it_was_away(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    await bridge.crash()
    here, there = crossing.on_matrix("ada"), crossing.on_hub("ada")
    carrier = here.sign(request())
    await here.post(carrier)
    await there.post(carrier)
    await bridge.start()
    await crossing.quiet(crossing.on_matrix("bert"), crossing.on_hub("cleo"))
    for side in ("matrix", "http"):
        assert len(await crossing.copies(verify(carrier), side)) == 1


async def test_a_bridge_that_has_lost_its_memory(crossing: Crossing, new_bridge: NewBridge) -> None:
    """What it finds of its own copies it does not bring once more."""
    bridge = await new_bridge()
    ada, bert = crossing.on_matrix("ada"), crossing.on_hub("bert")
    await crossing.quiet(ada, bert)
    said = [await ada.tell(request()), await bert.tell(request())]
    await crossing.quiet(ada, bert)
    await bridge.stop()
    bridge.forget()
    await bridge.start()
    await crossing.quiet(ada, bert)
    await until(lambda: not bridge.waiting, PATIENCE_S)
    for side in ("matrix", "http"):
        counted = await crossing.counted(side)
        assert [counted[message.id] for message in said] == [1] * len(said)


async def test_a_hub_that_is_away(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    ada = crossing.on_matrix("ada")
    await crossing.quiet(ada)
    await crossing.hub.stop()
    await until(lambda: not bridge.bridge.report().sides["http"].online, PATIENCE_S)
    said = [await ada.announce(), await ada.tell(request())]
    await until(lambda: bridge.bridge.report().sides["http"].waiting == len(said), PATIENCE_S)
    await crossing.hub.start()
    for message in said:
        await crossing.arrived(message, "http")
    counted = await crossing.counted("http")
    assert set(counted.values()) == {1}


async def test_of_what_was_before_it_only_what_still_matters(crossing: Crossing, new_bridge: NewBridge) -> None:
    ada, bert, gone = crossing.on_matrix("ada"), crossing.on_hub("bert"), crossing.on_hub("gone")
    past = now_ms() - 3 * _HOUR_MS
    carried = [await ada.announce(), await bert.announce()]
    old = await bert.announce()  # the one before it counts no more
    carried[1], old = old, carried[1]
    left = [await gone.announce(), await gone.tell(presence.Leave(revision=1))]
    expired = await ada.tell(request(), sent_ms=past, expires_ms=past + _HOUR_MS)
    going_on = await ada.tell(request())
    carried += [going_on, await ada.tell(task.Award(stage="draft", attempt=1, lease_ms=30_000), recipients=(bert.did,),
                                         thread=going_on.id, answers=going_on.id)]  # fmt: skip
    over = await bert.tell(request())
    ended = [over, await bert.tell(task.Cancel(), thread=over.id, answers=over.id)]
    orphan = await bert.tell(task.Cancel(), thread=expired.id, answers=expired.id)
    await new_bridge()
    await crossing.quiet(ada, bert)
    counted = {side: await crossing.counted(side) for side in ("matrix", "http")}
    here, there = counted["matrix"], counted["http"]
    assert [(here[one.id], there[one.id]) for one in carried] == [(1, 1)] * len(carried)
    assert {here[one.id] + there[one.id] for one in (old, *left, expired, *ended, orphan)} == {1}


async def test_a_room_that_does_not_want_it(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    await crossing.kick(bridge.address("matrix"))
    with pytest.raises(Fatal) as raised:
        await bridge.ended()
    assert raised.value.code == "bridge.left"


async def test_an_encrypted_room_is_not_carried(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    await crossing.encrypt()
    with pytest.raises(Fatal) as raised:
        await bridge.ended()
    assert raised.value.code == "bridge.encrypted"
    with pytest.raises(Fatal) as raised:
        await bridge.start()
    assert raised.value.code == "bridge.encrypted"


# --- bad messages ---


async def test_what_may_not_be_carried(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    ada, mallory = crossing.on_matrix("ada"), Author("mallory")
    past, future = now_ms() - 3 * _HOUR_MS, now_ms() + _HOUR_MS
    await ada.announce()
    stolen = ada.envelope(request(), room=crossing.room, sent_ms=now_ms(), kid=mallory.did)
    bad = {
        "time.expired": ada.sign(request(), sent_ms=past, expires_ms=past + _HOUR_MS),
        "time.future": ada.sign(request(), sent_ms=future),
        "room.mismatch": ada.sign(request(), room="matrix:roomid/another:example.org"),
        "plane.mismatch": ada.sign(handshake.Confirm(version="1"), recipients=(mallory.did,),
                                   thread="A" * 43, answers="A" * 43),
        "signature.invalid": ada.sign(request()).replace(b'"sig":"', b'"sig":"AAAA')[:-6] + b'"}',
        "carrier.malformed": b'{"clawnet":"1","sealed":"AAAA","to":"' + mallory.did.encode() + b'"}',
        "key.unproven": sign(mallory.key, stolen)[0],
    }  # fmt: skip
    for carrier in bad.values():
        await ada.post(carrier)
    await crossing.quiet(ada)
    assert set(bridge.bridge.counts.not_carried) == set(bad) - {"signature.invalid"} | {"signature.malformed"}
    assert {copy.message.type for copy in await crossing.there("http")} == {"presence.announce"}


async def test_a_bad_one_does_not_hold_back_its_neighbours(crossing: Crossing, new_bridge: NewBridge) -> None:
    await new_bridge()
    ada = crossing.on_matrix("ada")
    good = [ada.sign(ada.announced()), ada.sign(request())]
    await ada.post(good[0], b'{"clawnet":"1"}', b"{}", good[1])
    for carrier in good:
        await crossing.arrived(verify(carrier), "http")


async def test_a_key_that_was_changed(crossing: Crossing, new_bridge: NewBridge) -> None:
    """Also after a start: whose a key is was said long ago."""
    bridge = await new_bridge()
    ada, following = crossing.on_matrix("ada"), Author("ada's next")
    rotate = ada.envelope(rotation(ada, following), room=crossing.room, sent_ms=now_ms(), kid=following.did)
    await ada.post(sign(following.key, rotate)[0])
    await crossing.quiet(crossing.on_matrix("bert"))
    await bridge.stop()
    await bridge.start()
    asked = ada.envelope(request(), room=crossing.room, sent_ms=now_ms(), kid=following.did)
    carrier, message = sign(following.key, asked)
    await ada.post(carrier)
    await crossing.arrived(message, "http")


async def test_what_comes_before_the_word_that_proves_its_key_is_carried_after_it(
    crossing: Crossing, new_bridge: NewBridge
) -> None:
    bridge = await new_bridge()
    ada, following, another = crossing.on_matrix("ada"), Author("ada's next"), Author("another's")
    asked, stolen = (
        sign(one.key, ada.envelope(request(), room=crossing.room, sent_ms=now_ms(), kid=one.did))
        for one in (following, another)
    )
    rotate = ada.envelope(rotation(ada, following), room=crossing.room, sent_ms=now_ms(), kid=following.did)
    await ada.post(stolen[0])
    await ada.post(asked[0])
    await bridge.counts(lambda counts: counts.not_carried["key.unproven"] == 2)
    await ada.post(sign(following.key, rotate)[0])
    await crossing.arrived(asked[1], "http")
    await crossing.quiet(crossing.on_matrix("bert"))
    assert not await crossing.copies(stolen[1], "http")


# --- floods ---


async def test_a_flood_is_cut_and_others_are_heard(
    crossing: Crossing, new_bridge: NewBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridges, "PER_MINUTE", 20)
    bridge = await new_bridge()
    flooder, bert = crossing.on_hub("flooder"), crossing.on_hub("bert")
    for _ in range(5):
        await flooder.post(*(flooder.sign(request()) for _ in range(16)))
    said = await bert.announce()
    await crossing.arrived(said, "matrix")
    await bridge.counts(lambda counts: counts.limited >= 59)  # in the meantime it may say one or two more
    there = [copy for copy in await crossing.there("matrix") if copy.message.sender == flooder.did]
    assert len({copy.event for copy in there}) < len(there) <= 25  # where there is much, events are shared
