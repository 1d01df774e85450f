"""Keys that others give up: passed on to all our rooms, and told to people (spec/04-identity.md, ID-28)."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from bots.identity import Identity
from clawnet_proto.mesh import Mesh, Peer
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean
from clawnet_proto.specification import LIMITS, TYPES

log = logging.getLogger(__name__)

_WORDS = LIMITS.peers
_WORDS_OF_ONE = 2 * (LIMITS.rotations + 1)
_SPARED = 64  # places looked at for somebody nobody knows before one who is known is forgotten

K = TypeVar("K")
V = TypeVar("V")


class KeyWatch:
    """Watches what identities say of their keys. ``meshes`` are the folds by room, ``own`` is who we are now."""

    def __init__(self, meshes: Mapping[str, Mesh], own: Callable[[], Identity], tell: Callable[[str], None]) -> None:
        self._meshes = meshes
        self._own = own
        self._tell = tell
        # By sender, the last word of each kind by each key: enough to tell a room that hears of it later.
        self._words: OrderedDict[str, dict[tuple[str, str], Message]] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()  # what they went by when they still counted
        self._told: OrderedDict[tuple[str, str, int], None] = OrderedDict()

    def enter(self, mesh: Mesh) -> None:
        """A room that we know from now on: what was given up in another one is given up here."""
        for did in self._words.keys() & mesh.peers.keys():
            self._remind(mesh, did)

    def heard(self, message: Message, *, quiet: bool) -> None:
        """A message was folded. ``quiet``: people were told of it in an earlier run."""
        family = TYPES[message.type].family
        if family == "identity":
            self._pass_on(message)
        if family in ("identity", "presence"):
            peer = self._meshes[message.envelope.room].peers.get(message.sender)
            if peer is None:
                return
            self._remind(self._meshes[message.envelope.room], message.sender)
            if peer.body is not None:
                _remember(self._names, peer.did, peer.name)
            # Keys are free: of those that never stood for an account nobody needs to hear.
            if not peer.keys.trivial and (peer.known or peer.did == self._own().did):
                self._notice(peer, quiet)

    def _pass_on(self, message: Message) -> None:
        words = self._words.get(message.sender, {})
        place = (message.envelope.kid, message.type)
        if place in words or len(words) < _WORDS_OF_ONE:
            self._keep(message.sender, words | {place: message})
        for room, mesh in self._meshes.items():
            if room != message.envelope.room:
                mesh.learn_keys(message)

    def _keep(self, did: str, words: dict[tuple[str, str], Message]) -> None:
        """Remember words, and forget those of strangers first."""
        for _ in range(_SPARED):
            first = next(iter(self._words), did)
            if len(self._words) < _WORDS or not self._is_known(first):
                break
            self._words.move_to_end(first)
        _remember(self._words, did, words)

    def _is_known(self, did: str) -> bool:
        return any(did in mesh.peers and mesh.peers[did].known for mesh in self._meshes.values())

    def _remind(self, mesh: Mesh, did: str) -> None:
        for word in self._words.get(did, {}).values():
            mesh.learn_keys(word)

    def _notice(self, peer: Peer, quiet: bool) -> None:
        """Tell people once of each change."""
        # Whatever the room: what one has heard of, another one may not.
        change = (peer.did, peer.standing, len(peer.keys.chain))
        if change in self._told:
            return
        _remember(self._told, change, None)
        text = self._ours(peer) if peer.did == self._own().did else self._theirs(peer)
        if text and not quiet:
            ours = peer.did == self._own().did
            log.log(logging.WARNING if ours or peer.standing != "good" else logging.INFO, "%s", text)
            self._tell(text)

    def _ours(self, peer: Peer) -> str:
        """What others know of our keys and we do not, "" if there is nothing."""
        own = self._own()
        ours = [own.did, *(link.key for link in own.chain)]
        if peer.keys.chain != ours[: len(peer.keys.chain)]:
            return "This identity has another key in use than ours: these keys are an old copy, or were stolen."
        if peer.standing == "revoked" and own.revocation is None:
            return "Somebody with our key has revoked this identity. If it was not you: clawbot identity rotate."
        if peer.standing == "disputed":
            return "This identity is disputed: somebody else signs with our key. Make a new agent with clawbot init."
        return ""

    def _theirs(self, peer: Peer) -> str:
        name = clean(self._names.get(peer.did, peer.name), limit=64)
        who = f"{name} ({peer.did})"
        if peer.standing == "disputed":
            return f"{who} is disputed: two keys claim to follow the same one. Nobody can tell which is honest."
        if peer.standing == "revoked":
            return f"{who} has revoked its identity: nothing that it says from now on counts."
        return f"{who} has given up its key and signs with key number {len(peer.keys.chain)} now."


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _WORDS:
        kept.popitem(last=False)
