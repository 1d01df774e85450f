"""Whatever the three testees are asked, they give the same answer (spec/testee.md).

Seeds are the requests of ``spec/vectors``. Each is changed: bytes and texts as bytes, JSON as JSON, envelopes signed
anew after the change, so that what lies behind the signature is reached; conversations and rooms by mixing what
others said, and by letting them say something else.
``python -m tests.fuzz.differential --count 100000`` is the long form.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bots.conformance.testee import Broken, Testee
from clawnet_proto import base64url
from clawnet_proto.bindings.matrix import CARRIERS
from clawnet_proto.signing import digest, signed_bytes
from clawnet_proto.specification import directory
from tests.conformance import testees
from tests.fuzz.mutation import mutated_bytes, mutated_json, places
from tests.fuzz.plain import text_of
from tests.proto.authoring import Author
from tests.vectors.peer import Peer
from tests.vectors.writing import canonical

Request = dict[str, Any]
Unit = list[Request]  # what is asked one after the other, on the same state

# The members of a request that are a stranger's: bytes in base64url, and texts.
_BYTES: Mapping[str, tuple[str, ...]] = {
    "canonical.read": ("text",),
    "signature.verify": ("public", "signature", "message"),
    "sign": ("env",),
    "verify": ("carrier",),
    "arrive": ("carrier",),
    "transcript": ("text",),
    "matrix.carriers": ("event",),
}
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "did.decode": ("did",),
    "open": ("sealed", "info"),
    "open.text": ("sealed", "info", "digest"),
    "rank": ("key",),
}
_SIGNER = Author("differential")
_SPEAKERS = {
    key.did: key
    for peer in map(Peer, ("alice", "bob", "carol"))
    for key in (peer.key(0), *(peer.key(generation, branch) for generation in (1, 2, 3) for branch in ("", "b")))
}  # of the traces and the handshakes of the vectors, with the keys they rotate to
_MOST_DELIVERIES = 8
_AHEAD = 200  # requests sent before answers are read
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Disagreement:
    """What was asked, up to the request that was answered differently, and by whom how."""

    unit: Unit
    answers: Mapping[str, str]


class Seeds:
    """Requests of the vectors by operation, and the deliveries and conversations of the others."""

    def __init__(self) -> None:
        self.single: dict[str, list[Request]] = {}
        self.rooms: list[dict[str, Any]] = []
        self.conversations: list[Unit] = []
        for path in sorted((directory() / "vectors").glob("*.json")):
            if path.name in ("manifest.json", "schema.json"):
                continue
            for vector in json.loads(path.read_bytes())["vectors"]:
                self._take(vector)

    def _take(self, vector: dict[str, Any]) -> None:
        if vector.get("op") == "mesh":
            self.rooms.append(vector)
        elif "steps" in vector:
            self.conversations.append([{"op": step["op"], **step["request"]} for step in vector["steps"]])
        elif vector["op"] in _BYTES or vector["op"] in _TEXTS or vector["op"] == "prompt":
            self.single.setdefault(vector["op"], []).append({"op": vector["op"], **vector["request"]})


def units(seeds: Seeds, chance: Random) -> Iterator[Unit]:
    """Without end: mostly single requests, of every operation alike; sometimes a room or a conversation."""
    operations = sorted(seeds.single)
    while True:
        way = chance.random()
        if way < 0.06 and seeds.rooms:
            yield _room(seeds, chance)
        elif way < 0.1 and seeds.conversations:
            yield _conversation(seeds, chance)
        elif way < 0.5:
            # What strangers send most: carriers.
            yield [_changed(chance.choice(seeds.single[chance.choice(["verify", "arrive"])]), seeds, chance)]
        else:
            yield [_changed(chance.choice(seeds.single[chance.choice(operations)]), seeds, chance)]


def _changed(request: Request, seeds: Seeds, chance: Random) -> Request:
    changed = dict(request)
    other = chance.choice(seeds.single[request["op"]])
    if request["op"] == "prompt":
        changed["sources"] = {
            name: _plain_text(mutated_bytes(text.encode(), chance)) for name, text in request["sources"].items()
        }
        return changed
    names = [name for name in _BYTES.get(request["op"], ()) if name in request]
    texts = [name for name in _TEXTS.get(request["op"], ()) if name in request]
    name = chance.choice(names + texts)
    if name in texts:
        mutated = mutated_bytes(request[name].encode(), chance, str(other.get(name, "")).encode())
        changed[name] = _plain_text(mutated)
    elif name == "event":
        # Events come through a homeserver, which has parsed them: they are JSON, and no member occurs twice.
        value = json.loads(base64url.decode(request[name]))
        for _ in range(chance.choice([1, 1, 2])):
            changed_value = mutated_json(json.dumps(value).encode(), chance, base64url.decode(other[name]))
            with suppress(ValueError):
                value = json.loads(changed_value)
        changed[name] = base64url.encode(json.dumps(_without_numbers(value)).encode())
    elif name == "carrier" and chance.random() < 0.7:
        changed[name] = base64url.encode(_signed_anew(base64url.decode(request[name]), chance))
    else:
        data, source = base64url.decode(request[name]), base64url.decode(other.get(name, ""))
        mutated = chance.choice([mutated_bytes, mutated_json])(data, chance, source)
        if name == "env":
            mutated = _plain_text(mutated).encode()
        elif name == "public":
            mutated = mutated[:32].ljust(32, b"\x00")
        changed[name] = base64url.encode(mutated)
    return changed


def _without_numbers(event: Any) -> Any:
    """The event with texts for the numbers in its carriers: those JSON libraries write in different ways."""
    content = event.get("content") if isinstance(event, dict) else None
    pending: list[Any] = [content.get(CARRIERS) if isinstance(content, dict) else None]
    while pending:
        holder = pending.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ():
            if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
                holder[key] = "number"
            pending.append(holder[key])
    return event


def _plain_text(data: bytes) -> str:
    """Some text that JSON can hold: no surrogates."""
    return text_of(data).encode("utf-8", "replace").decode()


def _signed_anew(carrier: bytes, chance: Random) -> bytes:
    """Another envelope in the carrier, with a signature that holds: its faults are those of the later stages."""
    try:
        env = json.loads(carrier)["env"].encode()
        value = json.loads(env)
        for name in ("kid", "sender"):
            if name != "sender" or chance.random() < 0.9:
                value[name] = _SIGNER.did
        env = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return mutated_bytes(carrier, chance)
    for _ in range(chance.choice([1, 1, 1, 2])):
        env = chance.choice([mutated_bytes, mutated_json, mutated_json])(env, chance, env)
    return _SIGNER.carrier_of(text_of(env))


def _room(seeds: Seeds, chance: Random) -> Unit:
    """Deliveries of one or two traces, in any order, by anyone's address."""
    traces = [chance.choice(seeds.rooms) for _ in range(chance.choice([1, 2]))]
    deliveries = [delivery for trace in traces for delivery in trace["deliveries"]]
    addresses = sorted({delivery["address"] for delivery in deliveries})
    chance.shuffle(deliveries)
    unit: Unit = [{"op": "mesh.reset", "room": traces[0]["room"]}]
    for delivery in deliveries[: chance.choice([_MOST_DELIVERIES, 40])]:
        address = chance.choice(addresses) if chance.random() < 0.1 else delivery["address"]
        carrier = delivery["carrier"]
        if chance.random() < 0.05:
            carrier = base64url.encode(mutated_bytes(base64url.decode(carrier), chance))
        elif chance.random() < 0.2:
            carrier = _said_otherwise(carrier, [other["carrier"] for other in deliveries], chance)
        unit.append({"op": "mesh.add", "carrier": carrier, "plane": delivery["plane"], "address": address})
    now_ms = traces[0]["now_ms"] + chance.choice([0, 0, -(10**9), 10**9])
    return [*unit, {"op": "mesh.state", "now_ms": now_ms}]


