"""Whatever a signed activity holds, it is taken or refused; nothing in it is a fault of ours."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from bots.serving.limits import Allowance, Meters
from bots.transports.activitypub.transport import ActivityPubTransport
from tests.transports.activitypub.stranger import Stranger
from tests.transports.resident import Resident
from tests.transports.worlds import Words

COUNT = 150
STRANGE: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**53, "", " ", "x", "https://", "https://example.org/a", "\u202e", "a" * 5000, [], {},
    [[]], [None], {"id": 7}, {"type": "Follow"}, ["https://example.org/a", {}], {"@id": "x"}, "{}", '{"carriers":[]}',
    '{"carriers":[{}]}', '{"carriers":[7,null,"x",[]]}', '{"carriers":[{"env":"{}"}]}', "Person", "Create", "Note",
)  # fmt: skip


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every member and item, as (where it is, its name there)."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in list(items):
        yield document, name
        if isinstance(value, dict | list):
            yield from places(value)


async def test_nothing_in_an_activity_is_a_fault_of_ours(ada: Resident, eve: Stranger, words: Words) -> None:
    assert isinstance(ada.transport, ActivityPubTransport)
    server, names = ada.transport._server, ada.transport.names
    server._requests = server._servers = Meters(Allowance(10_000, 1_000))
    chance = random.Random(20)
    kinds = [
        lambda: eve.carries(words.carrier()),
        lambda: eve.carries(words.carrier(), to=(ada.address,)),
        lambda: eve.asks("@ada why?", ada.address, names.handle),
        lambda: eve.follow(ada.address),
    ]
    statuses = Counter[int]()
    for _ in range(COUNT):
        document = copy.deepcopy(chance.choice(kinds)())
        for _ in range(chance.randint(1, 3)):
            where, name = chance.choice(list(places(document)))
            where[name] = copy.deepcopy(chance.choice(STRANGE))
        statuses[(await eve.post(chance.choice((names.inbox, names.shared_inbox)), document))[0]] += 1
    assert statuses.keys() <= {202, 400, 401, 403, 413}
    assert statuses[202] > COUNT // 10  # some strange things are none of our business
    assert (await eve.post(names.inbox, eve.carries(words.carrier())))[0] == 202
