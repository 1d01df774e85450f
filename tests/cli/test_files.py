"""Files that cannot be written, and a configuration that cannot be announced: one sentence, and no dead end."""

from __future__ import annotations

import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bots import cli, config, identity
from bots.errors import ConfigError, StoreError
from bots.recorder import Recorder
from bots.transports import Delivery
from clawnet_proto.errors import TranscriptError
from clawnet_proto.keys import write_key_file
from clawnet_proto.transcript import read

DELIVERY = Delivery(
    transport="matrix",
    plane="room",
    room="matrix:roomid/mesh:example.org",
    sender="matrix:u/eve:example.org",
    event_id="$1",
    event="{}",
    received_ms=1_800_000_000_000,
    live=True,
)


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """As on a full disk: no file of this process grows over so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestRecorder:
    def test_a_line_that_does_not_fit_is_taken_back(self, tmp_path: Path) -> None:
        path = tmp_path / "today.jsonl"
        recorder = Recorder(path)
        recorder.begin(created_ms=1, recorder="matrix:u/ada:example.org")
        recorder.record(DELIVERY)
        whole = path.read_bytes()
        with no_file_over(len(whole) + 50), pytest.raises(StoreError) as caught:
            recorder.record(DELIVERY)
        assert caught.value.code == "record.failed"
        assert str(path) in caught.value.message
        assert caught.value.hint
        recorder.close()
        assert path.read_bytes() == whole
        assert not [record for _, record in read(io.BytesIO(whole)) if isinstance(record, TranscriptError)]


class TestKeys:
    @pytest.mark.parametrize("missing", ["seal", "next", "identity"])
    def test_half_a_set_is_completed(self, tmp_path: Path, missing: str) -> None:
        folder = tmp_path / "keys"
        identity.create(folder)
        kept = {path: path.read_bytes() for path in folder.iterdir() if path.stem != missing}
        (folder / f"{missing}.key").unlink()
        # The record of the keys is made once they are all there.
        kept.pop(folder / "history.json")
        (folder / "history.json").unlink()
        assert not identity.complete(folder)
        identity.create(folder)
        assert identity.complete(folder)
        assert {path: path.read_bytes() for path in kept} == kept

    def test_a_full_disk_leaves_no_identity_behind(self, tmp_path: Path) -> None:
        folder = tmp_path / "keys"
        with no_file_over(10), pytest.raises(ConfigError) as caught:
            identity.create(folder)
        assert caught.value.code == "keys.unwritable"
        assert list(folder.iterdir()) == []
        identity.create(folder)

    def test_the_identity_is_made_last(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "keys"
        made = []

        def note(path: Path, secret: bytes, purpose: str) -> None:
            made.append(purpose)
            write_key_file(path, secret, purpose)

        monkeypatch.setattr("bots.identity.write_key_file", note)
        identity.create(folder)
        assert made[-1] == "identity"

    def test_init_goes_on_after_an_interruption(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        with no_file_over(10):
            assert cli.main(["init", "--name", "ada"]) == cli.USAGE
        assert capsys.readouterr().err.startswith("clawbot: The key file ")
        assert cli.main(["init", "--name", "ada"]) == cli.OK


class TestTransports:
    @pytest.mark.parametrize(
        "flags, matrix, hub",
        [
            (["--room", "#a:b"], ("#a:b",), ()),
            (["--hub", "https://h", "--room", "#a:b", "--room", "c"], (), ("#a:b", "c")),
            (["--homeserver", "https://b", "--room", "#a:b", "--room", "c"], ("#a:b", "c"), ()),
            (
                ["--homeserver", "https://b", "--hub", "https://h", "--room", "#a:b", "--room", "c", "--room", "!d"],
                ("#a:b", "!d"),
                ("c",),
            ),
        ],
    )
    def test_init_puts_each_room_where_it_belongs(
        self,
        flags: list[str],
        matrix: tuple[str, ...],
        hub: tuple[str, ...],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        path = tmp_path / "made.toml"
        assert cli.main(["init", "--name", "ada", "--config", str(path), *flags]) == cli.OK
        made = config.load(path)
        assert (made.matrix.rooms, made.http.rooms) == (matrix, hub)


class TestRegion:
    def test_what_cannot_be_announced_is_refused_when_it_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "config.toml"
        path.write_text('[agent]\nregion = "EU West"\n')
        with pytest.raises(ConfigError, match=r"is wanted in agent\.region"):
            config.load(path)
        monkeypatch.setenv("CLAWNET_AGENT_REGION", "EU West")
        with pytest.raises(ConfigError, match="The environment variable for region: one word of small letters"):
            config.load(None)

    @pytest.mark.parametrize("region", ["", "eu", "eu-north.1"])
    def test_what_can_be_announced(self, tmp_path: Path, region: str) -> None:
        path = tmp_path / "config.toml"
        path.write_text(f'[agent]\nregion = "{region}"\n')
        assert config.load(path).agent.region == region
