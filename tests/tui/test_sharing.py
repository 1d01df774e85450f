"""Messages that hold equal texts hold the same one, and are otherwise as they were."""

from __future__ import annotations

from itertools import islice

from clawnet_proto.message import Message
from tui.checking import check
from tui.sharing import share
from tui.sources.synthetic import events

ARRIVALS = list(islice(events(agents=8, seed=3, start_ms=1_800_000_000_000), 200))


def test_sharing_changes_nothing_that_can_be_read() -> None:
    for arrival in ARRIVALS:
        plain, shared = check(arrival), share(check(arrival))
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
