"""Slots: a bound on what runs, and an order for what waits."""

from __future__ import annotations

import asyncio

import pytest

from bots.engines.slots import Slot, Slots
from bots.errors import EngineError


def soon() -> float:
    return asyncio.get_running_loop().time() + 30


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_run_than_there_are_slots_and_the_rest_wait_in_order() -> None:
    slots = Slots(2)
    order: list[int] = []

    async def take(number: int) -> Slot:
        slot = await slots.take(deadline=soon())
        order.append(number)
        return slot

    tasks = [asyncio.create_task(take(number)) for number in range(5)]
    await settle()
    assert (order, slots.running, slots.waiting) == ([0, 1], 2, 3)
    tasks[1].result().release()
    await settle()
    assert (order, slots.running, slots.waiting) == ([0, 1, 2], 2, 2)
    for index in (0, 2, 3):
        tasks[index].result().release()
        await settle()
    assert order == [0, 1, 2, 3, 4]
    assert tasks[0].result().queued_ms <= tasks[4].result().queued_ms
    tasks[4].result().release()
    assert (slots.running, slots.waiting) == (0, 0)


async def test_a_slot_is_given_back_once() -> None:
    slots = Slots(1)
    slot = await slots.take(deadline=soon())
    slot.release()
    slot.release()
    assert slots.running == 0
    await slots.take(deadline=soon())
    with pytest.raises(EngineError):
        await slots.take(deadline=0)


async def test_who_gives_up_waiting_leaves_the_queue() -> None:
    slots = Slots(1)
    first = await slots.take(deadline=soon())
    leaver, stayer = (asyncio.create_task(slots.take(deadline=soon())) for _ in range(2))
    await settle()
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert slots.waiting == 1
    first.release()
    (await stayer).release()
    assert (slots.running, slots.waiting) == (0, 0)


async def test_waiting_ends_at_the_deadline() -> None:
    slots = Slots(1)
    await slots.take(deadline=soon())
    with pytest.raises(EngineError) as caught:
        await slots.take(deadline=asyncio.get_running_loop().time() + 0.01)
    assert (caught.value.code, caught.value.retryable) == ("engine.timeout", True)
    assert (slots.running, slots.waiting) == (1, 0)


async def test_a_long_queue_takes_no_more() -> None:
    slots = Slots(1, max_waiting=1)
    first = await slots.take(deadline=soon())
    waiting = asyncio.create_task(slots.take(deadline=soon()))
    await settle()
    with pytest.raises(EngineError) as caught:
        await slots.take(deadline=soon())
    assert (caught.value.code, caught.value.retryable) == ("engine.busy", True)
    first.release()
    (await waiting).release()


def test_an_engine_has_at_least_one_slot() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Slots(0)
