"""One typical message of each type, with all its optional fields or with none."""

from __future__ import annotations

from typing import Any

from clawnet_proto.envelope import Envelope
from clawnet_proto.families import BODIES, handshake, identity, presence, task
from clawnet_proto.sealing import SealKey
from clawnet_proto.signing import digest
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import Record
from tests.proto.authoring import NOW_MS, Author, some_digest

MODEL_DIGEST = "sha256:" + "3b" * 32
QUESTION = "Why does a mesh of small machines outlive a big one?"
ANSWER = "Because no single machine is needed. Work moves to whoever is there, and what was said is signed. " * 3
SEALED = "c2VhbGVkIHRleHQ"

PARAMETERS = task.Parameters(max_tokens=128, temperature_milli=700, top_p_milli=950, seed=7, stop=("\n\n", "Question:"))
USAGE = task.Usage(prompt_tokens=61, output_tokens=74, queued_ms=3, prompt_ms=410, generate_ms=2210)


def announce(author: Author, revision: int = 1, **changes: Any) -> presence.Announce:
    """An announce at the author's own address, without optional fields."""
    fields: dict[str, Any] = {
        "revision": revision,
        "name": author.name,
        "kind": "ai",
        "role": "writer",
        "software": "clawbot 0.1.0",
        "versions": ("1",),
        "addresses": (presence.Address(uri=author.address),),
        "next_key_digest": some_digest("next key"),
        "seal_key": SealKey(author.key.seed).public,
        "capabilities": ("generate", "echo"),
        "models": (),
        "wants": ("reviews",),
        "offers": ("drafts", "english"),
        "load": presence.Load(running=1, waiting=0, slots=2),
        "limits": presence.Limits(open_to="room", prompt_bytes=16000, output_tokens=512, tokens_per_minute=6000),
        "confirmed": (),
    }
    return presence.Announce(**(fields | changes))


def full_announce(author: Author, other: Author) -> presence.Announce:
    """The announce of an agent that has all there is to announce."""
    return announce(
        author,
        description="Writes first drafts on a small machine.",
        addresses=(presence.Address(uri=author.address, device="QXBVTMRLKP"),),
        models=(
            presence.ModelCard(
                name="gemma3-270m",
                digest=MODEL_DIGEST,
                context_tokens=4096,
                quantization="Q4_K_M",
                kinds=("generate", "chat"),
            ),
        ),
        compute=presence.Compute(cpu_cores=4, memory_mib=7936, gpus=("none worth naming",)),
        region="eu-north",
        confirmed=(presence.Confirmed(peer=other.did, at_ms=1_799_999_990_000, rtt_ms=41),),
    )


def stage(name: str, *sources: str, kind: presence.StageKind = "generate") -> task.Stage:
    """A stage that reads these inputs and stages, in lines and blocks by turns."""
    parts: list[task.TextPart | task.DataPart] = [task.TextPart(text="Read, then write.\n")]
    for number, source in enumerate(sources):
        parts.append(task.DataPart(source=source, form="block" if number % 2 else "line"))
    return task.Stage(id=name, kind=kind, prompt=tuple(parts), parameters=PARAMETERS)


def text_input(name: str = "question", text: str = QUESTION) -> task.Input:
    return task.Input(name=name, digest=digest(text.encode()), text=text)


def request(*stages: task.Stage, **changes: Any) -> task.Request:
    """A public task with one input, ``question``, and one stage, ``draft``, unless others are given."""
    fields: dict[str, Any] = {
        "title": "A question",
        "inputs": (text_input(),),
        "stages": stages or (stage("draft", "question"),),
        "privacy": "public",
        "lease_ms": 30_000,
        "hops": 0,
    }
    return task.Request(**(fields | changes))


def full_request(other: Author) -> task.Request:
    """Three stages, each reading what came before it, and all preferences."""
    needs = task.Needs(model="gemma3-270m", model_digest=MODEL_DIGEST, context_tokens=2048, memory_mib=900)
    draft = stage("draft", "question")
    return request(
        task.Stage(id="draft", kind="chat", prompt=draft.prompt, parameters=PARAMETERS, needs=needs),
        stage("critique", "question", "draft"),
        stage("revise", "question", "draft", "critique"),
        parent=some_digest("parent"),
        preferences=task.Preferences(
            models=("gemma3-270m",), roles=("writer",), regions=("eu-north",), trusted=(other.did,)
        ),
        on_behalf_of=task.OnBehalfOf(
            address="matrix:u/person:example.org", event="$asked", text_digest=some_digest("asked")
        ),
    )


