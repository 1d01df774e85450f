from __future__ import annotations

import json
import time
from typing import Any

import pytest
from msgspec.structs import replace

from bots.transports.activitypub import cavage, notes, proofs, rfc9421
from bots.transports.activitypub.activities import BODY_MOST, Create, Follow
from bots.transports.activitypub.fetcher import Fetcher
from bots.transports.activitypub.names import Names
from bots.transports.activitypub.notes import Document, digest
from bots.transports.activitypub.request import Request
from bots.transports.activitypub.schemes import SCHEMES, Scheme
from bots.transports.activitypub.verification import Rejected, Verifier
from tests.transports.activitypub.arrived import BASE, INBOX, keys
from tests.transports.activitypub.here import OWN, Here, Keeper, gets, posted
from tests.transports.activitypub.stranger import Stranger
from tests.transports.actor_keys import some_keys

# -- who it was ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_who_signed_the_request_sent_it(here: Here, eve: Stranger, scheme: Scheme) -> None:
    arrival = await here.takes(posted(eve.follow(OWN), eve, scheme=scheme))
    assert isinstance(arrival.activity, Follow) and arrival.activity.object == OWN
    assert arrival.actor.id == arrival.activity.actor == eve.names.actor and not arrival.forwarded
    assert (arrival.actor.user, arrival.actor.inbox, arrival.actor.shared_inbox) == (
        "eve",
        eve.names.inbox,
        eve.names.shared_inbox,
    )


async def test_the_ed25519_key_signs_requests_too(here: Here, eve: Stranger) -> None:
    body = json.dumps(eve.follow(OWN)).encode()
    now_s = int(time.time())
    headers = rfc9421.sign(eve.keys, eve.names.ed25519_key, "POST", INBOX, body, now_s, "ed25519")
    request = posted(body, None)
    await here.takes(replace(request, headers=[*request.headers[:1], *headers.items()]))


async def test_what_nobody_signed_is_refused(here: Here, eve: Stranger) -> None:
    await here.refuses(posted(eve.follow(OWN), None), 401, "signature")
    assert gets(eve) == 0


async def test_nobody_speaks_for_another(here: Here, eve: Stranger, mallory: Stranger) -> None:
    await here.refuses(posted(eve.follow(OWN), mallory), 401, "signature")
    # By a key that says it is hers, too.
    body = json.dumps(eve.follow(OWN)).encode()
    eve.keys, kept = mallory.keys, eve.keys
    await here.refuses(posted(body, eve), 401, "signature")
    eve.keys = kept
    await here.takes(posted(body, eve))


async def test_nobody_speaks_for_another_of_the_same_host(here: Here, eve: Keeper) -> None:
    # Of another account at her server, with a key of its own.
    alice = Names(eve.names.base, "alice")
    other = json.loads(json.dumps(eve.document).replace("/actor", "/alice"))
    other["publicKey"]["publicKeyPem"] = some_keys(2).pem
    eve.things = {other["id"]: other}
    document = notes.follow(alice, "1", OWN) | {"actor": other["id"]}
    await here.refuses(posted(document, eve), 401, "signature")
    await here.refuses(posted(eve.proven(document), eve), 401, "signature")
    note = eve.says() | {"actor": other["id"]}
    await here.refuses(posted(note, eve), 400, "malformed")
    eve.keys, eve.names = some_keys(2), alice
    body = json.dumps(document).encode()
    headers = cavage.sign(eve.keys, f"{other['id']}#main-key", "POST", INBOX, body, int(time.time()))
    request = replace(posted(body, None), headers=[("Content-Type", "application/activity+json"), *headers.items()])
    assert (await here.takes(request)).actor.id == other["id"]


async def test_nobody_speaks_for_us(here: Here, eve: Stranger) -> None:
    document = eve.follow(OWN) | {"actor": OWN, "id": f"{BASE}/activities/1"}
    await here.refuses(posted(document, eve), 403, "own")
    assert eve.requests == []


@pytest.mark.parametrize("owner", [OWN, "https://other.example/actor", None, ["a"]])
async def test_a_key_that_is_owned_by_another_is_none(here: Here, eve: Stranger, owner: object) -> None:
    eve.document["publicKey"]["owner"] = owner
    await here.refuses(posted(eve.follow(OWN), eve), 401, "signature")


async def test_an_actor_inline_is_not_believed(here: Here, eve: Stranger, mallory: Stranger) -> None:
    inline = eve.document | {"publicKey": {**mallory.document["publicKey"], "owner": eve.names.actor}}
    document = eve.follow(OWN) | {"actor": inline}
    await here.refuses(posted(document, mallory), 401, "signature")
    assert (await here.takes(posted(document, eve))).actor.key(eve.names.main_key) is not None


