"""What is set aside because it was refused, and what is not."""

from __future__ import annotations

import pytest

from bots.errors import Fatal, Refused, TransportError
from bots.outbox import SERVER_ERRORS
from bots.transports import Parcel
from tests.outbox.bench import Bench, fact, held
from tests.outbox.fake_transport import BROKEN, UNREACHABLE


class TestRefusals:
    async def test_a_refused_batch_is_set_aside_and_the_queue_goes_on(self, bench: Bench) -> None:
        no = Refused("fake.forbidden", "Not in this room.")
        bench.transport.answer = lambda parcel: no if held(parcel) == [1, 2] else None
        bench.outbox.add(fact(1), fact(2))
        bench.outbox.add(fact(3, conversation="other"))
        assert [held(parcel) for parcel in await bench.drained()] == [[3]]
        assert [([e.line for e in entries], code) for entries, code in bench.refused] == [
            (["line 1", "line 2"], "fake.forbidden")
        ]
        [refusal] = bench.store.outgoing.refusals("fake")
        assert refusal.reason == "fake.forbidden: Not in this room."
        assert [entry.line for entry in refusal.entries] == ["line 1", "line 2"]
        assert bench.outbox.health().refused == 2
        bench.restart()
        await bench.drained()
        assert len(bench.transport.tries) == 2, "it is not tried again"

    @pytest.mark.parametrize("code", ["fake.bad_content", "fake.too_large"])
    async def test_a_bad_message_takes_no_others_down_with_it(self, code: str, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: Refused(code, "") if 2 in held(parcel) else None
        bench.outbox.add(fact(1), fact(2), fact(3))
        assert [held(parcel) for parcel in await bench.drained()] == [[1], [3]]
        assert [[e.line for e in entries] for entries, _ in bench.refused] == [["line 2"]]

    async def test_a_batch_that_makes_the_server_fail_is_set_aside(self, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: BROKEN if held(parcel) == [1] else None
        bench.outbox.add(fact(1, alone=True), fact(2))
        async with bench.running():
            while len(bench.transport.tries) < 3:
                bench.transport.started.clear()
                await bench.transport.started.wait()
        bench.restart()
        assert [held(parcel) for parcel in await bench.drained()] == [[2]]
        tries = [held(parcel) for parcel in bench.transport.tries]
        assert SERVER_ERRORS <= tries.count([1]) <= SERVER_ERRORS + 1, "counted over the restart"

    async def test_an_unreachable_server_refuses_nothing(self, bench: Bench) -> None:
        left = 3 * SERVER_ERRORS

        def away(parcel: Parcel) -> TransportError | None:
            nonlocal left
            left -= 1
            return UNREACHABLE if left >= 0 else None

        bench.transport.answer = away
        bench.outbox.add(fact(1))
        assert [held(parcel) for parcel in await bench.drained()] == [[1]]

    async def test_fatal_ends_the_run_and_loses_nothing(self, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: Fatal("fake.dead", "The token is dead.")
        bench.outbox.add(fact(1))
        with pytest.raises(Fatal):
            await bench.outbox.run()
        bench.transport.answer = lambda parcel: None
        bench.restart()
        assert [held(parcel) for parcel in await bench.drained()] == [[1]]
