"""Only who is joined to the room takes part: outsiders are refused, whoever left or was banned is not counted upon."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bots.events import MessageSeen, Notice
from bots.store import Store
from clawnet_proto.families import handshake
from clawnet_proto.families.presence import Address
from clawnet_proto.wire import present
from tests.agent.network import NAME
from tests.agent.simulated import Member, Room, echo, live, order
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto import samples
from tests.proto.authoring import Author


def outsider(room: Room, name: str) -> Stranger:
    """Somebody with an account that has not joined the room."""
    stranger = room.stranger(name)
    room.network.outside.add(stranger.address)
    return stranger


def hello(sender: Stranger, to: Member) -> bytes:
    body = handshake.Hello(versions=("1",), address=Address(uri=sender.address, device="DEVICE"))
    return sender.says(body, recipients=(to.did,))


def refusals(member: Member, of: Stranger) -> list[str]:
    told = [event for event in member.told(MessageSeen) if event.address == of.address]
    return [event.code for event in told if event.verdict == "invalid"]


def executors(room: Room) -> list[str]:
    awards = room.network.posted("task.award")
    return [did for award in awards for did in present(award.envelope.recipients, ())]


@in_virtual_time
async def test_an_outsider_is_nobody(tmp_path: Path) -> None:
    async with Room(tmp_path, public=False) as room:
        ada, bert = await room.crowd("ada", "bert")
        eve = outsider(room, "eve")
        eve.send(ada.address, eve.announcement(capabilities=("echo",)), hello(eve, ada))
        await until(lambda: refusals(ada, eve) == ["binding.outsider"] * 2)
        assert eve.did not in ada.mesh.peers
        # Whoever would do the work is silent, so that it is awarded again and again.
        room.network.rules.append(
            lambda passage: [] if passage.sender == bert.address and passage.holds("task.start") else [passage]
        )
        await ada.outcome(ada.ask(order(echo())))
        assert eve.did not in executors(room)
        assert eve.heard("handshake.accept", "task.award") == []


@in_virtual_time
async def test_a_restart_does_not_let_an_outsider_in(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await room.crowd("ada", "bert")
        eve = outsider(room, "eve")
        eve.send(ada.address, eve.announcement())
        await until(lambda: refusals(ada, eve))
        await ada.crash()
        await ada.start()
        await until(lambda: bert.did in live(ada))
        assert eve.did not in ada.mesh.peers
        assert all(delivery.sender != eve.address for _, delivery in ada.agent.store.history())


@in_virtual_time
async def test_who_was_banned_is_not_counted_upon_until_it_is_back(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert, cora = await room.crowd("ada", "bert", "cora")
        room.network.outside.add(cora.address)
        await until(lambda: live(ada) == {ada.did, bert.did})
        assert cora.did in ada.mesh.peers, "what it said while it was here stays folded"
        for _ in range(8):
            assert (await ada.outcome(ada.ask(order(echo())))).outcome == "completed"
        assert cora.did not in executors(room)
        eve = room.stranger("eve")
        eve.announce()
        await until(lambda: eve.did in live(ada))
        room.network.outside.add(eve.address)
        eve.send(ada.address, eve.announcement(), hello(eve, ada))
        await until(lambda: refusals(ada, eve) == ["binding.outsider"] * 2)
        room.network.outside.clear()
        await until(lambda: {cora.did, eve.did} <= live(ada))


@in_virtual_time
async def test_nothing_is_judged_before_it_is_known_who_is_joined(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, _ = await room.crowd("ada", "bert")
        eve = room.stranger("eve")
        eve.announce()
        await until(lambda: eve.did in live(ada))
        await ada.crash()
        eve.send(ada.address, hello(eve, ada))
        await asyncio.sleep(1)
        # It died between the commit and the handling, and the homeserver is away when it comes back.
        account = room.network.account(ada.address)
        store = Store.open(ada.folder / "store.sqlite")
        store.commit(NAME, account.log[int(store.position(NAME) or 0) :], str(len(account.log)))
        store.close()
        account.reachable = False
        starting = asyncio.ensure_future(ada.start())
        await asyncio.sleep(5)
        assert not eve.heard("handshake.accept")
        account.reachable = True
        account.arrived.set()
        await starting
        await until(lambda: eve.heard("handshake.accept"))
        assert refusals(ada, eve) == []


@in_virtual_time
async def test_who_is_in_a_room_that_is_not_shown_just_now_is_no_outsider(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await room.crowd("ada", "bert")
        await until(lambda: not ada.agent.store.unhandled())
        eve = room.stranger("eve")
        eve.announce()
        await until(lambda: eve.did in live(ada))
        eve.send(ada.address, hello(eve, bert))
        await until(lambda: bool(refusals(ada, eve)))
        seen = len(refusals(ada, eve))
        ada.agent.transport.ways[0].rooms = list  # type: ignore[method-assign]
        eve.send(ada.address, hello(eve, ada))
        await asyncio.sleep(1)
        assert refusals(ada, eve)[seen:] == []


@in_virtual_time
async def test_people_are_told_once_of_an_address_that_two_identities_claim(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        (ada,) = await room.crowd("ada")
        eve = room.stranger("eve")
        eve.announce()
        await until(lambda: eve.did in live(ada))
        assert ada.told(Notice) == []
        for name in ("mallory", "trudy"):
            key = Author(name)
            body = samples.announce(key, addresses=(Address(uri=eve.address, device="DEVICE"),))
            eve.post(key.carrier(body, sent_ms=room.network.now_ms()))
            await until(lambda key=key: key.did in ada.mesh.peers)  # type: ignore[misc]
            await asyncio.sleep(1)
        (notice,) = ada.told(Notice)
        assert notice.text.startswith(f"{eve.address} is claimed by two identities: ")
        assert eve.did in notice.text
        assert Author("mallory").did in notice.text