async def test_a_document_of_another_id_is_not_the_actor_s(here: Here, eve: Stranger, mallory: Stranger) -> None:
    eve.document["id"] = mallory.names.actor
    await here.refuses(posted(eve.follow(OWN), eve), 401, "unfetched")


async def test_an_activity_of_another_host_is_refused(here: Here, eve: Stranger, mallory: Stranger) -> None:
    document = eve.follow(OWN) | {"id": mallory.names.activity("1")}
    await here.refuses(posted(document, eve), 400, "malformed")
    note = eve.says()
    note["object"]["id"] = mallory.names.note("1")
    await here.refuses(posted(note, eve), 400, "malformed")
    note = eve.says()
    note["object"]["attributedTo"] = mallory.names.actor
    await here.refuses(posted(note, eve), 400, "malformed")


@pytest.mark.parametrize("member", ["inbox", "followers"])
async def test_an_actor_with_things_at_another_host_is_none(here: Here, eve: Stranger, member: str) -> None:
    eve.document[member] = "https://victim.example/inbox"
    await here.refuses(posted(eve.follow(OWN), eve), 401, "unfetched")


async def test_two_keys_of_one_id_are_none(here: Here, eve: Stranger, mallory: Stranger) -> None:
    own = eve.document["publicKey"]
    eve.document["publicKey"] = [own, {**own, "publicKeyPem": mallory.keys.pem}]
    await here.refuses(posted(eve.follow(OWN), eve), 401, "signature")


async def test_what_is_no_key_does_not_hide_the_others(here: Here, eve: Stranger) -> None:
    own = eve.document["publicKey"]
    faulty = [1, {}, {**own, "id": 1}, {**own, "id": f"{eve.names.actor}#b", "publicKeyPem": "a"}]
    eve.document["publicKey"] = [*faulty, own]
    await here.takes(posted(eve.follow(OWN), eve))


# -- proofs --------------------------------------------------------------------------------------------------


async def test_what_was_handed_on_counts_by_its_proof(here: Here, eve: Stranger, mallory: Stranger) -> None:
    document = eve.proven(eve.carries("{}"))
    for request in (posted(document, mallory), posted(document, None)):
        arrival = await here.takes(request)
        assert arrival.forwarded and arrival.actor.id == eve.names.actor


async def test_with_an_http_signature_a_proof_must_hold_too(here: Here, eve: Stranger) -> None:
    document = eve.proven(eve.carries("{}"))
    assert not (await here.takes(posted(document, eve))).forwarded
    await here.refuses(posted(document | {"type": "Like"}, eve), 401, "signature")


async def test_a_proof_by_another_is_refused(here: Here, eve: Stranger, mallory: Stranger) -> None:
    document = mallory.proven(eve.carries("{}"))
    await here.refuses(posted(document, mallory), 401, "signature")
    await here.refuses(posted(document, eve), 401, "signature")


async def test_a_proof_by_the_key_for_requests_is_refused(here: Here, eve: Stranger) -> None:
    now_s = int(time.time())
    document = proofs.attach(eve.carries("{}"), eve.keys, eve.names.main_key, now_s)
    await here.refuses(posted(document, None), 401, "signature")


async def test_who_follows_whom_is_not_told_by_a_proof_alone(here: Here, eve: Stranger, mallory: Stranger) -> None:
    for document in (eve.follow(OWN), eve.ends()):
        await here.refuses(posted(eve.proven(document), mallory), 403, "forwarded")
        await here.takes(posted(eve.proven(document), eve))


async def test_a_proof_alone_counts_for_a_day(here: Here, eve: Stranger) -> None:
    document = eve.proven(eve.carries("{}"))
    here.offset_ms = 86_300_000
    await here.takes(posted(document, None))
    here.offset_ms = 86_500_000
    await here.refuses(posted(document, None), 401, "signature")
    here.offset_ms = -3_700_000
    await here.refuses(posted(document, None), 401, "signature")


# -- notes that are elsewhere --------------------------------------------------------------------------------


async def _create(here: Here, eve: Stranger, document: Document) -> Any:
    return (await here.takes(posted(document, eve))).activity


async def test_a_note_that_is_only_named_is_fetched(here: Here, eve: Keeper) -> None:
    document = eve.carries("{}")
    inner = document["object"] | {"@context": document["@context"]}
    eve.things = {inner["id"]: inner}
    note = await here.verifier.note(await _create(here, eve, document | {"object": inner["id"]}))
    assert note.carriers == '{"carriers":[{}]}' and note.actor == eve.names.actor


