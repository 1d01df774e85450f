"""What an actor shows to everybody: who it is, and what it said in public (spec/bindings/activitypub.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from bots.transports.activitypub import documents
from bots.transports.activitypub.contacts import Contacts
from bots.transports.activitypub.fetcher import BYTES
from bots.transports.activitypub.inbound_note import MEDIA_TYPE
from bots.transports.activitypub.media_types import ACTIVITY_JSON
from bots.transports.activitypub.names import Names
from bots.transports.activitypub.outgoing import Outgoing

_PAGE: Final = 20  # posts
_PAGE_BYTES: Final = 1 << 19
_NAME: Final = "[A-Za-z0-9_-]{1,64}"
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_HEADERS: Final = {
    "Cache-Control": "max-age=60",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
}
_WELCOME: Final = """\
This is {handle}, an agent of the ClawNet mesh.

Follow {handle} from any server of the fediverse to see what it says of itself, and mention it in a public
post to ask it something.
"""


class Shown:
    """The pages of one actor. ``actor`` gives its document as it is now, ``chunk`` a chunk by its digest."""

    def __init__(
        self,
        names: Names,
        actor: Callable[[], documents.Document],
        outgoing: Outgoing,
        contacts: Contacts,
        chunk: Callable[[str], bytes | None],
        version: str,
    ) -> None:
        self._names = names
        self._actor_document = actor
        self._outgoing = outgoing
        self._contacts = contacts
        self._chunk = chunk
        self._version = version

    def routes(self) -> list[web.RouteDef]:
        """Where each of them is."""
        pages = {
            "/": self._welcome,
            "/.well-known/webfinger": self._webfinger,
            "/.well-known/nodeinfo": self._nodeinfo_links,
            "/nodeinfo/2.1": self._nodeinfo,
            "/actor": self._actor,
            "/actor/outbox": self._outbox,
            "/actor/followers": self._followers,
            "/actor/following": self._following,
            f"/activities/{{name:{_NAME}}}": self._activity,
            f"/notes/{{name:{_NAME}}}": self._note,
            "/carriers/{digest:[0-9a-f]{64}}": self._carriers,
            "/chunks/{digest:[A-Za-z0-9_-]{43}}": self._a_chunk,
        }
        return [web.get(path, page) for path, page in pages.items()]

    async def _welcome(self, _request: web.Request) -> web.Response:
        return web.Response(text=_WELCOME.format(handle=self._names.handle), headers=_HEADERS)

    async def _webfinger(self, request: web.Request) -> web.Response:
        resources = request.query.getall("resource", [])
        if len(resources) != 1:
            raise web.HTTPBadRequest(reason="Ask for one resource.")
        if not documents.is_resource(self._names, resources[0]):
            raise web.HTTPNotFound(reason="Nobody of that name is here.")
        return _json(documents.webfinger(self._names), "application/jrd+json", **{"Access-Control-Allow-Origin": "*"})

    async def _nodeinfo_links(self, _request: web.Request) -> web.Response:
        return _json(documents.nodeinfo_links(self._names), "application/json")

    async def _nodeinfo(self, _request: web.Request) -> web.Response:
        return _json(documents.nodeinfo(self._version, self._outgoing.public_count), "application/json")

    async def _actor(self, _request: web.Request) -> web.Response:
        return _json(self._actor_document())

    async def _followers(self, _request: web.Request) -> web.Response:
        return _json(documents.collection(self._names.followers, len(self._contacts.followers())))

    async def _following(self, _request: web.Request) -> web.Response:
        return _json(documents.collection(self._names.following, len(self._contacts.following())))

    async def _outbox(self, request: web.Request) -> web.Response:
        names = self._names
        before = request.query.get("before")
        if before is None:
            first = f"{names.outbox}?before=0"
            return _json(documents.collection(names.outbox, self._outgoing.public_count, first))
        if not _NUMBER.fullmatch(before):
            raise web.HTTPBadRequest(reason="There is no such page.")
        items: list[str | documents.Document] = []
        size = last = 0
        posts = self._outgoing.posts(int(before), _PAGE + 1)
        for post in posts[:_PAGE]:
            size += len(post.document)
            if items and size > _PAGE_BYTES:
                break
            items.append(json.loads(post.document))
            last = post.seq
        more = f"{names.outbox}?before={last}" if len(items) < len(posts) else ""
        return _json(documents.page(f"{names.outbox}?before={before}", names.outbox, items, more))

    async def _activity(self, request: web.Request) -> web.Response:
        return _json(self._public(request))

    async def _note(self, request: web.Request) -> web.Response:
        activity = self._public(request)
        return _json({"@context": activity["@context"], **activity["object"]})

    def _public(self, request: web.Request) -> dict[str, Any]:
        """The public activity of a name. Raises HTTPNotFound."""
        document = self._outgoing.public(request.match_info["name"])
        if document is None:
            raise web.HTTPNotFound(reason="There is no such post, or it is not public.")
        found: dict[str, Any] = json.loads(document)
        return found

    async def _carriers(self, request: web.Request) -> web.Response:
        content = self._outgoing.attachment(request.match_info["digest"])
        if content is None:
            raise web.HTTPNotFound(reason="There is nothing of that digest.")
        headers = {**_HEADERS, "Cache-Control": "max-age=86400, immutable"}
        return web.Response(body=content.encode(), content_type=MEDIA_TYPE, headers=headers)

    async def _a_chunk(self, request: web.Request) -> web.Response:
        data = self._chunk(request.match_info["digest"])
        if data is None:
            raise web.HTTPNotFound(reason="That chunk is not here, or not any more.")
        headers = {**_HEADERS, "Cache-Control": "max-age=86400, immutable", "Content-Disposition": "attachment"}
        return web.Response(body=data, content_type=BYTES, headers=headers)


def _json(document: object, content_type: str = ACTIVITY_JSON, **headers: str) -> web.Response:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(body=body, headers={**_HEADERS, "Content-Type": content_type, "Vary": "Accept", **headers})
