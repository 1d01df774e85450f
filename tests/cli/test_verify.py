"""``clawbot verify``: a changed character is found; a stranger's junk is no fault of who recorded it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bots import cli, identity
from clawnet_proto.families import handshake, presence
from clawnet_proto.sealed_carrier import seal_carrier
from clawnet_proto.signing import digest
from clawnet_proto.transcript import Writer
from tests.agent.simulated import echo, request
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author, some_digest

Json = dict[str, Any]

EVE = Author("eve")
JUNK = (
    {"clawnet": "9", "kid": "x", "env": "", "sig": ""},
    {"clawnet": "1", "kid": EVE.did, "env": "\x1b[2J", "sig": "A" * 86},
    {"clawnet": 2**70, "kid": [[]], "env": "", "sig": ""},
)
NAME = "\x1b[2J\x1b]0;pwn\x07eve"


def transcript(folder: Path, *carriers: object) -> Path:
    """What came from eve's account, one carrier a line."""
    writer = Writer()
    data = writer.header(created_ms=NOW_MS, recorder="matrix:u/ada:example.org")
    for number, carrier in enumerate(carriers):
        content = {"msgtype": "m.notice", "body": "", "net.clawnet.carriers": [carrier]}
        event = {"type": "m.room.message", "event_id": f"${number}", "content": content}
        data += writer.entry(
            transport="matrix",
            plane="room",
            room=ROOM,
            sender=EVE.address,
            event_id=f"${number}",
            event=json.dumps(event),
            received_ms=NOW_MS,
        )
    path = folder / "today.jsonl"
    path.write_bytes(data)
    return path


@pytest.fixture
def honest(tmp_path: Path) -> Path:
    announce = json.loads(EVE.carrier(samples.announce(EVE, name=NAME)))
    asked = json.loads(EVE.carrier(request(echo()), recipients=[EVE.did]))
    return transcript(tmp_path, announce, *JUNK, asked)


def test_junk_is_listed_and_the_record_is_intact(honest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(honest)]) == cli.OK
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert all(line.isprintable() for line in lines)
    verdicts = [line.split(": ")[1].split()[0] for line in lines[:-1]]
    assert verdicts == ["bound", "refused", "refused", "refused", "bound"]
    assert lines[1].startswith("line 3: refused: version.unsupported ")
    assert lines[2].startswith("line 4: refused: signature.invalid ")
    assert lines[3].startswith("line 5: refused: carrier.malformed")
    assert "2 bound, 3 refused (" in lines[-1]
    assert lines[-1].endswith("Every line is intact.")


def test_who_wants_none_of_it_says_so(honest: Path, tmp_path: Path) -> None:
    assert cli.main(["verify", str(honest), "--strict"]) == cli.FAILED
    clean = transcript(tmp_path, json.loads(EVE.carrier(samples.announce(EVE))))
    assert cli.main(["verify", str(clean), "--strict"]) == cli.OK


def test_codes_for_programs(honest: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["verify", str(honest), "--json"]) == cli.OK
    found = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    codes = {finding["line"]: finding["code"] for finding in found if finding["verdict"] == "refused"}
    assert codes == {3: "version.unsupported", 4: "signature.invalid", 5: "carrier.malformed"}


def test_every_flipped_character_is_found_and_its_line_named(
    honest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = honest.read_bytes()
    for place in range(0, len(whole), 7):
        flipped = tmp_path / "flipped.jsonl"
        flipped.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        number = whole[:place].count(b"\n") + 1
        assert cli.main(["verify", str(flipped), "--quiet"]) == cli.FAILED, place
        damaged = [line for line in capsys.readouterr().out.splitlines() if ": damaged: " in line]
        assert damaged[0].startswith((f"line {number}:", f"line {number + 1}:")), place


def direct(folder: Path, *carriers: bytes, name: str = "direct.jsonl") -> Path:
    """What eve's account sent to an agent directly."""
    writer = Writer()
    data = writer.header(created_ms=NOW_MS, recorder="matrix:u/ada:example.org")
    for carrier in carriers:
        event = {"type": "net.clawnet.direct", "content": {"net.clawnet.carriers": [json.loads(carrier)]}}
        data += writer.entry(
            transport="matrix", plane="direct", room="", sender=EVE.address, event_id="",
            event=json.dumps(event), received_ms=NOW_MS,
        )  # fmt: skip
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("at_hand", [False, True])
def test_what_was_sealed_is_opened_only_with_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], at_hand: bool
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ada, other = (identity.create(tmp_path / "clawnet" / name / "keys") for name in ("ada", "other"))
    hello = EVE.carrier(
        handshake.Hello(versions=("1",), address=presence.Address(uri=EVE.address)), recipients=(ada.did,)
    )
    path = direct(
        tmp_path,
        EVE.carrier(samples.announce(EVE)),
        seal_carrier(ada.seal.public, ada.did, hello),
        seal_carrier(other.seal.public, other.did, hello),
    )
    options = ("--name", "ada") if at_hand else ()
    assert cli.main(["verify", str(path), "--strict", "--json", *options]) == cli.OK
    found = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [finding["verdict"] for finding in found] == ["bound", "bound" if at_hand else "unopened", "unopened"]
    assert [finding["code"] for finding in found] == ["", "" if at_hand else "sealed.unopened", "sealed.unopened"]
    assert cli.main(["verify", str(path), *options]) == cli.OK
    assert f"{1 if at_hand else 2} unopened (sealed to a key not at hand)" in capfdbinary.readouterr().out.decode()


def test_what_a_key_was_not_allowed_to_say_is_told(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    new, thief = Author("eve's next key"), Author("a thief")
    announce = samples.announce(EVE, next_key_digest=digest(new.key.public))
    since = NOW_MS + 5
    later: Json = {"sender": EVE.did, "sent_ms": since}
    follows = some_digest("the key after")
    said = (
        EVE.carrier(announce),
        new.carrier(samples.announce(EVE, 2, next_key_digest=follows), **later),  # ahead of its proof
        new.carrier(samples.rotation(EVE, new, since_ms=since), **later),
        EVE.carrier(announce, sent_ms=since),
        thief.carrier(announce, **later),
    )
    path = transcript(tmp_path, *map(json.loads, said))
    assert cli.main(["verify", str(path), "--json"]) == cli.OK
    found = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [(finding["verdict"], finding["code"]) for finding in found] == [
        ("bound", "key.retired"),
        ("bound", ""),
        ("bound", ""),
        ("refused", "key.not_authorized"),
        ("refused", "key.unproven"),
    ]
    assert cli.main(["verify", str(path), "--strict"]) == cli.FAILED
