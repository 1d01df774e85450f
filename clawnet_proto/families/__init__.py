"""One module a message family, and the table that maps wire types to structs."""

from __future__ import annotations

from collections.abc import Mapping

from clawnet_proto.families import handshake, identity, presence, task
from clawnet_proto.wire import Record

BODIES: Mapping[str, type[Record]] = {
    "identity.rotate": identity.Rotate,
    "identity.revoke": identity.Revoke,
    "presence.announce": presence.Announce,
    "presence.leave": presence.Leave,
    "handshake.hello": handshake.Hello,
    "handshake.accept": handshake.Accept,
    "handshake.confirm": handshake.Confirm,
    "task.request": task.Request,
    "task.offer": task.Offer,
    "task.award": task.Award,
    "task.start": task.Start,
    "task.progress": task.Progress,
    "task.ask": task.Ask,
    "task.reply": task.Reply,
    "task.result": task.Result,
    "task.fail": task.Fail,
    "task.cancel": task.Cancel,
    "task.close": task.Close,
}
TYPE_OF: Mapping[type[Record], str] = {body: name for name, body in BODIES.items()}