def _said_otherwise(carrier: str, others: Sequence[str], chance: Random) -> str:
    """What one of the speakers says, with other numbers, another cause, version, outcome or key; properly signed."""
    try:
        data = base64url.decode(carrier)
        value = json.loads(json.loads(data)["env"])
        for _ in range(chance.choice([1, 1, 2])):
            _vary(value, base64url.decode(chance.choice(others)), chance)
        return base64url.encode(_SPEAKERS[value["kid"]].carrier(canonical(value)))
    except (ValueError, LookupError, TypeError, AttributeError):
        return carrier  # one of the broken ones among the vectors


def _vary(value: dict[str, Any], other: bytes, chance: Random) -> None:
    others = json.loads(json.loads(other)["env"])
    kind = chance.choice(["time", "number", "text", "speaker", "cause", "cause", "member"])
    if kind == "time":
        shift = chance.choice([-1, 1, -1000, 1000, -60_000, others["sent_ms"] - value["sent_ms"]])
        value["sent_ms"] += shift
        value["expires_ms"] += shift
    elif kind == "speaker":
        value[chance.choice(["kid", "kid", "sender"])] = chance.choice(list(_SPEAKERS))
    elif kind == "cause":
        name = chance.choice(["thread", "answers", "award"])
        holder = value["body"] if name == "award" else value
        if name in holder:
            causes = [others.get("answers"), others.get("thread"), digest(signed_bytes(canonical(others)))]
            holder[name] = chance.choice(causes) or holder[name]
    elif kind == "member":
        name = chance.choice(list(value["body"]) or [""])
        if name in others["body"]:
            value["body"][name] = others["body"][name]
    else:
        wanted = int if kind == "number" else str
        found = [(holder, key) for holder, key in places(value["body"]) if type(holder[key]) is wanted]
        if found:
            holder, key = chance.choice(found)
            texts = ["1", "2", "10", "draft", "review", "completed", "failed", "declined", *_SPEAKERS]
            holder[key] = max(0, holder[key] + chance.choice([-1, 1, 1, 2])) if wanted is int else chance.choice(texts)


