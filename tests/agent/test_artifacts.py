"""Outputs too long for a message: stored, fetched and checked, or not to be had (spec/16-artifacts.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import UNSET

from bots.artifacts import Artifacts, Unavailable
from bots.config import LimitsSection, RequestsSection
from bots.errors import RetryLater
from bots.events import StageText
from bots.transports.together import Together
from clawnet_proto.artifact import describe
from clawnet_proto.families import task
from clawnet_proto.specification import LIMITS
from tests.agent.network import Network, SimulatedTransport
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room, echo, generate, order
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto.authoring import ROOM

GENEROUS = LimitsSection(prompt_bytes=200_000)
LONG = "".join(f"{number} leagues under the sea, and é besides. " for number in range(600))


def parts(text: str, size: int) -> dict[str, str]:
    """A text as several inputs."""
    return {f"part{index}": text[start : start + size] for index, start in enumerate(range(0, len(text), size))}


async def hands(room: Room, *names: str) -> list[Member]:
    return [await room.join(name, limits=GENEROUS) for name in names]


def the_results(room: Room) -> list[task.Result]:
    return [message.body for message in room.network.posted("task.result")]


class TestCourse:
    @in_virtual_time
    @pytest.mark.parametrize("private", [False, True])
    async def test_it_goes_from_stage_to_stage_and_to_whoever_asked(self, tmp_path: Path, private: bool) -> None:
        async with Room(tmp_path) as room:
            ada, *_ = await hands(room, "ada", "bert", "cora")
            inputs = parts(LONG, 11_000 if private else 12_000)
            stages = (echo("join", *inputs), echo("twice", "join", *inputs), echo("last", "twice"))
            end = await ada.outcome(ada.ask(order(*stages, inputs=inputs, private=private)), 300)
            assert (end.outcome, end.executions) == ("completed", 3), end
            # What echo makes of line parts: blanks at their ends are cut off.
            joined = "".join(f"|{part.strip()}" for part in inputs.values())
            assert end.text == f"||{joined}{joined}"
            for result in the_results(room):
                assert result.artifact is not UNSET
                assert result.finish == "stop"
                assert result.artifact.bytes > LIMITS.inline_text_bytes
                if not private:
                    assert result.artifact.digest == result.output_digest
            told = "".join(event.text for event in ada.told(StageText) if event.stage == "last")
            assert told == end.text
            if private:
                seen = json.dumps(room.network.timeline) + repr(room.network.chunks)
                assert "leagues" not in seen
            else:
                assert "bytes, stored apart" in "\n".join(room.network.bodies())

    @in_virtual_time
    async def test_sealed_inputs_too_long_for_an_award_are_stored_for_its_executor(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await hands(room, "ada", "bert")
            inputs = parts("x" * 15_000 + "y" * 15_000 + "z" * 900, 15_000)
            end = await ada.outcome(ada.ask(order(echo("join", *inputs), inputs=inputs, private=True)), 300)
            assert end.text == "".join(f"|{text}" for text in inputs.values())
            (award,) = room.network.posted("task.award")
            kinds = [item.artifact is not UNSET for item in award.body.inputs]
            assert kinds == [True, False, False]

    @in_virtual_time
    async def test_an_output_of_many_chunks(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            text = "words without end " * 40_000
            await room.join("bert", ScriptedEngine([text]))
            end = await ada.outcome(ada.ask(order(generate())), 600)
            assert end.text == text
            (result,) = the_results(room)
            assert result.artifact is not UNSET
            assert len(result.artifact.chunks) == 3

    @in_virtual_time
    async def test_text_that_escapes_badly_is_stored_too(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            text = '\x01"' * 7_000
            await room.join("bert", ScriptedEngine([text]))
            end = await ada.outcome(ada.ask(order(generate())), 600)
            assert (end.text, end.stages[0].finish) == (text, "stop")

    @in_virtual_time
    async def test_after_a_restart_it_is_fetched_again(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await hands(room, "ada", "bert")
            inputs = parts("x" * 30_000, 15_000)
            stages = (echo("join", *inputs), generate("never", "join"))
            task_id = ada.ask(order(*stages, inputs=inputs, private=True))
            await until(lambda: ada.task(task_id).stages["join"].accepted)
            await ada.crash()
            await room.join("cora", ScriptedEngine(["done"]), limits=GENEROUS)
            await ada.start()
            end = await ada.outcome(task_id, 300)
            assert (end.outcome, end.text) == ("completed", "done")


class TestFaults:
    @in_virtual_time
    async def test_a_busy_store_is_tried_again(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await hands(room, "ada", "bert")
            calls = []

            def busy() -> None:
                calls.append(1)
                if len(calls) % 2:
                    raise RetryLater("matrix.rate_limited", "Too fast.", 2.0)

            room.network.chunk_fault = busy
            inputs = parts("x" * 30_000, 15_000)
            end = await ada.outcome(ada.ask(order(echo("join", *inputs), inputs=inputs)), 300)
            assert len(end.text) == 30_002

    @in_virtual_time
    @pytest.mark.parametrize("fault", ["gone", "other bytes", "shorter", "longer"])
    async def test_an_executor_that_cannot_have_its_input_fails_and_another_one_may_try(
        self, tmp_path: Path, fault: str
    ) -> None:
        async with Room(tmp_path) as room:
            ada, *_ = await hands(room, "ada", "bert")
            inputs = parts("x" * 30_000, 15_000)
            spoil(room.network, fault)
            stages = (echo("join", *inputs), echo("last", "join"))
            asked = order(*stages, inputs=inputs, timeout_ms=100_000)
            end = await ada.outcome(ada.ask(asked), 200)
            assert end.outcome == "failed"
            fails = [message.body for message in room.network.posted("task.fail")]
            assert fails
            assert {(fail.stage, fail.code, fail.retryable) for fail in fails} == {
                ("last", "artifact.unavailable", True)
            }

    @in_virtual_time
    async def test_whoever_asked_and_cannot_have_the_output_awards_anew(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", limits=GENEROUS, requests=RequestsSection(lease_ms=5000))
            await hands(room, "bert", "cora")
            inputs = parts("x" * 30_000, 15_000)
            network, plain = room.network, room.network.chunks
            network.chunks = Forgetful(plain)
            end = await ada.outcome(ada.ask(order(echo("join", *inputs), inputs=inputs)), 300)
            assert (end.outcome, end.stages[0].attempt, end.executions) == ("completed", 2, 2)
            assert len(end.text) == 30_002

    @in_virtual_time
    async def test_what_is_more_than_its_owner_allows_is_not_fetched(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            bert = await room.join("bert", ScriptedEngine(["x" * 20_000]))
            asked = order(generate("long"), echo("last", "long"), to=bert.did)
            end = await ada.outcome(ada.ask(asked), 300)
            assert end.outcome == "failed"
            assert not [1 for who, _ in room.network.fetched if who == bert.address]
            (fail,) = [message.body for message in room.network.posted("task.fail")]
            assert (fail.code, fail.retryable) == ("prompt.too_large", False)

    @in_virtual_time
    async def test_no_more_is_asked_for_than_was_promised(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            member = room.member("ada")
            member.open()
            transport = SimulatedTransport(room.network, "matrix:u/x:example.org", "x", member.agent.store)
            asked: list[int] = []

            async def fetch(uri: str, most: int) -> bytes:
                asked.append(most)
                return b"z" * (most + 1)

            transport.fetch_chunk = fetch  # type: ignore[method-assign]

            async def sleep(_: float) -> None: ...

            artifacts = Artifacts(Together([transport]), sleep)
            artifact = describe(b"x" * 300_000, ["mxc://e/1", "mxc://e/2"])
            with pytest.raises(Unavailable):
                await artifacts.get(artifact, 300_000)
            assert asked == [LIMITS.chunk_bytes]
            with pytest.raises(Unavailable):
                await artifacts.get(artifact, 299_999)
            for data in (b"", bytes(LIMITS.artifact_bytes + 1)):
                with pytest.raises(Unavailable):
                    await artifacts.put(ROOM, "", data)
            member.agent.store.close()


class Forgetful(dict[str, bytes]):
    """A chunk store that has lost what it was given first."""

    def __contains__(self, uri: object) -> bool:
        return super().__contains__(uri) and uri != "mxc://example.org/0"


def spoil(network: Network, fault: str) -> None:
    """What is stored does not come back as it was."""
    changes: dict[str, Callable[[bytes], bytes]] = {
        "other bytes": lambda data: b"y" + data[1:],
        "shorter": lambda data: data[:-1],
        "longer": lambda data: data + b"x",
    }

    class Spoiled(dict[str, bytes]):
        def __setitem__(self, uri: str, data: bytes) -> None:
            if fault in changes:
                super().__setitem__(uri, changes[fault](data))

    network.chunks = Spoiled()