def result(award: str = "", text: str = ANSWER, **changes: Any) -> task.Result:
    """A result of the first attempt of ``draft``; ``award`` is a message id."""
    fields: dict[str, Any] = {
        "stage": "draft",
        "attempt": 1,
        "award": award or some_digest("award"),
        "inputs": (task.InputDigest(source="question", digest=digest(QUESTION.encode())),),
        "parameters": PARAMETERS,
        "output_digest": digest(text.encode()),
        "text": text,
        "media_type": "text/plain",
        "finish": "stop",
        "usage": USAGE,
    }
    return task.Result(**(fields | changes))


def bodies(author: Author, other: Author, *, full: bool) -> dict[str, Record]:
    """A body of each type, with all optional fields or with none."""
    here = presence.Address(uri=author.address)
    attempt: dict[str, Any] = {"stage": "draft", "attempt": 1}
    accepted = task.Accepted(
        **attempt, executor=other.did, result=some_digest("result"), output_digest=some_digest("output")
    )
    sealed = task.SealedInput(source="question", digest=some_digest("question"), sealed=SEALED)
    offer = task.StageOffer(stage="draft", wait_ms=1500)
    progress: dict[str, Any] = {"index": 4, "tokens": 12, "offset": 61}
    common: dict[str, Record] = {
        "identity.revoke": identity.Revoke(chain=(), since_ms=NOW_MS, reason="It was stolen."),
        "handshake.hello": handshake.Hello(versions=("1",), address=here),
        "handshake.accept": handshake.Accept(version="1", versions=("1", "2"), address=here),
        "handshake.confirm": handshake.Confirm(version="1"),
        "task.ask": task.Ask(**attempt, question="For whom?"),
        "task.reply": task.Reply(**attempt, text="For children."),
        "task.fail": task.Fail(**attempt, code="out_of_memory", message="The model needs more.", retryable=True),
    }
    if not full:
        return common | {
            "identity.rotate": rotation(other, author),
            "presence.announce": announce(author),
            "presence.leave": presence.Leave(revision=2),
            "task.request": request(),
            "task.offer": task.Offer(stages=(offer,)),
            "task.award": task.Award(**attempt, lease_ms=30_000),
            "task.start": task.Start(**attempt),
            "task.progress": task.Progress(**attempt, **progress),
            "task.result": result(),
            "task.cancel": task.Cancel(),
            "task.close": task.Close(outcome="completed", accepted=(accepted,), executions=1),
        }
    return common | {
        "identity.rotate": rotation(other, author),
        "presence.announce": full_announce(author, other),
        "presence.leave": presence.Leave(revision=2, reason="The machine is needed elsewhere."),
        "task.request": full_request(other),
        "task.offer": task.Offer(
            stages=(task.StageOffer(stage="draft", model="gemma3-270m", model_digest=MODEL_DIGEST, wait_ms=0),)
        ),
        "task.award": task.Award(**attempt, lease_ms=30_000, inputs=(sealed,)),
        "task.start": task.Start(**attempt, model="gemma3-270m"),
        "task.progress": task.Progress(**attempt, **progress, text="a few words", sealed=SEALED),
        "task.result": result(model="gemma3-270m", model_digest=MODEL_DIGEST),
        "task.cancel": task.Cancel(reason="Nobody needs it any longer."),
        "task.close": task.Close(
            outcome="failed", accepted=(accepted,), executions=3, code="no_executor", message="Nobody was left."
        ),
    }


def link(before: Author, after: Author, *, of: Author, generation: int = 1, since_ms: int = NOW_MS) -> identity.Link:
    """The word of one key for the next, in the chain of an identity."""
    word = identity.commit(before.key, identity=of.did, generation=generation, following=after.key.public)
    return identity.Link(key=after.did, commitment=word, since_ms=since_ms)


def rotation(author: Author, to: Author, *, since_ms: int = NOW_MS) -> identity.Rotate:
    """The first rotation of an author: ``to`` is its next key, and signs."""
    return identity.Rotate(
        chain=(link(author, to, of=author, since_ms=since_ms),), next_key_digest=some_digest("the key after")
    )


def envelopes(author: Author, other: Author, *, full: bool = False) -> dict[str, Envelope[Any]]:
    """An envelope of each type, from author to other, with what its row of ``types.json`` requires."""
    made = bodies(author, other, full=full)
    return {kind: author.envelope(made[kind], **required(kind, other)) for kind in BODIES}


def required(kind: str, other: Author) -> dict[str, Any]:
    """The envelope fields that a type requires."""
    rule = TYPES[kind]
    fields: dict[str, Any] = {}
    if kind == "identity.rotate":
        fields["sender"] = other.did
    if rule.recipients == "one":
        fields["recipients"] = (other.did,)
    if rule.thread == "required":
        fields["thread"] = some_digest("thread")
    if rule.answers == "required":
        fields["answers"] = some_digest("answers")
    return fields
