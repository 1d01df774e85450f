"""What is asked for: whom it goes to, whom one would rather have, and what no message can say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots import cli
from bots.api import Clawnet
from bots.cli import _parser
from bots.control import ControlServer, call
from bots.errors import ClawbotError, ConfigError
from bots.events import Notice, TaskOpened
from bots.requests import AnyRequest, Ask
from bots.service import Service
from clawnet_proto.families import presence, task
from tests.agent.simulated import Member, Room, echo
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto.authoring import ROOM


async def notices(member: Member, request: AnyRequest) -> list[str]:
    """What is said before anything is sent."""
    said = []
    async for event in Service(member.agent).answer(request):
        if isinstance(event, TaskOpened):
            break
        if isinstance(event, Notice):
            said.append(event.text)
    return said


class TestTo:
    @in_virtual_time
    async def test_it_says_first_who_that_is(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            for name in ("bert", bert.did):
                said = await notices(ada, Ask(question="x", to=name))
                assert f"bert is {bert.address}, {bert.did}." in said
                assert not [text for text in said if text.startswith("Careful")]

    @in_virtual_time
    async def test_a_name_that_somebody_else_only_claims_leads_nowhere(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            eve, mallory = room.stranger("eve"), room.stranger("mallory")
            await bert.stop()
            # Eve's key, and not from eve's account.
            mallory.post(eve.announcement(name="bert"))
            await until(lambda: eve.did in ada.mesh.peers)
            for name in ("bert", eve.did):
                with pytest.raises(ClawbotError, match="There is nobody called"):
                    await notices(ada, Ask(question="secret", private=True, to=name))
            assert room.network.posted("task.request", "task.award") == []

    @in_virtual_time
    async def test_namesakes_are_warned_of(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            eve = room.stranger("eve")
            eve.announce(name="be\u200brt")
            await until(lambda: eve.did in ada.mesh.peers)
            with pytest.raises(ClawbotError, match="2 peers called bert"):
                await notices(ada, Ask(question="x", to="bert"))
            said = await notices(ada, Ask(question="x", to=bert.did))
            assert "Careful: 1 more in this room went by the name bert." in said

    @in_virtual_time
    async def test_an_address_in_conflict_is_warned_of(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            (ada,) = await room.crowd("ada")
            eve, other = room.stranger("eve"), room.stranger("other")
            eve.announce(name="eve")
            here = presence.Address(uri=eve.address, device="DEVICE")
            eve.post(other.announcement(name="other", addresses=(here,)))
            await until(lambda: {eve.did, other.did} <= set(ada.mesh.peers))
            (kept,) = [peer for peer in ada.agent.live_peers(ROOM) if eve.address in peer.addresses]
            said = await notices(ada, Ask(question="x", to=kept.did))
            assert any(text.startswith(f"Careful: {eve.address} is in conflict") for text in said)


@pytest.mark.parametrize(
    "line",
    [["tasks", "--", "-fJx"], ["cancel", "--", "-fJx"], ["audit", "show", "--task=-fJx"]],
    ids=lambda line: line[0],
)
def test_an_id_that_begins_with_a_dash(line: list[str]) -> None:
    assert _parser().parse_args(line).task == "-fJx"


class TestPreferences:
    def test_flags(self) -> None:
        line = ["ask", "x", "--prefer-role", "a", "--prefer-role", "b", "--prefer-model", "m"]
        options = _parser().parse_args([*line, "--prefer-region", "eu", "--prefer-peer", "bert"])
        assert (options.prefer_role, options.prefer_model) == (["a", "b"], ["m"])
        assert (options.prefer_region, options.prefer_peer) == (["eu"], ["bert"])

    @in_virtual_time
    async def test_they_stand_in_the_request(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            wanted = Ask(question="x", roles=("critic", "writer"), models=("m",), regions=("eu",), peers=("bert",))
            await notices(ada, wanted)
            await until(lambda: room.network.posted("task.request"))
            assert room.network.posted("task.request")[0].body.preferences == task.Preferences(
                roles=("critic", "writer"), models=("m",), regions=("eu",), trusted=(bert.did,)
            )

    @in_virtual_time
    @pytest.mark.parametrize(
        "wanted, flag",
        [
            (Ask(question="x", roles=("Bad Role",)), "--prefer-role Bad Role"),
            (Ask(question="x", regions=("EU West",)), "--prefer-region EU West"),
            (Ask(question="x", models=("m" * 65,)), "--prefer-model mmm"),
            (Ask(question="x", models=("m",) * 9), "--prefer-model m, m"),
        ],
    )
    async def test_what_nobody_can_announce_is_named(self, tmp_path: Path, wanted: Ask, flag: str) -> None:
        async with Room(tmp_path) as room:
            (ada,) = await room.crowd("ada")
            with pytest.raises(ConfigError) as caught:
                await notices(ada, wanted)
            assert caught.value.message.startswith(flag)
            assert caught.value.hint


class TestUnsayable:
    """One clear sentence, and nothing was sent."""

    @in_virtual_time
    @pytest.mark.parametrize(
        "wanted, sentence",
        [
            (Ask(question="q" * 17_000), "The question has 17000 bytes"),
            (Ask(question="x", model="m" * 65), "That cannot be sent: schema.body"),
            (Ask(question="\x01" * 15_000), "That cannot be sent: size.envelope"),
        ],
    )
    async def test_alone(self, tmp_path: Path, wanted: Ask, sentence: str) -> None:
        async with Room(tmp_path) as room:
            (ada,) = await room.crowd("ada")
            with pytest.raises(ConfigError) as caught:
                await notices(ada, wanted)
            assert caught.value.message.startswith(sentence)
            assert "\n" not in str(caught.value)
            assert ada.agent.requester.open_tasks() == ()

    async def test_over_the_socket(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            agent = await room.member("ada").start()
            path = tmp_path / "run" / "s"
            async with ControlServer(Service(agent), path):
                with pytest.raises(ConfigError, match="17000 bytes"):
                    await anext(call(path, Ask(question="q" * 17_000)))

    @in_virtual_time
    async def test_by_the_library(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            net = Clawnet(ada.agent, ROOM)
            with pytest.raises(ConfigError, match="That cannot be sent"):
                await net.execute(question="q" * 17_000, stages=(echo(),))

    def test_a_question_that_is_no_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["ask", "caf\udce9"]) == cli.USAGE
        assert "UTF-8" in capsys.readouterr().err
