"""What is done beside receiving: tried again while that helps, and nothing ends unheard."""

from __future__ import annotations

import asyncio

import pytest

from bots.errors import Refused, RetryLater
from bots.transports.matrix.errands import Errands


@pytest.mark.parametrize("error", [Refused("matrix.forbidden", "You may not."), ValueError("You may not.")])
async def test_what_ends_an_errand_is_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    errands = Errands(lambda tries: 0.0)
    ended = asyncio.Event()
    answers: list[Exception] = [RetryLater("matrix.unreachable", "Not now.", 0.001), error]

    async def errand() -> None:
        answer = answers.pop(0)
        if not answers:
            ended.set()
        raise answer

    errands.start("knocking", errand)
    await ended.wait()
    await errands.end()
    assert "knocking" in caplog.records[-1].getMessage()
    assert "You may not." in caplog.text
