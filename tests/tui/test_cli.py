"""What is typed at the shell is taken as it is meant, or refused with a sentence."""

from __future__ import annotations

import pytest

from tui.cli import USAGE, _source, main, parser
from tui.sources.synthetic import Synthetic


class TestTheMadeUpMesh:
    @pytest.mark.parametrize("arguments", [["tail", "--demo", "--agents", "0"], ["record", "--demo", "--agents", "0"]])
    def test_no_agents_are_not_twelve(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(arguments) == USAGE
        assert "agents, not 0" in capsys.readouterr().err

    def test_seed_0_is_a_seed_of_its_own(self) -> None:
        def did_of(*arguments: str) -> str:
            source = _source(parser().parse_args(["demo", *arguments]))
            assert isinstance(source, Synthetic) and source.key is not None
            return source.key.did

        assert did_of("--seed", "0") != did_of("--seed", "1") == did_of()
        assert did_of("--seed", "0") == did_of("--seed", "0")


class TestTheme:
    @pytest.mark.parametrize("arguments", [["demo"], ["--web", "demo"], ["--replay", "nowhere.jsonl"]])
    def test_one_that_is_not_there_is_refused_first(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TEXTUAL_DRIVER", "nowhere:Driver")
        assert main(["--theme", "nope", *arguments]) == USAGE
        assert "There is no theme nope" in capsys.readouterr().err
