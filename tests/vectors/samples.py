"""One message of each type, in as many forms as it takes to show every member, for vectors to break."""

from __future__ import annotations

from typing import Any

from tests.vectors.writing import ALICE, BOB, CAROL, NOW_MS, TYPES, Author, b64, canonical, digest, encoded, fixed

Body = dict[str, Any]
COMMITMENT_TYPE = "application/vnd.clawnet.commitment.v1+json"
HEIRS = [Author(f"alice, generation {number}") for number in range(1, 18)]
"""The keys that ALICE rotates to."""


def some_id(name: str) -> str:
    """A digest that stands for a message or a text."""
    return b64(fixed(name))


def link(generation: int) -> Body:
    """The link to this generation of ALICE's key."""
    before, key = (ALICE, *HEIRS)[generation - 1], HEIRS[generation - 1]
    said = {"generation": generation, "identity": ALICE.did, "next_key_digest": digest(key.public)}
    commitment = before.sign(encoded(COMMITMENT_TYPE, canonical(said)))
    return {"key": key.did, "commitment": b64(commitment), "since_ms": NOW_MS}


def rotate(length: int = 1) -> Body:
    """A rotation by a chain that is proven."""
    return {"chain": [link(number) for number in range(1, length + 1)], "next_key_digest": some_id("next key")}


def public_input(name: str, text: str) -> Body:
    return {"name": name, "digest": digest(text.encode()), "text": text}


PARAMETERS: Body = {"max_tokens": 64, "temperature_milli": 0, "top_p_milli": 1000, "seed": 7, "stop": []}
FULL_PARAMETERS = PARAMETERS | {"stop": ["\n\n", "END"]}
USAGE: Body = {"prompt_tokens": 12, "output_tokens": 3, "queued_ms": 0, "prompt_ms": 40, "generate_ms": 90}
ADDRESS: Body = {"uri": ALICE.address, "device": "ALICE1"}
ARTIFACT: Body = {
    "digest": some_id("all bytes"),
    "bytes": 262_145,
    "chunks": [
        {"digest": some_id("first chunk"), "uri": "mxc://example.org/one"},
        {"digest": some_id("last chunk"), "uri": "mxc://example.org/two"},
    ],
}

LEAST_ANNOUNCE: Body = {
    "revision": 0,
    "name": "A",
    "kind": "human",
    "role": "w",
    "software": "s",
    "versions": ["1"],
    "addresses": [{"uri": "a:b"}],
    "next_key_digest": some_id("next key"),
    "seal_key": b64(ALICE.seal_key),
    "capabilities": [],
    "models": [],
    "wants": [],
    "offers": [],
    "load": {"running": 0, "waiting": 0, "slots": 0},
    "limits": {"open_to": "nobody", "prompt_bytes": 0, "output_tokens": 0, "tokens_per_minute": 0},
    "confirmed": [],
}
ANNOUNCE: Body = LEAST_ANNOUNCE | {
    "revision": 7,
    "kind": "ai",
    "description": "writes",
    "addresses": [ADDRESS],
    "capabilities": ["chat", "echo"],
    "models": [
        {"name": "gemma3", "digest": "sha256:" + "ab" * 32, "context_tokens": 4096, "quantization": "Q4_K_M",
         "kinds": ["chat"]}
    ],
    "wants": ["critic"],
    "offers": ["translation"],
    "compute": {"cpu_cores": 2, "memory_mib": 8192, "gpus": ["none"]},
    "region": "eu",
    "load": {"running": 1, "waiting": 0, "slots": 2},
    "limits": {"open_to": "room", "prompt_bytes": 16000, "output_tokens": 512, "tokens_per_minute": 9000},
    "confirmed": [{"peer": BOB.did, "at_ms": NOW_MS, "rtt_ms": 31}],
}  # fmt: skip

LEAST_STAGE: Body = {
    "id": "draft",
    "kind": "chat",
    "prompt": [{"part": "text", "text": "Say something."}],
    "parameters": PARAMETERS,
}
LEAST_REQUEST: Body = {
    "title": "",
    "inputs": [public_input("question", "Why?")],
    "stages": [LEAST_STAGE],
    "privacy": "public",
    "lease_ms": 1000,
    "hops": 0,
}
REQUEST: Body = LEAST_REQUEST | {
    "title": "A question",
    "inputs": [public_input("question", "Why?"), public_input("context", "Gr\u00fc\u00dfe")],
    "stages": [
        LEAST_STAGE,
        {
            "id": "review",
            "kind": "chat",
            "prompt": [
                {"part": "data", "source": "draft", "form": "block"},
                {"part": "data", "source": "question", "form": "line"},
                {"part": "text", "text": "Is that so?"},
            ],
            "parameters": FULL_PARAMETERS,
            "needs": {"model": "gemma3", "model_digest": "sha256:" + "ab" * 32, "context_tokens": 1, "memory_mib": 1},
        },
    ],
    "lease_ms": 60_000,
    "hops": 1,
    "parent": some_id("parent"),
    "preferences": {"models": ["gemma3"], "roles": ["critic"], "regions": ["eu"], "trusted": [BOB.did]},
    "on_behalf_of": {
        "address": "matrix:u/dora:example.org",
        "event": "$question",
        "text_digest": some_id("text of the event"),
    },
}
SEALED_REQUEST: Body = LEAST_REQUEST | {
    "privacy": "sealed",
    "inputs": [{"name": "question", "digest": some_id("sealed question")}],
}

