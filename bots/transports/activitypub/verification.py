"""Who sent what arrived in an inbox (AP-27 to AP-32).

Only the actor's own document, fetched from its id, says which keys are its own. An HTTP signature or a proof within
the activity by one of them makes it the actor's word; where both are there, both must hold. What bears only a proof
was handed on by somebody, at any time: that counts for what is said, never for who follows whom.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from bots.message_signature import BadSignature
from bots.transports.activitypub import activities, cavage, proofs, rfc9421
from bots.transports.activitypub.acquaintances import Acquaintances
from bots.transports.activitypub.activities import BODY_MOST, AnyActivity, Create, CreateById, DeleteActor
from bots.transports.activitypub.actors import Actor
from bots.transports.activitypub.fetcher import Fetcher, FetchError
from bots.transports.activitypub.inbound_note import Note, read_note
from bots.transports.activitypub.keys import Claim, check
from bots.transports.activitypub.media_types import is_activity
from bots.transports.activitypub.names import origin
from bots.transports.activitypub.plain_json import Malformed, parse
from bots.transports.activitypub.request import Request

log = logging.getLogger(__name__)

FORWARDED_MOST_S: Final = 86_400  # age of a proof that has to do without an HTTP signature
_SKEW_S: Final = 3600


class Rejected(Exception):
    """A request counts for nothing and is answered so: see the table in spec/bindings/activitypub.md, AP-32."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code  # "activitypub.<what>"
        self.message = message


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """An activity, and the actor whose word it is."""

    activity: AnyActivity
    actor: Actor
    forwarded: bool = False  # only a proof says so: it was handed on by somebody


class Verifier:
    """Knows actors. ``own`` is our actor's id, ``clock`` gives Unix milliseconds, ``monotonic`` such as nobody sets."""

    def __init__(self, fetcher: Fetcher, own: str, clock: Callable[[], int], monotonic: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._own = own
        self._clock = clock
        self._acquaintances = Acquaintances(fetcher, monotonic)

    async def close(self) -> None:
        await self._acquaintances.close()

    async def actor(self, actor_id: str) -> Actor:
        """An actor by its id, from memory or fetched. Raises FetchError."""
        return (await self._acquaintances.known(actor_id)).actor

    async def arrival(self, request: Request) -> Arrival:
        """Who sent a POST to an inbox, and what. Raises Rejected."""
        if not is_activity(", ".join(request.all("Content-Type"))) or request.all("Content-Encoding"):
            raise Rejected(415, "activitypub.content_type", "Send application/activity+json, as it is.")
        if len(request.body) > BODY_MOST:
            raise Rejected(413, "activitypub.too_large", f"An activity has at most {BODY_MOST} bytes.")
        try:
            document = parse(request.body, BODY_MOST)
            activity = activities.read(document)
        except Malformed as error:
            raise Rejected(400, "activitypub.malformed", str(error)) from None
        if activity.actor == self._own:
            raise Rejected(403, "activitypub.own", "Nobody but this agent itself speaks for it.")
        try:
            http, proof = http_claim(request, self._clock() // 1000), proofs.claim(document)
            actor, forwarded = await self._author(activity, http, proof)
        except BadSignature as error:
            raise Rejected(401, "activitypub.signature", str(error)) from None
        return Arrival(activity=activity, actor=actor, forwarded=forwarded)

    async def note(self, activity: Create | CreateById) -> Note:
        """The note of a Create with its carriers filled in, fetched where only named. Raises Rejected."""
        try:
            if isinstance(activity, CreateById):
                note = read_note(await self._fetcher.document(activity.object), activity.actor)
                if note.id != activity.object:
                    raise Malformed("The note is another one than was named.")
            else:
                note = activity.note
            if note.link and not note.carriers:
                return msgspec.structs.replace(note, carriers=await self._fetcher.carriers(note.link))
            return note
        except Malformed as error:
            raise Rejected(400, "activitypub.malformed", str(error)) from None
        except FetchError as error:
            raise _unfetched(error, activity.actor, 400) from None

    async def _author(self, activity: AnyActivity, http: Claim | None, proof: Claim | None) -> tuple[Actor, bool]:
        """The actor whose word it is, and whether only a proof says so. Raises BadSignature, Rejected."""
        if proof is not None:
            self._check_times(proof)
            if origin(proof.key_id) != origin(activity.actor):
                raise BadSignature("The proof is not by a key of the activity's actor.")
        if http is not None and origin(http.key_id) != origin(activity.actor):
            http = None  # it was handed on: whoever did so says nothing
        if http is None and proof is not None:
            self._check_forwarded(activity, proof)
        claims = [claim for claim in (http, proof) if claim is not None]
        if not claims:
            raise BadSignature("It must be signed by a key of the activity's actor, or bear a proof by one.")
        actor = await self._holder(activity, claims)
        # A key of somebody else at the same host: that one has handed it on.
        if http is not None and (proof is None or actor.key(http.key_id) is not None):
            _check(http, actor)
            if proof is not None:
                _check(proof, actor)
            return actor, False
        assert proof is not None
        _check(proof, actor)
        self._check_forwarded(activity, proof)
        return actor, True

    async def _holder(self, activity: AnyActivity, claims: list[Claim]) -> Actor:
        """The actor, by a document that is fetched anew, once, if the one that we had has not the keys."""
        before = self._acquaintances.cached(activity.actor)
        try:
            known = await self._acquaintances.known(activity.actor, hearsay=True)
        except FetchError as error:
            if not (error.gone and isinstance(activity, DeleteActor)):
                raise _unfetched(error, activity.actor, 401) from None
            if before is None:
                raise Rejected(202, "activitypub.gone", "Nobody here knows that actor.") from None
            return before.actor  # its last word is by the keys that it had
        if known is before and not all(_holds(claim, known.actor) for claim in claims):
            known = await self._acquaintances.refetched(known)
        return known.actor

    def _check_forwarded(self, activity: AnyActivity, proof: Claim) -> None:
        if not isinstance(activity, Create | CreateById):
            raise Rejected(403, "activitypub.forwarded", "That counts only if its actor sends it itself.")
        if self._clock() // 1000 - proof.created_s > FORWARDED_MOST_S:
            raise BadSignature("What was handed on must have been signed within the last day.")

    def _check_times(self, proof: Claim) -> None:
        now_s = self._clock() // 1000
        if proof.created_s > now_s + _SKEW_S or proof.expires_s < now_s:
            raise BadSignature("The proof is of the future, or has expired.")


def http_claim(request: Request, now_s: int) -> Claim | None:
    """Who claims to have made a request, by whichever scheme; None if it bears no signature. Raises BadSignature."""
    if request.all("Signature-Input"):
        return rfc9421.claim(request, now_s)
    return cavage.claim(request, now_s) if request.all("Signature") else None


def _check(claim: Claim, actor: Actor) -> None:
    key = actor.key(claim.key_id)
    if key is None:
        raise BadSignature("The actor's document has no such key.")
    check(claim, key)


def _holds(claim: Claim, actor: Actor) -> bool:
    try:
        _check(claim, actor)
    except BadSignature:
        return False
    return True


def _unfetched(error: FetchError, about: str, status: int) -> Rejected:
    """What is answered because something could not be fetched: 503 if it may work later.

    Why stays here: it would tell strangers what our network looks like.
    """
    log.info("What is needed of %s cannot be fetched: %s", origin(about), error)
    if not error.lasting:
        return Rejected(503, "activitypub.unreachable", "What it names cannot be fetched now.")
    return Rejected(status, "activitypub.unfetched", "What it names cannot be fetched, or is not as it should be.")