def _conversation(seeds: Seeds, chance: Random) -> Unit:
    """A conversation with steps left out, repeated, swapped, or taken from another one."""
    unit = list(chance.choice(seeds.conversations))
    other = chance.choice(seeds.conversations)
    first, steps = unit[0], unit[1:]
    carriers = [step["carrier"] for step in [*steps, *other] if "carrier" in step]
    for _ in range(chance.choice([1, 1, 2, 3])):
        at = chance.randint(0, len(steps))
        change = chance.choice(["leave out", "repeat", "swap", "take", "say", "say"])
        if change == "take":
            steps.insert(at, chance.choice(other[1:] or steps or [first]))
        elif steps and change == "leave out":
            del steps[at % len(steps)]
        elif steps and change == "repeat":
            steps.insert(at, chance.choice(steps))
        elif steps and change == "say":
            step = steps[at % len(steps)]
            if "carrier" in step:
                steps[at % len(steps)] = step | {"carrier": _said_otherwise(step["carrier"], carriers, chance)}
        else:
            chance.shuffle(steps)
    resets = ("handshake.reset", "mesh.reset")
    return (
        [first, *(step for step in steps if step["op"].partition(".")[0] == first["op"].partition(".")[0])]
        if (first["op"] in resets)
        else unit
    )


class Panel:
    """The testees, side by side: each is asked the same, ahead of the others' answers."""

    def __init__(self, programs: Mapping[str, Sequence[str]]) -> None:
        self._programs = programs
        self._testees = {name: Testee(command, _TIMEOUT_S) for name, command in programs.items()}

    def ask(self, asked: Sequence[Unit]) -> list[Disagreement]:
        """Ask all requests of these units, and compare the answers."""
        lines = [json.dumps(request, separators=(",", ":")).encode() for unit in asked for request in unit]
        answers: dict[str, list[str]] = {}
        for testee in self._testees.values():
            for line in lines:
                testee.send(line)
        for name, testee in self._testees.items():
            given: list[str] = []
            try:
                while len(given) < len(lines):
                    given.append(_normal(testee.receive()))
            except Broken as broken:
                asked_last = lines[len(given)].decode()
                words = " / ".join(broken.stderr)
                raise RuntimeError(f"{name}, asked {asked_last}: {broken.sentence} {words}") from None
            answers[name] = given
        found, at = [], 0
        for unit in asked:
            for step in range(len(unit)):
                said = {name: answers[name][at + step] for name in answers}
                if len(set(said.values())) > 1:
                    found.append(Disagreement(unit[: step + 1], said))
                    break
            at += len(unit)
        return found

    def close(self) -> None:
        for testee in self._testees.values():
            testee.close()


def _normal(line: bytes) -> str:
    return json.dumps(json.loads(line), sort_keys=True)


def run(
    count: int, seed: int, programs: Mapping[str, Sequence[str]], tell: bool
) -> tuple[Counter[str], list[Disagreement]]:
    """Ask about ``count`` changed inputs: how many of each operation, and where the testees disagree."""
    source = units(Seeds(), Random(seed))
    panel = Panel(programs)
    asked: Counter[str] = Counter()
    found: list[Disagreement] = []
    begun = time.monotonic()
    try:
        while asked.total() < count:
            batch = [next(source) for _ in range(min(_AHEAD, count - asked.total()))]
            found += panel.ask(batch)
            asked.update(unit[-1]["op"] for unit in batch)
            if tell and sys.stderr.isatty():
                rate = asked.total() / (time.monotonic() - begun)
                sys.stderr.write(f"\r{asked.total()}/{count} inputs, {rate:.0f}/s, {len(found)} disagreements ")
    finally:
        panel.close()
    return asked, found


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if they always agreed, 1 if not; disagreements are written as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.differential", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="changed inputs (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="of all changes (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write disagreements here (default: standard output)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        os.environ.update(testees.environment())
        asked, found = run(options.count, options.seed, testees.commands(Path(folder)), tell=True)
        lines = [json.dumps({"unit": item.unit, "answers": dict(item.answers)}) + "\n" for item in found]
        if options.out:
            options.out.write_text("".join(lines))
        else:
            sys.stdout.writelines(lines)
        kinds = ", ".join(f"{operation} {number}" for operation, number in sorted(asked.items()))
        seconds = time.monotonic() - begun
        sys.stderr.write(f"\n{asked.total()} inputs in {seconds:.0f} s ({kinds}); {len(found)} disagreements\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
