"""What a death in the middle leaves behind is cleared away at the next start."""

from __future__ import annotations

from pathlib import Path

from tests.agent.simulated import Room, order
from tests.agent.virtual_time import in_virtual_time


@in_virtual_time
async def test_the_plain_texts_of_a_sealed_task_that_had_just_ended(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, _bert = await room.crowd("ada", "bert")
        store = ada.agent.store
        task_id = ada.ask(order(private=True))
        kept = store.facts("")
        (key,) = [key for key in kept if task_id in key]
        await ada.outcome(task_id)
        assert key not in store.facts("")
        store.set_fact(key, kept[key])  # it died before this was forgotten
        await ada.crash()
        await ada.start()
        assert key not in ada.agent.store.facts("")
        unfinished = ada.ask(order(private=True))
        await ada.crash()
        await ada.start()
        assert (await ada.outcome(unfinished)).outcome == "completed"
