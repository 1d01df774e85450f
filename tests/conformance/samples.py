"""A folder of vectors that a few lines of Python can answer, and testees that do, or do not."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

Vector = dict[str, Any]

_TESTEE = """\
import json, os, sys, time

with open(os.path.join(os.path.dirname(__file__), "starts"), "a") as starts:
    starts.write(f"{os.getpid()}\\n")
added = set()


def right(request):
    op = request["op"]
    if op == "matrix.uri":
        return {"ok": {"uri": "matrix:u/" + request["id"][1:]}}
    if op == "mesh.reset":
        added.clear()
    elif op == "mesh.add":
        added.add(request["address"])
    elif op == "mesh.state":
        return {"ok": {"state": {"peers": {}, "conflicts": {}, "live": sorted(added), "messages": {}, "tasks": {}}}}
    elif op == "did.decode":
        return {"error": "key.malformed"}
    else:
        return {"unsupported": op}
    return {"ok": {}}


def boom(request):
    return "boom" in request.get("id", "")


def say(answer):
    sys.stdout.write((answer if isinstance(answer, str) else json.dumps(answer)) + "\\n")
    sys.stdout.flush()


def answer(request):
    say(right(request))


"""
_LOOP = """

for line in sys.stdin:
    answer(json.loads(line))
"""


def uri(name: str, **members: Any) -> Vector:
    """A vector of one request. Only the name ``boom`` means something to testees."""
    return {
        "id": f"uri-{name}",
        "about": f"the address of {name}",
        "requirements": ["MX-1"],
        "op": "matrix.uri",
        "request": {"id": f"@{name}:example.org"},
        "expect": {"ok": {"uri": f"matrix:u/{name}:example.org"}},
        **members,
    }


def uris(count: int) -> list[Vector]:
    """``uri-00``, ``uri-01`` and so on."""
    return [uri(f"{number:02}") for number in range(count)]


def malformed() -> Vector:
    """A vector that expects an error."""
    return {
        "id": "did-short",
        "about": "a did that is too short",
        "requirements": ["ID-5"],
        "op": "did.decode",
        "request": {"did": "did:key:z"},
        "expect": {"error": "key.malformed"},
        "stage": "key",
        "kills": "any-did",
    }


def conversation(*names: str) -> Vector:
    """A vector of several requests."""
    steps = [{name: uri(name_of)[name] for name in ("op", "request", "expect")} for name_of in names]
    return {"id": "talk", "about": "several requests", "requirements": ["MX-1", "MX-2"], "steps": steps}


def trace(*addresses: str, orders: str | Sequence[Sequence[int]] = "all", **members: Any) -> Vector:
    """A trace whose state lists who delivered something."""
    deliveries = [{"carrier": "e30", "plane": "room", "address": address} for address in addresses]
    state = {"peers": {}, "conflicts": {}, "live": sorted(addresses), "messages": {}, "tasks": {}}
    return {
        "id": "trace-all",
        "about": "everybody says something",
        "requirements": ["FOLD-2"],
        "op": "mesh",
        "room": "matrix:roomid/a",
        "now_ms": 1,
        "deliveries": deliveries,
        "orders": orders,
        "state": state,
        **members,
    }


def folder(path: Path, vectors: Mapping[str, Sequence[Vector]]) -> Path:
    """Write files of vectors, by subject, and their manifest."""
    path.mkdir(exist_ok=True)
    files = []
    for subject, of_subject in vectors.items():
        data = json.dumps({"subject": subject, "about": f"about {subject}", "vectors": of_subject}).encode()
        (path / f"{subject}.json").write_bytes(data)
        digest = base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
        files.append({"name": f"{subject}.json", "digest": digest, "vectors": len(of_subject)})
    manifest = {"vectors": sum(len(of_subject) for of_subject in vectors.values()), "files": files}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def program(path: Path, code: str = "") -> list[str]:
    """The command of a testee that answers rightly, but for what ``code`` says: it may define ``answer`` anew."""
    path.mkdir(exist_ok=True)
    file = path / "testee.py"
    file.write_text(_TESTEE + code + _LOOP)
    return [sys.executable, "-I", "-S", str(file)]


def starts(path: Path) -> list[int]:
    """The process ids a testee has had."""
    return [int(line) for line in (path / "starts").read_text().splitlines()]
