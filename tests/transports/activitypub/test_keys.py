from __future__ import annotations

from pathlib import Path

import pytest

from bots.errors import ConfigError
from bots.message_signature import BadSignature
from bots.transports.activitypub import keys
from bots.transports.activitypub.keys import from_multibase, from_pem, open_keys
from tests.transports.activitypub.arrived import OWNER, RSA_ID


def test_the_keys_of_an_actor_are_made_once(tmp_path: Path) -> None:
    made = open_keys(tmp_path / "a")
    again = open_keys(tmp_path / "a")
    assert (made.pem, made.multibase) == (again.pem, again.multibase)
    for path in (tmp_path / "a").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(list((tmp_path / "a").iterdir())) == 2
    assert made.rsa.key_size == 2048 and made.ed25519.seed.hex() not in repr(made)


def test_who_makes_them_at_the_same_moment_has_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = keys._write_rsa

    def late(path: Path) -> None:
        # Meanwhile another process makes its own.
        if not (tmp_path / "activitypub-rsa.pem").exists():
            real(tmp_path / "activitypub-rsa.pem")
        real(path)

    monkeypatch.setattr(keys, "_write_rsa", late)
    made = open_keys(tmp_path)
    monkeypatch.undo()
    assert made.pem == open_keys(tmp_path).pem
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activitypub-rsa.pem", "activitypub.key"]


@pytest.mark.parametrize("name", ["activitypub-rsa.pem", "activitypub.key"])
def test_keys_that_others_can_read_or_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    open_keys(tmp_path)
    path = tmp_path / name
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        open_keys(tmp_path)
    path.chmod(0o600)
    path.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="does not hold"):
        open_keys(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys, "_write_rsa", full)
    with pytest.raises(ConfigError, match="No space left"):
        open_keys(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "a",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        # Of 1024 bits, of Ed25519, and far too long.
        "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C3\n"
        "6rPJj+CvfSC8+q28hxA161QFNUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6\nZ4UMR7EOcpfdUE9Hf3m/hs+FUR45uBJeDK1HSFHD8"
        "bHKD6kv8FPGfJTotc+2xjJw\noYi+1hqp1fIekaxsyQIDAQAB\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n"
        "-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n" + "A" * 10_000,
        "\ud800",
    ],
    ids=range(7),
)
def test_what_is_no_rsa_key_of_ours(pem: str) -> None:
    with pytest.raises(BadSignature):
        from_pem(RSA_ID, OWNER, pem)


@pytest.mark.parametrize(
    "text", ["", "z", "z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc", "m7QEm", "z6Mk" + "1" * 44]
)
def test_what_is_no_ed25519_key(text: str) -> None:
    with pytest.raises(BadSignature):
        from_multibase(RSA_ID, OWNER, text)
