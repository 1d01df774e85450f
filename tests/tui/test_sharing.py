"""Messages that hold equal texts hold the same one, and are otherwise as they were."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import msgspec
import pytest

from clawnet_proto.message import Message
from tui.arrivals import Arrival, Checked
from tui.checking import check
from tui.sharing import share, share_names
from tui.sources.synthetic import events

ARRIVALS = list(islice(events(agents=8, seed=3, start_ms=1_800_000_000_000), 200))


@pytest.mark.parametrize("sharing", [share, share_names])
def test_sharing_changes_nothing_that_can_be_read(sharing: Callable[[Checked], Checked]) -> None:
    for arrival in ARRIVALS:
        plain, shared = check(arrival), sharing(check(arrival))
        assert shared.arrival == plain.arrival
        assert [o for o in shared.outcomes if isinstance(o, Message)] == [
            o for o in plain.outcomes if isinstance(o, Message)
        ]
        assert [type(outcome) for outcome in shared.outcomes] == [type(outcome) for outcome in plain.outcomes]


def test_equal_texts_are_one() -> None:
    first, second = (
        [o for arrival in ARRIVALS for o in share(check(arrival)).outcomes if isinstance(o, Message)] for _ in range(2)
    )
    assert len(first) > 100
    for one, other in zip(first, second, strict=True):
        assert one is not other
        assert one.id is other.id
        assert one.sender is other.sender
        assert one.envelope.nonce is other.envelope.nonce
    names: dict[str, str] = {}
    for message in first:
        if message.type == "presence.announce":
            assert names.setdefault(message.body.name, message.body.name) is message.body.name
            for address in message.body.addresses:
                assert names.setdefault(address.uri, address.uri) is address.uri


def test_who_and_where_are_one_in_whatever_arrives() -> None:
    whole = [(msgspec.json.decode(msgspec.json.encode(arrival), type=Arrival)) for arrival in ARRIVALS]
    known: dict[str, str] = {}
    for checked in map(share_names, map(check, whole)):
        messages = [outcome for outcome in checked.outcomes if isinstance(outcome, Message)]
        for text in (
            *(checked.arrival.transport, checked.arrival.room, checked.arrival.sender),
            *(text for m in messages for text in (m.type, m.sender, m.envelope.kid, m.envelope.room)),
            *(m.envelope.thread for m in messages if isinstance(m.envelope.thread, str)),
        ):
            assert known.setdefault(text, text) is text
    assert len(known) > 20
