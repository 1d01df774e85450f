"""Whether a carrier that arrived in a room may be carried elsewhere (spec/18-bridging.md, BR-2)."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import presence
from clawnet_proto.freshness import check_addressing, check_lifetime, check_time
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.wire import present


class UnprovenKey(RemoteProtocolError):
    """Nothing proves yet that this key is ``sender``'s."""

    def __init__(self, sender: str) -> None:
        super().__init__("key.unproven")
        self.sender = sender


def judge(
    carrier: object, mesh: Mesh, address: str, now_ms: int, own: str, addresses: Collection[str]
) -> tuple[str, Message]:
    """The carrier's text and its message, folded into the room's ``mesh`` as delivered by ``address``.

    ``own`` is the bridge's identity, ``addresses`` are those that it posts from. Raises RemoteProtocolError for what
    must not be carried: what is sealed among it, for nobody here can verify that.
    """
    try:
        text = msgspec.json.encode(carrier)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        raise RemoteProtocolError("carrier.malformed") from None
    message = verify(text)
    recipients = present(message.envelope.recipients, ("",))
    check_addressing(message, me=recipients[0], room=mesh.room, plane="room")
    check_lifetime(message)
    if message.sender != own and _names(message, addresses):
        raise RemoteProtocolError("binding.lent", "an announce that names an address of the bridge")
    mesh.add(message, address)
    check_time(message, now_ms)
    code = mesh.authority(message)
    if code == "key.unproven":
        raise UnprovenKey(message.sender)
    # What a key said before it was given up was said.
    if code not in (None, "key.retired"):
        raise RemoteProtocolError(code)
    return text.decode(), message


def _names(message: Message, addresses: Collection[str]) -> bool:
    body = message.body
    return isinstance(body, presence.Announce) and any(item.uri in addresses for item in body.addresses)
