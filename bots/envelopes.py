"""Direct messages go sealed to the one they are for, as soon as we know to what key (spec/15-sealing.md)."""

from __future__ import annotations

from collections.abc import Callable

from bots.errors import ClawbotError
from bots.store import Store
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.sealed_carrier import seal_carrier
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import present

_KEPT = "sealed to "


class Envelopes:
    """Seals carriers. To whom something went sealed once, everything goes sealed, also after a restart."""

    def __init__(self, store: Store, mesh: Callable[[str], Mesh]) -> None:
        self._store = store
        self._mesh = mesh
        self._keys = {name.removeprefix(_KEPT): key for name, key in store.facts(_KEPT).items()}  # by did

    def seal(self, message: Message, carrier: bytes) -> bytes:
        """What is sent in a direct carrier's place; itself, if it is for nobody in particular or we know no key.

        Raises LocalProtocolError ``size.carrier``, or ClawbotError if it must be sealed and cannot be.
        """
        recipients = present(message.envelope.recipients, ())
        if len(recipients) != 1:
            return carrier
        did = recipients[0]
        peer = self._mesh(message.envelope.room).peers.get(did)
        public = self._keys.get(did, "") if peer is None or peer.body is None else peer.body.seal_key
        if not public:
            return carrier
        try:
            sealed = seal_carrier(public, did, carrier)
        except RemoteProtocolError as error:
            if did not in self._keys:
                return carrier
            raise ClawbotError("peer.unsealable", f"Nothing can be sealed to {did} any more: {error}.") from None
        self._keep(did, public)
        return sealed

    def _keep(self, did: str, public: str) -> None:
        if self._keys.get(did) == public:
            return
        with self._store.transaction(durable=False):
            if len(self._keys) >= LIMITS.peers and did not in self._keys:
                oldest = next(iter(self._keys))
                del self._keys[oldest]
                self._store.forget_fact(_KEPT + oldest)
            self._keys[did] = public
            self._store.set_fact(_KEPT + did, public)
