"""``clawbot verify``: a changed character is found; a stranger's junk is no fault of who recorded it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bots import cli
from clawnet_proto.transcript import Writer
from tests.agent.simulated import echo, request
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author

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
