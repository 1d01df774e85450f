"""Another's actor document, read into a record (AP-8)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from bots.message_signature import BadSignature
from bots.transports.activitypub import keys
from bots.transports.activitypub.keys import PublicKey
from bots.transports.activitypub.plain_json import Malformed
from bots.transports.activitypub.references import Document, items, kind, own, reference
from clawnet_proto.bindings.activitypub import IDENTITY

_TYPES: Final = frozenset({"Application", "Group", "Organization", "Person", "Service"})
_KEYS_MOST: Final = 8
_NOT_OF_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_DID: Final = re.compile(r"did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}")


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """What we keep of an actor. All URLs are canonical and of the origin of ``id``."""

    id: str
    type: str  # "Person", "Service", ...
    inbox: str
    shared_inbox: str = ""  # "" if it has none
    followers: str = ""  # "" if it tells none
    user: str = ""  # its local name, of letters, digits, "_", "." and "-" alone
    identity: str = ""  # the did of its ClawNet identity, by its own word; "" for none
    keys: tuple[PublicKey, ...] = ()

    def key(self, key_id: str) -> PublicKey | None:
        """The key of this id."""
        return next((key for key in self.keys if key.id == key_id), None)


def read(document: Document) -> Actor:
    """The actor in a document that was fetched from its ``id``. Raises Malformed."""
    actor_id = reference(document.get("id"), "id")
    type_name = kind(document)
    if type_name not in _TYPES:
        raise Malformed("It is no actor.")
    endpoints, user, identity = (document.get(name) for name in ("endpoints", "preferredUsername", IDENTITY))
    shared = endpoints.get("sharedInbox") if isinstance(endpoints, dict) else None
    return Actor(
        id=actor_id,
        type=type_name,
        inbox=own(document.get("inbox"), actor_id, "inbox"),
        shared_inbox=_optional(shared, actor_id, "sharedInbox"),
        followers=_optional(document.get("followers"), actor_id, "followers"),
        user=_NOT_OF_NAMES.sub("", user[:64]) if isinstance(user, str) else "",
        identity=identity if isinstance(identity, str) and _DID.fullmatch(identity) else "",
        keys=_keys(document, actor_id),
    )


def _optional(value: object, actor_id: str, name: str) -> str:
    return "" if value is None else own(value, actor_id, name)


def _keys(document: Document, actor_id: str) -> tuple[PublicKey, ...]:
    """The keys that the actor names as its own and that we can use; two of one id are none."""
    found: dict[str, PublicKey | None] = {}
    kinds = (
        ("publicKey", "owner", "publicKeyPem", keys.from_pem),
        ("assertionMethod", "controller", "publicKeyMultibase", keys.from_multibase),
    )
    for member, owner, value, make in kinds:
        for item in items(document.get(member)):
            text = item.get(value) if isinstance(item, dict) else None
            if not isinstance(text, str) or len(found) >= _KEYS_MOST:
                continue
            try:
                key_id = own(item.get("id"), actor_id, "key.id")
                if reference(item.get(owner), owner) == actor_id:
                    found[key_id] = None if key_id in found else make(key_id, actor_id, text)
            except (Malformed, BadSignature):
                continue
    return tuple(key for key in found.values() if key is not None)
