"""``clawbot conformance``: what it prints, what it writes, and its exit status."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bots import cli
from tests.cli.terminal import terminal
from tests.conformance.samples import folder, malformed, program, starts, trace, uri, uris

WRONG = 'def answer(request):\n    say({"error": "size.carrier"} if boom(request) else right(request))\n'


@pytest.fixture
def vectors(tmp_path: Path) -> str:
    return str(folder(tmp_path / "vectors", {"keys": [malformed()], "names": [uri("a"), uri("boom"), trace("x", "y")]}))


def test_all_passed(vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["conformance", "--vectors", vectors, "--", *program(tmp_path)]) == cli.OK
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == ["✔ keys: 1 passed", "✔ names: 3 passed"]
    assert out.startswith("✔") and out.endswith("Passed.\n") and "NOT" not in out
    assert err == ""


def test_some_failed(vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junit = tmp_path / "junit.xml"
    arguments = ["conformance", "--vectors", vectors, "--junit", str(junit), "--", *program(tmp_path, WRONG)]
    assert cli.main(arguments) == cli.FAILED
    out = capsys.readouterr().out
    assert "✘ uri-boom: the address of boom [MX-1]" in out
    assert 'got       error "size.carrier"' in out
    assert "✘ names: 2 passed, 1 failed" in out
    assert out.endswith("NOT passed.\n")
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "1"


def test_json_for_programs(vectors: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["conformance", "--vectors", vectors, "--json", "--", *program(tmp_path, WRONG)]) == cli.FAILED
    *results, summary = (json.loads(line) for line in capfdbinary.readouterr().out.splitlines())
    assert [result["verdict"] for result in results] == ["passed", "passed", "failed", "passed"]
    assert summary["kind"] == "summary" and summary["total"]["failed"] == 1


def test_json_of_what_no_text_can_say(vectors: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    code = 'def answer(request):\n    say(\'{"ok":{"uri":"matrix:u/a:example.org","\\\\ud800":"\\\\udfff"}}\')\n'
    assert cli.main(["conformance", "--vectors", vectors, "--json", "--", *program(tmp_path, code)]) == cli.FAILED
    results = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert results[1]["failure"]["where"] == "/\\ud800"
    assert results[1]["failure"]["got"] == '"\\udfff"'


def test_the_list_needs_no_testee(vectors: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["conformance", "--vectors", vectors, "--list", "--json"]) == cli.OK
    listed = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [(item["id"], item["subject"], item["op"]) for item in listed] == [
        ("did-short", "keys", "did.decode"),
        ("uri-a", "names", "matrix.uri"),
        ("uri-boom", "names", "matrix.uri"),
        ("trace-all", "names", "mesh"),
    ]


@pytest.mark.parametrize(
    "patterns, ids",
    [
        (["uri-*"], ["uri-a", "uri-boom"]),
        (["names"], ["uri-a", "uri-boom", "trace-all"]),
        (["trace-?ll", "keys"], ["did-short", "trace-all"]),
    ],
)
def test_only_some(vectors: str, capsys: pytest.CaptureFixture[str], patterns: list[str], ids: list[str]) -> None:
    arguments = [word for pattern in patterns for word in ("--only", pattern)]
    assert cli.main(["conformance", "--vectors", vectors, "--list", *arguments]) == cli.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines if line.startswith(" ")] == ids


def test_arguments_of_the_testee_are_its_own(vectors: str, tmp_path: Path) -> None:
    code = 'assert sys.argv[1:] == ["--json", "--", "-x", "--only", "y"]\n'
    command = [*program(tmp_path, code), "--json", "--", "-x", "--only", "y"]
    assert cli.main(["conformance", "--vectors", vectors, "--", *command]) == cli.OK


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "There is no testee. Give its command line after --."),
        (["--", "/does/not/exist"], "The testee /does/not/exist cannot be started: No such file or directory."),
        (["--only", "none", "--", "true"], "No vector is called none."),
        (["--timeout", "0", "--", "true"], "--timeout takes a number of seconds greater than 0."),
        (["--timeout", "nan", "--", "true"], "--timeout takes a number of seconds greater than 0."),
    ],
)
def test_wrong_usage(vectors: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert cli.main(["conformance", "--vectors", vectors, *arguments]) == cli.USAGE
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1


def test_changed_vectors_are_refused(vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(vectors) / "names.json"
    file.write_text(file.read_text().replace("FOLD-2", "FOLD-3"))
    assert cli.main(["conformance", "--vectors", vectors, "--", *program(tmp_path)]) == cli.USAGE
    assert "names.json is not the one of the manifest." in capsys.readouterr().err
    assert not (tmp_path / "starts").exists()


def test_a_program_that_is_no_testee(vectors: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", "print('\\x1b[2Jhello', flush=True); input()"]
    assert cli.main(["conformance", "--vectors", vectors, "--", *command]) == cli.CANNOT
    err = capsys.readouterr().err
    assert "hello" in err and "spec/testee.md" in err
    assert "\x1b" not in err and len(err.splitlines()) == 1


def test_a_report_that_cannot_be_opened_is_seen_before_the_run(
    vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["conformance", "--vectors", vectors, "--junit", str(tmp_path), "--", *program(tmp_path)]
    assert cli.main(arguments) == cli.USAGE
    out, err = capsys.readouterr()
    assert "cannot be written: Is a directory. Name another file with --junit." in err
    assert out == "" and not (tmp_path / "starts").exists()


def test_results_are_told_even_if_the_report_cannot_be_written(
    vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["conformance", "--vectors", vectors, "--junit", "/dev/full", "--", *program(tmp_path)]
    assert cli.main(arguments) == cli.USAGE
    out, err = capsys.readouterr()
    assert out.endswith("Passed.\n")
    assert err == "clawbot: /dev/full cannot be written: No space left on device. Name another file with --junit.\n"


def test_the_report_is_written_even_if_nobody_reads_the_results(
    vectors: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    junit = tmp_path / "junit.xml"
    junit.write_text("of another run " * 1000)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        cli.main(["conformance", "--vectors", vectors, "--junit", str(junit), "--", *program(tmp_path)])
    assert ElementTree.parse(junit).getroot().attrib["tests"] == "4"


def test_nothing_tested_is_not_passed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder(tmp_path / "vectors", {"a": [uri("a")], "b": [trace("x")]}))
    junit = tmp_path / "junit.xml"
    code = 'def answer(request):\n    say({"unsupported": request["op"]})\n'
    options = ["--class", "verifier", "--only", "trace*", "--junit", str(junit)]
    arguments = ["conformance", "--vectors", path, *options, "--", *program(tmp_path, code)]
    assert cli.main(arguments) == cli.FAILED
    out = capsys.readouterr().out
    assert "✘ Nothing was tested: the class verifier needs none of these vectors." in out
    assert out.endswith("NOT passed.\n")
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "1"


def test_a_class_need_not_support_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder(tmp_path / "vectors", {"a": [uri("a"), trace("x")]}))
    code = (
        'def answer(request):\n    say({"unsupported": "mesh.reset"} if "mesh" in request["op"] else right(request))\n'
    )
    command = program(tmp_path, code)
    assert cli.main(["conformance", "--vectors", path, "--class", "verifier", "--", *command]) == cli.OK
    assert "a: 1 passed, 1 skipped" in capsys.readouterr().out
    assert cli.main(["conformance", "--vectors", path, "--", *command]) == cli.FAILED


def test_stopping_at_the_first(vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["conformance", "--vectors", vectors, "--fail-fast", "--", *program(tmp_path, WRONG)]
    assert cli.main(arguments) == cli.FAILED
    assert "names: 1 passed, 1 failed, 1 not run" in capsys.readouterr().out


def test_a_bar_where_somebody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(folder(tmp_path / "vectors", {"a": [*uris(3), uri("boom")]}))
    with terminal() as (stream, screen):
        monkeypatch.setattr(sys, "stderr", stream)
        assert cli.main(["conformance", "--vectors", path, "--", *program(tmp_path, WRONG)]) == cli.FAILED
        shown = screen.read()
    assert "0/4" in shown and "4/4" in shown and "1 failed" in shown
    assert shown.endswith("\r\x1b[K")


def test_ctrl_c_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bots.cli import conformance

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path = str(folder(tmp_path / "vectors", {"a": uris(3)}))
    monkeypatch.setattr(conformance._Bar, "advance", interrupt)
    assert cli.main(["conformance", "--vectors", path, "--", *program(tmp_path)]) == cli.INTERRUPTED
    for pid in starts(tmp_path):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