async def test_a_note_by_another_is_not_taken(here: Here, eve: Keeper, mallory: Stranger) -> None:
    document = eve.carries("{}")
    inner = document["object"] | {"attributedTo": mallory.names.actor}
    eve.things = {inner["id"]: inner}
    activity = await _create(here, eve, document | {"object": inner["id"]})
    with pytest.raises(Rejected) as caught:
        await here.verifier.note(activity)
    assert caught.value.status == 400


async def test_carriers_that_a_server_took_out_are_fetched(here: Here, eve: Keeper) -> None:
    document = eve.carries("{}")
    text = document["object"].pop("clawnetCarriers")
    activity = await _create(here, eve, document)
    assert isinstance(activity, Create) and activity.note.link.endswith(digest(text))
    with pytest.raises(Rejected) as caught:
        await here.verifier.note(activity)
    assert caught.value.status == 400
    eve.things = {activity.note.link: text}
    assert (await here.verifier.note(activity)).carriers == text
    eve.things = {activity.note.link: text + " "}
    with pytest.raises(Rejected):
        await here.verifier.note(activity)
    await eve.away()
    with pytest.raises(Rejected) as caught:
        await here.verifier.note(activity)
    assert caught.value.status == 503


async def test_strangers_do_not_learn_what_our_network_looks_like(here: Here, eve: Stranger) -> None:
    careful = Fetcher(keys(3), f"{OWN}#main-key", here.now_ms)
    here.verifier = Verifier(careful, OWN, here.now_ms, here.monotonic)
    told = set()
    for place in ("https://localhost", "https://127.0.0.1:1", "https://[::1]", "https://not-there.invalid"):
        document = json.loads(json.dumps(eve.follow(OWN)).replace(eve.names.base, place))
        eve.names = Names(place, "eve")
        with pytest.raises(Rejected) as caught:
            await here.takes(posted(document, eve))
        told.add((caught.value.status, caught.value.code, caught.value.message))
    assert told == {(503, "activitypub.unreachable", "What it names cannot be fetched now.")}
    await here.verifier.close()
    await careful.close()


# -- what is refused before anybody is asked -----------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/ld+json", "", "application/activity+json, a/b"]
)
async def test_other_media_types_are_refused(here: Here, eve: Stranger, content_type: str) -> None:
    await here.refuses(posted(eve.follow(OWN), eve, changes={"Content-Type": content_type}), 415, "content_type")
    assert eve.requests == []


async def test_what_is_compressed_is_refused(here: Here, eve: Stranger) -> None:
    await here.refuses(posted(eve.follow(OWN), eve, changes={"Content-Encoding": "gzip"}), 415, "content_type")


async def test_what_is_too_large_is_refused(here: Here, eve: Stranger) -> None:
    await here.refuses(posted(b" " * (BODY_MOST + 1), eve), 413, "too_large")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id":', b"\xff", b"[" * 100_000, b'{"a":1e999}'])
async def test_what_is_no_activity_is_refused(here: Here, eve: Stranger, body: bytes) -> None:
    await here.refuses(posted(body, eve), 400, "malformed")
    assert eve.requests == []


async def test_a_body_that_was_changed_is_refused_before_anybody_is_asked(here: Here, eve: Stranger) -> None:
    for scheme in SCHEMES:
        request = posted(eve.follow(OWN), eve, scheme=scheme)
        await here.refuses(replace(request, body=request.body + b" "), 401, "signature")
    assert eve.requests == []


async def test_a_signature_that_does_not_cover_the_body_is_refused(here: Here, eve: Stranger) -> None:
    body = json.dumps(eve.follow(OWN)).encode()
    # As if it were a GET: what is signed holds, and says nothing of the body.
    headers = rfc9421.sign(eve.keys, eve.names.main_key, "POST", INBOX, b"", int(time.time()))
    headers["Content-Type"] = "application/activity+json"
    request = Request(method="POST", base=BASE, target="/inbox", headers=list(headers.items()), body=body)
    await here.refuses(request, 401, "signature")


async def test_of_two_schemes_the_newer_counts(here: Here, eve: Stranger) -> None:
    body = json.dumps(eve.follow(OWN)).encode()
    both = eve.signed(INBOX, body, "cavage") | {"Signature-Input": "sig1=()"}
    request = Request(method="POST", base=BASE, target="/inbox", headers=list(both.items()), body=body)
    await here.refuses(request, 401, "signature")
