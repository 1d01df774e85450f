"""An agent whose disk is full or read-only stops with one clear sentence, and has lost nothing it acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.errors import StoreError
from bots.store import Store
from tests.agent.door import GOOD, opened
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room, generate, order
from tests.agent.virtual_time import in_virtual_time, until

SENTENCE = {
    "store.full": "The disk that holds the store {path} is full. Free some space and start again; "
    "everything acknowledged before is kept.",
    "store.read_only": "The store {path} cannot be written. Check who owns it and its directory, "
    "or name another store.",
}


def fill(store: Store) -> None:
    """Not one page more."""
    pages = store._database.value("PRAGMA page_count")
    store._database.execute(f"PRAGMA max_page_count = {pages}")


def lock(store: Store) -> None:
    store._database.execute("PRAGMA query_only = ON")


FAULTS = [("store.full", fill), ("store.read_only", lock)]


async def ended(member: Member, code: str) -> None:
    """The agent stops because of its store, and says so in one sentence."""
    error = await member.ended()
    assert isinstance(error, StoreError)
    assert error.code == code
    assert str(error) == SENTENCE[code].format(path=member.folder / "store.sqlite")
    await member.crash()


class TestArrivals:
    @in_virtual_time
    @pytest.mark.parametrize("code, break_store", FAULTS, ids=[code for code, _ in FAULTS])
    async def test_what_cannot_be_kept_is_not_acknowledged_and_comes_again(
        self, tmp_path: Path, code: str, break_store: object
    ) -> None:
        async with Room(tmp_path) as room:
            door = await opened(room)
            assert callable(break_store)
            break_store(door.bert.agent.store)
            for number in range(20):
                door.eve.write(f"{number} " + "x" * 20_000)
            door.eve.post(*door.good())
            await ended(door.bert, code)
            assert door.engine.prompts == []
            await door.bert.start()
            await door.only_good_work_was_done(GOOD)


class TestHandling:
    @in_virtual_time
    async def test_what_was_kept_and_could_not_be_handled_is_handled_after_a_restart(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            door = await opened(room)
            store = door.bert.agent.store
            store.subscribe(lambda: lock(store))
            door.eve.post(*door.good())
            await ended(door.bert, "store.read_only")
            assert room.network.posted("task.result", "task.fail") == []
            await door.bert.start()
            await door.only_good_work_was_done(GOOD)

    @in_virtual_time
    async def test_work_that_was_done_and_could_not_be_kept_is_done_again(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine([2.0, "done"])
            bert = await room.join("bert", engine)
            task_id = ada.ask(order(generate()))
            await until(lambda: engine.running)
            lock(bert.agent.store)
            await ended(bert, "store.read_only")
            assert engine.closed
            await bert.start()
            end = await ada.outcome(task_id)
            assert (end.text, end.executions) == ("done", 1)


class TestRequester:
    @in_virtual_time
    async def test_a_question_that_cannot_be_kept_is_refused_and_not_half_asked(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            lock(ada.agent.store)
            with pytest.raises(StoreError, match="cannot be written"):
                ada.ask(order())
            await ended(ada, "store.read_only")
            assert room.network.posted("task.request") == []
            await ada.start()
            assert ada.agent.requester.open_tasks() == ()
            assert (await ada.outcome(ada.ask(order()))).outcome == "completed"

    @in_virtual_time
    async def test_with_room_again_a_moment_later_it_stops_all_the_same(self, tmp_path: Path) -> None:
        """What it has in memory of the question is on no disk: nobody may build on it."""
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            fill(ada.agent.store)
            with pytest.raises(StoreError, match="is full"):
                ada.ask(order(question="x" * 15_000))
            ada.agent.store._database.execute("PRAGMA max_page_count = 1000000")
            await ended(ada, "store.full")
            assert room.network.posted("task.request") == []
            await ada.start()
            assert list(ada.mesh.tasks()) == []

    @in_virtual_time
    async def test_an_open_task_survives(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            await room.join("bert", ScriptedEngine([5.0, "done"]))
            task_id = ada.ask(order(generate()))
            await until(lambda: room.network.sent("task.start"))
            lock(ada.agent.store)
            await ended(ada, "store.read_only")
            await ada.start()
            assert (await ada.outcome(task_id)).text == "done"
