"""What we serve: the actor and what points to it (AP-4 to AP-9). Plain JSON with a fixed ``@context``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from bots.transports.activitypub.html import from_text
from bots.transports.activitypub.keys import ActorKeys
from bots.transports.activitypub.names import BadUrl, Names, ascii_authority, canonical
from bots.transports.activitypub.notes import NAMESPACE
from clawnet_proto.bindings.activitypub import IDENTITY

Document = dict[str, Any]

ACTIVITY_STREAMS: Final = "https://www.w3.org/ns/activitystreams"
_CONTEXT: Final[list[Any]] = [
    ACTIVITY_STREAMS,
    "https://w3id.org/security/v1",
    "https://w3id.org/security/data-integrity/v1",
    "https://www.w3.org/ns/did/v1",
    "https://w3id.org/security/multikey/v1",
    {
        "manuallyApprovesFollowers": "as:manuallyApprovesFollowers",
        "schema": "http://schema.org#",
        "PropertyValue": "schema:PropertyValue",
        "value": "schema:value",
        IDENTITY: f"{NAMESPACE}identity",
    },
]
_NODEINFO: Final = "http://nodeinfo.diaspora.software/ns/schema/2.1"


def actor(
    names: Names, keys: ActorKeys, did: str, *, display_name: str = "", summary: str = "", published_ms: int = 0
) -> Document:
    """The actor document. ``did`` is the ClawNet identity; ``summary`` is plain text."""
    return {
        "@context": _CONTEXT,
        "id": names.actor,
        "type": "Service",
        "preferredUsername": names.user,
        "name": display_name or names.user,
        "summary": from_text(summary) if summary else "",
        "url": names.actor,
        "published": datetime.fromtimestamp(published_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "inbox": names.inbox,
        "outbox": names.outbox,
        "followers": names.followers,
        "following": names.following,
        "endpoints": {"sharedInbox": names.shared_inbox},
        "manuallyApprovesFollowers": False,
        "publicKey": {"id": names.main_key, "owner": names.actor, "publicKeyPem": keys.pem},
        "assertionMethod": [
            {
                "id": names.ed25519_key,
                "type": "Multikey",
                "controller": names.actor,
                "publicKeyMultibase": keys.multibase,
            }
        ],
        "attachment": [{"type": "PropertyValue", "name": "ClawNet", "value": did}],
        IDENTITY: did,
    }


def webfinger(names: Names) -> Document:
    """The JRD of the actor (RFC 7033)."""
    return {
        "subject": f"acct:{names.user}@{names.host}",
        "aliases": [names.actor],
        "links": [{"rel": "self", "type": "application/activity+json", "href": names.actor}],
    }


def is_resource(names: Names, resource: str) -> bool:
    """Whether a WebFinger query asks for our actor: ``acct:user@host`` or its id, hosts compared as AP-2 says."""
    scheme, _, rest = resource.partition(":")
    if scheme.lower() == "acct":
        user, at, authority = rest.lstrip("@").partition("@")
        return bool(at) and user.lower() == names.user.lower() and ascii_authority(authority, names.base) == names.host
    try:
        return canonical(resource) == names.actor
    except BadUrl:
        return False


def nodeinfo_links(names: Names) -> Document:
    """What is at ``/.well-known/nodeinfo``."""
    return {"links": [{"rel": _NODEINFO, "href": f"{names.base}/nodeinfo/2.1"}]}


def nodeinfo(version: str, posts: int) -> Document:
    """NodeInfo 2.1, served at ``<base>/nodeinfo/2.1``."""
    return {
        "version": "2.1",
        "software": {"name": "clawbot", "version": version},
        "protocols": ["activitypub"],
        "services": {"inbound": [], "outbound": []},
        "openRegistrations": False,
        "usage": {"users": {"total": 1}, "localPosts": posts},
        "metadata": {},
    }


def collection(collection_id: str, total: int, first: str = "") -> Document:
    """An OrderedCollection; ``first`` is the URL of its first page, "" if its items are not shown."""
    found: Document = {
        "@context": ACTIVITY_STREAMS,
        "id": collection_id,
        "type": "OrderedCollection",
        "totalItems": total,
    }
    return found | ({"first": first} if first else {})


def page(page_id: str, part_of: str, items: Sequence[str | Document], following: str = "") -> Document:
    """An OrderedCollectionPage; ``following`` is the URL of the page after it."""
    found: Document = {
        "@context": ACTIVITY_STREAMS,
        "id": page_id,
        "type": "OrderedCollectionPage",
        "partOf": part_of,
        "orderedItems": list(items),
    }
    return found | ({"next": following} if following else {})
