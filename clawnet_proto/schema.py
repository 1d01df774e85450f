"""JSON Schemas generated from the structs: ``python -m clawnet_proto.schema --write`` renews ``spec/schemas``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from clawnet_proto.carrier import Carrier
from clawnet_proto.envelope import Envelope
from clawnet_proto.families import BODIES
from clawnet_proto.specification import directory
from clawnet_proto.transcript import Entry, Header

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> Mapping[str, str]:
    """File name to text, for every schema of this version."""
    kinds: dict[str, Any] = {"carrier": Carrier, "transcript.header": Header, "transcript.entry": Entry}
    kinds |= {name: Envelope[body] for name, body in BODIES.items()}  # type: ignore[valid-type]
    return {f"{name}.json": _text(name, kind) for name, kind in sorted(kinds.items())}


def _text(name: str, kind: Any) -> str:
    schema = {"$schema": _DIALECT, "title": name} | msgspec.json.schema(kind)
    text = json.dumps(schema, indent=1, ensure_ascii=False)
    # What \Z says in Python's regular expressions, $ says in those of JSON Schema.
    return text.replace(r"\\Z", "$") + "\n"


def main(arguments: list[str]) -> int:
    """Write the schemas, or (without ``--write``) name those that are not current and exit 1."""
    folder = directory() / "schemas"
    expected = schemas()
    present = {path.name: path.read_text() for path in folder.glob("*.json")} if folder.is_dir() else {}
    if "--write" in arguments:
        folder.mkdir(exist_ok=True)
        for name in present.keys() - expected.keys():
            (folder / name).unlink()
        for name, text in expected.items():
            (folder / name).write_text(text)
        return 0
    stale = sorted(name for name in expected.keys() | present.keys() if expected.get(name) != present.get(name))
    for name in stale:
        sys.stderr.write(f"spec/schemas/{name} is not current; run: make schemas\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
