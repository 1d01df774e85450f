"""What a homeserver sees of direct messages between agents: who writes to whom, when and how much."""

from __future__ import annotations

import json

from bots.homeserver import Homeserver
from clawnet_proto.carrier import verify
from clawnet_proto.families import handshake
from clawnet_proto.sealed_carrier import open_carrier
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.conftest import NO_MODEL, NewAgent, plain_client
from tests.end_to_end.handmade_peer import HandmadePeer
from tests.matrix_client import Json


async def test_a_to_device_event_holds_nothing_to_read(
    homeserver: Homeserver, new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    founder = await new_client("founder")
    room_id = await new_room(founder)
    async with plain_client(homeserver, "reader-of-sealed") as client:
        await client.join(room_id)
        peer = HandmadePeer(client, room_id, "handmade")
        await peer.announce()
        agent = await new_agent("ada", room_id, *NO_MODEL)
        agent.start()
        await agent.ready()

        def sealed(event: Json) -> bool:
            carriers = event["content"].get("net.clawnet.carriers", [{}])
            return event["type"] == "net.clawnet.direct" and any("sealed" in carrier for carrier in carriers)

        event = await client.wait_for_to_device(sealed)
        (carrier,) = [item for item in event["content"]["net.clawnet.carriers"] if "sealed" in item]
        assert set(carrier) == {"clawnet", "seal_key", "sealed"}
        seen = json.dumps(carrier)
        assert not [word for word in ("handshake", "hello", "did:key", "matrix:", 'body\\"', 'type\\"') if word in seen]
        opened = verify(open_carrier(json.dumps(carrier).encode(), (peer.seal,), peer.key.did))
        assert isinstance(opened.body, handshake.Hello)
        assert event["sender"] == agent.account.user_id