LEAST_RESULT: Body = {
    "stage": "draft",
    "attempt": 1,
    "award": some_id("award"),
    "inputs": [],
    "parameters": PARAMETERS,
    "output_digest": digest(b""),
    "text": "",
    "media_type": "a/b",
    "finish": "stop",
    "usage": dict.fromkeys(USAGE, 0),
}
RESULT: Body = LEAST_RESULT | {
    "inputs": [{"source": "question", "digest": digest(b"Why?")}],
    "model": "gemma3",
    "model_digest": "sha256:" + "ab" * 32,
    "parameters": FULL_PARAMETERS,
    "output_digest": digest("Gr\u00fc\u00dfe".encode()),
    "text": "Gr\u00fc\u00dfe",
    "media_type": "text/plain",
    "finish": "length",
    "usage": USAGE,
}


def _with(body: Body, **members: Any) -> Body:
    """A result with another output than its text."""
    return {name: value for name, value in body.items() if name != "text"} | members


SEALED_RESULT = _with(LEAST_RESULT, sealed="c2VhbGVk", output_digest=some_id("plaintext"))
ARTIFACT_RESULT = _with(LEAST_RESULT, artifact=ARTIFACT, output_digest=ARTIFACT["digest"])

_ATTEMPT: Body = {"stage": "draft", "attempt": 1}
_INPUT: Body = {"source": "question", "digest": some_id("sealed question")}

# For each type its bodies: first the one with the fewest members, then others that together show all of them.
BODIES: dict[str, list[Body]] = {
    "identity.rotate": [rotate()],
    "identity.revoke": [
        {"chain": [], "since_ms": 0},
        {"chain": [link(1)], "since_ms": NOW_MS, "reason": "stolen"},
    ],
    "presence.announce": [LEAST_ANNOUNCE, ANNOUNCE],
    "presence.leave": [{"revision": 0}, {"revision": 7, "reason": "good night"}],
    "handshake.hello": [
        {"versions": ["1"], "address": {"uri": "a:b"}},
        {"versions": ["1", "2"], "address": ADDRESS},
    ],
    "handshake.accept": [
        {"version": "1", "versions": ["1"], "address": {"uri": "a:b"}},
        {"version": "1", "versions": ["2", "1"], "address": ADDRESS},
    ],
    "handshake.confirm": [{"version": "1"}],
    "task.request": [LEAST_REQUEST, REQUEST, SEALED_REQUEST],
    "task.offer": [
        {"stages": [{"stage": "draft", "wait_ms": 0}]},
        {"stages": [{"stage": "draft", "model": "gemma3", "model_digest": "sha256:" + "ab" * 32, "wait_ms": 9}]},
    ],
    "task.award": [
        _ATTEMPT | {"lease_ms": 1000},
        _ATTEMPT | {"lease_ms": 60_000, "inputs": [_INPUT | {"sealed": "c2VhbGVk"}]},
        _ATTEMPT | {"lease_ms": 60_000, "inputs": [_INPUT | {"artifact": ARTIFACT}]},
    ],
    "task.start": [_ATTEMPT, _ATTEMPT | {"model": "gemma3"}],
    "task.progress": [
        _ATTEMPT | {"index": 0, "tokens": 0, "offset": 0},
        _ATTEMPT | {"index": 1, "tokens": 2, "offset": 3, "text": "so far"},
        _ATTEMPT | {"index": 1, "tokens": 2, "offset": 3, "sealed": "c2VhbGVk"},
    ],
    "task.ask": [_ATTEMPT | {"question": "Which one?"}],
    "task.reply": [_ATTEMPT | {"text": "The first."}],
    "task.result": [LEAST_RESULT, RESULT, SEALED_RESULT, ARTIFACT_RESULT],
    "task.fail": [_ATTEMPT | {"code": "declined", "message": "", "retryable": False}],
    "task.cancel": [{}, {"reason": "no longer needed"}],
    "task.close": [
        {"outcome": "failed", "accepted": [], "executions": 0},
        {
            "outcome": "completed",
            "accepted": [
                _ATTEMPT
                | {"executor": BOB.did, "result": some_id("result"), "output_digest": digest(b"Why not?")}
            ],
            "executions": 1,
            "code": "done",
            "message": "thank you",
        },
    ],
}  # fmt: skip


def signer(kind: str, body: Body) -> Author:
    """Whose key signs a sample: the last of the chain in an identity's event, else ALICE."""
    chain = body.get("chain") if kind.startswith("identity.") else None
    return HEIRS[len(chain) - 1] if isinstance(chain, list) and chain else ALICE


def envelope(kind: str, body: Body, **members: Any) -> dict[str, Any]:
    """An envelope around a body, with what the type's row wants in recipients, thread and answers."""
    row = TYPES[kind]
    wanted: dict[str, Any] = {"kid": signer(kind, body).did}
    if row["recipients"] == "one":
        wanted["recipients"] = [BOB.did]
    for name in ("thread", "answers"):
        if row[name] == "required":
            wanted[name] = some_id(name)
    return ALICE.envelope(kind, body, **(wanted | members))


OTHERS = (BOB, CAROL)
