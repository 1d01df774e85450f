"""The keys of an agent: made once, for its eyes alone, and never in a log."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bots import identity
from bots.errors import ConfigError
from clawnet_proto.keys import decode_did, verify
from clawnet_proto.sealing import seal

NAMES = ("identity.key", "next.key", "seal.key")
RECORD = "history.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys"


def test_made_and_read_again_they_are_the_same(folder: Path) -> None:
    made = identity.create(folder)
    read = identity.load(folder)
    assert (made.did, made.next_key_digest, made.seal.public) == (read.did, read.next_key_digest, read.seal.public)
    verify(decode_did(made.did), b"words", read.key.sign(b"words"))
    assert read.seal.open(seal(made.seal.public, b"secret", "place"), "place") == b"secret"


def test_two_agents_have_nothing_in_common(tmp_path: Path) -> None:
    first, second = identity.create(tmp_path / "a"), identity.create(tmp_path / "b")
    assert first.did != second.did
    assert first.seal.public != second.seal.public
    assert first.next_key_digest != second.next_key_digest


def test_files_and_folders_are_for_the_owner_alone(folder: Path) -> None:
    identity.create(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted((*NAMES, RECORD))
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}


def test_keys_that_are_there_are_never_written_over(folder: Path) -> None:
    made = identity.create(folder)
    with pytest.raises(ConfigError) as caught:
        identity.create(folder)
    assert caught.value.code == "keys.exist"
    assert identity.load(folder).did == made.did


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["missing", "garbage", "empty", "open to others", "of another purpose"])
def test_keys_that_cannot_be_used_are_named(folder: Path, name: str, fault: str) -> None:
    identity.create(folder)
    path = folder / name
    if fault == "missing":
        path.unlink()
    elif fault == "garbage":
        path.write_bytes(b"\x00\xff" * 40)
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "open to others":
        path.chmod(0o640)
    else:
        path.write_bytes((folder / NAMES[NAMES.index(name) - 1]).read_bytes())
    with pytest.raises(ConfigError) as caught:
        identity.load(folder)
    assert caught.value.code == "keys.unreadable"
    assert name in caught.value.message
    assert "\n" not in str(caught.value)


def test_no_secret_is_ever_shown(folder: Path) -> None:
    made = identity.create(folder)
    shown = repr(made) + str(made)
    for path in folder.iterdir():
        for word in path.read_text().split():
            if len(word) >= 32:
                assert word not in shown
    assert made.key.seed.hex() not in shown
