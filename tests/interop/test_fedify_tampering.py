"""Copies that somebody tampered with are refused, both ways, and the genuine one that each is made of is taken."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
import pytest

from bots.transports.activitypub import notes
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.schemes import SCHEMES, Scheme, headers
from tests.interop.agent import Agent, NewAgent
from tests.interop.peer import Peer
from tests.transports.worlds import Words, now_ms

DAY_S = 86_400
ANOTHER = Words("bert", PUBLIC)

# What is wrong with a copy by Fedify, and with which statuses our inbox refuses it.
TAMPERINGS: Mapping[str, tuple[int, ...]] = {
    "no signature": (401,),
    "another body": (401,),
    "another body and its digest": (401,),
    "a digest that is not covered": (401,),
    "the key of another actor": (401, 403),
    "a key that nobody has": (401,),
    "the name of another actor": (401, 403),
    "an object of another actor": (400, 401, 403),
    "an activity of another host": (400, 401, 403),
    "an object of another host": (400, 401, 403),
    "a date of yesterday": (401,),
    "a date of tomorrow": (401,),
    "another address": (401,),
    "a changed text behind the proof": (401, 403),
}


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_copies_that_fedify_tampered_with_are_refused(fedify: Peer, new_agent: NewAgent, scheme: Scheme) -> None:
    agent = await new_agent("ada")
    alice, mallory = await fedify.actor("alice"), await fedify.actor("mallory")
    carrier = f'{{"carriers":[{ANOTHER.carrier(address=alice)}]}}'
    note = {"from": "alice", "to": agent.actor, "scheme": scheme, "other": mallory}
    members = {"members": {"clawnetCarriers": carrier}, "context": {"clawnetCarriers": "https://clawnet.example/ns#c"}}

    assert set(await fedify.ask("tamperings")) == set(TAMPERINGS)
    told = {}
    for tampering, statuses in TAMPERINGS.items():
        # A proof covers what Fedify's own vocabulary can say, without our property.
        more = {"proof": True} if tampering == "a changed text behind the proof" else members
        answer = await fedify.ask("note", **note, **more, tampering=tampering)
        if answer["status"] not in statuses:
            told[tampering] = answer
    assert not told
    assert not agent.arrived()

    answer = await fedify.ask("note", **note, **members)
    assert answer["status"] in (200, 202), answer
    await agent.resident.until(agent.arrived)
    assert len(agent.arrived()) == 1


class Copy(msgspec.Struct):
    """A request to an inbox, about to be sent."""

    url: str
    body: bytes
    headers: dict[str, str]


def _another_body(copy: Copy) -> None:
    copy.body = copy.body.replace(b"Hello", b"Hullo")


def _and_its_digest(copy: Copy) -> None:
    _another_body(copy)
    digest = base64.b64encode(hashlib.sha256(copy.body).digest()).decode()
    fresh = {"Digest": f"SHA-256={digest}", "Content-Digest": f"sha-256=:{digest}:"}
    copy.headers |= {name: value for name, value in fresh.items() if name in copy.headers}


def _another_key(copy: Copy) -> None:
    for name in ("Signature", "Signature-Input"):
        if name in copy.headers:
            copy.headers[name] = copy.headers[name].replace("#main-key", "#other-key")


def _no_signature(copy: Copy) -> None:
    for name in ("Signature", "Signature-Input"):
        copy.headers.pop(name, None)


COPIES: Mapping[str, Callable[[Copy], None]] = {
    "another body": _another_body,
    "another body and its digest": _and_its_digest,
    "another key": _another_key,
    "no signature": _no_signature,
}


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_fedify_refuses_copies_of_ours_that_were_tampered_with(
    fedify: Peer, new_agent: NewAgent, scheme: Scheme
) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    told = {name: await _sent(agent, alice, scheme, tamper) for name, tamper in COPIES.items()}
    told["a date of yesterday"] = await _sent(agent, alice, scheme, late_s=DAY_S)
    told["another actor"] = await _sent(agent, alice, scheme, members={"actor": alice})
    assert told == dict.fromkeys(told, 401)
    assert await _sent(agent, alice, scheme) == 202
    last = (await fedify.requests("POST", "/users/alice/inbox"))[-1]
    assert (last["verdict"]["by_http"], last["verdict"]["key_id"]) == (True, agent.names.main_key)


async def _sent(
    agent: Agent,
    recipient: str,
    scheme: Scheme,
    tamper: Callable[[Copy], None] = lambda _: None,
    *,
    late_s: int = 0,
    members: Mapping[str, Any] | None = None,
) -> int:
    """Send a note of our agent, without a proof, tampered with behind the signature; returns the status."""
    words = notes.Words(name=f"note-{now_ms()}", published_ms=now_ms(), text="Hello", to=(recipient, PUBLIC))
    body = json.dumps(notes.create(agent.names, words) | dict(members or {})).encode()
    url, now_s = f"{recipient}/inbox", now_ms() // 1000 - late_s
    copy = Copy(url, body, headers(scheme, agent.keys, agent.names.main_key, "POST", url, body, now_s))
    tamper(copy)
    copy.headers["Content-Type"] = "application/activity+json"
    async with (
        aiohttp.ClientSession() as session,
        session.post(copy.url, data=copy.body, headers=copy.headers) as answer,
    ):
        return answer.status
