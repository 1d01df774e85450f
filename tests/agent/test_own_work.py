"""An agent that does the work of its own tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.errors import RetryLater
from bots.transports import Parcel
from tests.agent.simulated import Room, echo, order
from tests.agent.virtual_time import in_virtual_time, until

_HELD_BACK_S = 5.0


@in_virtual_time
async def test_a_receipt_does_not_overtake_the_results_that_it_names(tmp_path: Path) -> None:
    """Both wait while the homeserver holds us back, and what waits too long expires."""
    async with Room(tmp_path) as room:
        (ada,) = await room.crowd("ada")
        (transport,) = ada.agent.transport.ways
        awarded: list[str] = []
        send = transport.send

        async def hindered(parcel: Parcel) -> str:
            event = await send(parcel)
            if not awarded and any("task.award" in carrier for carrier in parcel.carriers):
                awarded.append(event)
                raise RetryLater("simulated.rate_limited", "Not so fast.", _HELD_BACK_S)
            return event

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transport, "send", hindered)
            end = await ada.outcome(ada.ask(order(echo("draft"), echo("revise", "draft"))))
            assert end.outcome == "completed"
            assert not room.network.posted("task.result", "task.close")
            await until(lambda: len(room.network.posted("task.result", "task.close")) == 3)
        said = [message.type for message in room.network.posted("task.result", "task.close")]
        assert said == ["task.result", "task.result", "task.close"]
