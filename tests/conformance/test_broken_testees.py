"""Testees that break the rules, each in one way: each gets the right report, and none leaves a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bots.conformance.run import Outcome, run
from bots.conformance.vectors import load
from bots.errors import ClawbotError, ConfigError
from tests.conformance.samples import Vector, conversation, folder, malformed, program, starts, trace, uri, uris

Try = Callable[..., Outcome]
PATIENCE_S = 3.0


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    """Run vectors on the testee that some code makes; afterwards every process that was started is gone."""

    def run_it(vectors: Sequence[Vector], code: str = "", **options: object) -> Outcome:
        files = load(folder(tmp_path / "vectors", {"sample": vectors}))
        command = program(tmp_path, code)
        try:
            return run(files, command, **{"timeout_s": 60.0, **options})  # type: ignore[arg-type]
        finally:
            for pid in starts(tmp_path):
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)

    return run_it


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {result.vector.id: result.verdict for result in outcome.results}


def failed(outcome: Outcome) -> dict[str, str]:
    """What each failed vector got."""
    return {result.vector.id: result.failure.got for result in outcome.results if result.failure is not None}


EVERYTHING = [uri("a"), malformed(), conversation("b", "c"), trace("x", "y", "z")]


def test_a_good_one_passes_everything_in_one_start(attempt: Try, tmp_path: Path) -> None:
    outcome = attempt(EVERYTHING)
    assert outcome.passed
    assert set(verdicts(outcome).values()) == {"passed"}
    assert [result.orders for result in outcome.results] == [0, 0, 0, 6]
    assert len(starts(tmp_path)) == 1


def test_many_more_requests_than_a_pipe_holds(attempt: Try, tmp_path: Path) -> None:
    long = "x" * 100_000
    outcome = attempt([uri(f"{number:03}{long}") for number in range(100)], 'sys.stderr.write("!" * 1_000_000)\n')
    assert outcome.passed
    assert len(starts(tmp_path)) == 1


def test_a_wrong_answer(attempt: Try) -> None:
    outcome = attempt(
        [uri("a"), uri("boom"), uri("c")],
        'def answer(request):\n    say({"ok": {"uri": "x"}} if boom(request) else right(request))\n',
    )
    assert verdicts(outcome) == {"uri-a": "passed", "uri-boom": "failed", "uri-c": "passed"}
    failure = outcome.results[1].failure
    assert failure is not None
    assert (failure.where, failure.expected, failure.got) == ("/uri", '"matrix:u/boom:example.org"', '"x"')
    assert failure.request == {"id": "@boom:example.org"}


def test_an_error_instead_of_an_answer_and_the_other_way_round(attempt: Try) -> None:
    code = 'def answer(request):\n    say({"error": "size.carrier"} if "id" in request else {"ok": {}})\n'
    assert failed(attempt([uri("a"), malformed()], code)) == {"uri-a": 'error "size.carrier"', "did-short": "ok {}"}


def test_the_wrong_answer_within_a_conversation(attempt: Try) -> None:
    code = 'def answer(request):\n    say({"error": "size.carrier"} if boom(request) else right(request))\n'
    outcome = attempt([conversation("a", "boom", "b"), uri("c")], code)
    assert verdicts(outcome) == {"talk": "failed", "uri-c": "passed"}
    failure = outcome.results[0].failure
    assert failure is not None and failure.step == 1


def test_a_state_that_depends_on_the_order(attempt: Try) -> None:
    code = """
first = []
def answer(request):
    if request["op"] == "mesh.reset":
        first.clear()
    elif request["op"] == "mesh.add":
        first.append(request["address"])
    told = right(request)
    if request["op"] == "mesh.state" and first[0] == "z":
        told["ok"]["state"]["live"] = first
    say(told)
"""
    (result,) = attempt([trace("x", "y", "z")], code).results
    assert (result.verdict, result.orders, result.failed_orders) == ("failed", 6, 1 + 1)
    assert result.failure is not None
    assert result.failure.order == (2, 0, 1)
    assert result.failure.where == "/state/live/0"


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "",
        "[]",
        "{}",
        '{"ok":1}',
        '{"ok":{},"ok":{}}',
        '{"ok":{}} {}',
        '{"ok":{"a":NaN}}',
        '{"error":1}',
        '{"ok":{},"error":"size.carrier"}',
        '{"fine":{}}',
        "[" * 100_000,
        '{"ok":{"uri":' + "[" * 985 + "]" * 985 + "}}",
    ],
)
def test_a_line_that_is_no_answer(attempt: Try, tmp_path: Path, line: str) -> None:
    outcome = attempt(
        [uri("a"), uri("boom"), uri("c")],
        f"def answer(request):\n    say({line!r} if boom(request) else right(request))\n",
    )
    assert verdicts(outcome) == {"uri-a": "passed", "uri-boom": "failed", "uri-c": "passed"}
    assert failed(outcome)["uri-boom"].startswith("The testee wrote a line that is no answer (")
    assert len(starts(tmp_path)) == 2


@pytest.mark.parametrize(
    "code",
    [
        """say({"error": "e" + "x" * 1_000_000 + "nd"})""",
        """say({"ok": {"uri": "e" + "x" * 1_000_000 + "nd"}})""",
        """say({"ok": {"e" + "x" * 1_000_000 + "nd": 1, **right(request)["ok"]}})""",
    ],
)
def test_of_a_long_answer_only_the_ends_are_kept(attempt: Try, code: str) -> None:
    outcome = attempt(uris(3), f"def answer(request):\n    {code}\n")
    for result in outcome.results:
        failure = result.failure
        assert failure is not None
        long = max((failure.got, failure.where), key=len)
        assert len(long) < 5000
        assert '"ex' in long or long.startswith("/ex")
        assert long.endswith(('nd"', "nd"))
        assert failure.where or failure.got_characters > 1_000_000


def test_of_a_long_expectation_only_the_ends_are_kept(attempt: Try) -> None:
    vector = uri("boom", expect={"ok": {"uri": "x" * 100_000}})
    (result,) = attempt([vector]).results
    assert result.failure is not None
    assert len(result.failure.expected) < 5000
    assert result.failure.expected_characters == 100_002


def test_bytes_that_are_no_text(attempt: Try) -> None:
    code = 'def answer(request):\n    sys.stdout.buffer.write(b\'{"error":"\\xff"}\\n\'); sys.stdout.flush()\n'
    with pytest.raises(ClawbotError, match="not UTF-8"):
        attempt(uris(5), code)


def test_a_line_without_an_end(attempt: Try) -> None:
    code = """
def answer(request):
    if boom(request):
        while True:
            sys.stdout.write("x" * (1 << 20))
    say(right(request))
"""
    outcome = attempt([uri("a"), uri("boom"), uri("c")], code)
    assert verdicts(outcome) == {"uri-a": "passed", "uri-boom": "failed", "uri-c": "passed"}
    assert failed(outcome)["uri-boom"] == "The testee wrote a line of more than 25165824 bytes."


def test_no_answer(attempt: Try, tmp_path: Path) -> None:
    code = "def answer(request):\n    boom(request) or say(right(request))\n"
    outcome = attempt([uri("a"), uri("boom")], code, timeout_s=PATIENCE_S)
    assert verdicts(outcome) == {"uri-a": "passed", "uri-boom": "failed"}
    assert failed(outcome)["uri-boom"] == "The testee gave no answer within 3 s."


def test_one_that_dies(attempt: Try, tmp_path: Path) -> None:
    code = """
def answer(request):
    if boom(request):
        sys.exit("no idea what to say\\nto that")
    say(right(request))
"""
    outcome = attempt([*uris(5), uri("boom"), *EVERYTHING], code)
    assert [result.vector.id for result in outcome.results if result.bad] == ["uri-boom"]
    assert len(outcome.results) == 10
    failure = outcome.results[5].failure
    assert failure is not None
    assert failure.got == "The testee ended with status 1 instead of giving an answer."
    assert failure.stderr == ("no idea what to say", "to that")
    assert len(starts(tmp_path)) == 2


def test_one_that_dies_in_the_middle_of_an_answer(attempt: Try) -> None:
    code = """
def answer(request):
    if boom(request):
        os.write(1, b'{"ok":')
        os.kill(os.getpid(), 9)
    say(right(request))
"""
    outcome = attempt([uri("a"), uri("boom"), uri("c")], code)
    assert failed(outcome) == {"uri-boom": "The testee ended with signal SIGKILL in the middle of an answer."}


def test_one_that_dies_in_the_middle_of_a_trace(attempt: Try, tmp_path: Path) -> None:
    code = """
seen = []
def answer(request):
    seen.append(request.get("address"))
    if seen[-2:] == ["z", "x"]:
        os._exit(7)
    say(right(request))
"""
    outcome = attempt([uri("a"), trace("x", "y", "z"), conversation("b", "c")], code)
    assert verdicts(outcome) == {"uri-a": "passed", "trace-all": "failed", "talk": "passed"}
    failure = outcome.results[1].failure
    assert failure is not None and failure.order == (1, 2, 0)
    assert len(starts(tmp_path)) == 2


def test_one_that_closes_its_output(attempt: Try) -> None:
    code = """
def answer(request):
    if boom(request):
        os.close(1)
        time.sleep(600)
    say(right(request))
"""
    outcome = attempt([uri("a"), uri("boom"), uri("c")], code, timeout_s=PATIENCE_S)
    assert failed(outcome) == {"uri-boom": "The testee closed its standard output instead of giving an answer."}


def test_one_that_dies_each_time_is_given_up_and_the_rest_is_not_run(attempt: Try, tmp_path: Path) -> None:
    code = 'def answer(request):\n    say(right(request)) if "a" in request["id"] else sys.exit(1)\n'
    outcome = attempt([uri("a", id="first"), *[uri(f"{n}", request={"id": "b"}) for n in range(20)]], code)
    assert len(starts(tmp_path)) == 10
    counts = [result.verdict for result in outcome.results]
    assert (counts.count("passed"), counts.count("failed"), counts.count("not_run")) == (1, 10, 10)
    assert outcome.faults == ["The testee broke 10 times, and was given up."]


@pytest.mark.parametrize(
    "code, why",
    [
        ("sys.exit('I am broken')\n", "ended with status 1 .* I am broken"),
        ("def answer(request):\n    say('starting')\n", r"it wrote a line that is no answer \(.*\): starting"),
        ("os.close(0); sys.exit(0)\n", "ended with status 0"),
    ],
)
def test_one_that_never_answers_ends_the_run(attempt: Try, tmp_path: Path, code: str, why: str) -> None:
    with pytest.raises(ClawbotError, match=why) as caught:
        attempt(uris(50), code)
    assert caught.value.code == "conformance.no_answers"
    assert caught.value.hint
    assert len(starts(tmp_path)) == 3


def test_one_that_says_more_than_it_is_asked(attempt: Try) -> None:
    outcome = attempt(uris(3), "def answer(request):\n    say(right(request)); say(right(request))\n")
    (fault,) = outcome.faults
    assert "nobody had asked for" in fault
    assert not outcome.passed


def test_one_that_speaks_first_of_many(attempt: Try) -> None:
    outcome = attempt(uris(300), 'for _ in range(400): say({"ok": {}})\n')
    assert len(outcome.faults) == 1
    assert len(outcome.results) == 300
    assert not outcome.passed


@pytest.mark.parametrize(
    "code, fault",
    [
        ("import atexit; atexit.register(os._exit, 3)\n", "ended with status 3, not with status 0"),
        ("import atexit; atexit.register(time.sleep, 600)\n", "goes on for 3 s after the end of its input"),
        ("import atexit; atexit.register(say, 'bye')\n", "nobody had asked for"),
        ("import atexit; atexit.register(os.write, 1, b'bye')\n", "a line without an end"),
    ],
)
def test_one_that_does_not_end_as_it_should(attempt: Try, code: str, fault: str) -> None:
    outcome = attempt(uris(3), code, timeout_s=PATIENCE_S)
    assert set(verdicts(outcome).values()) == {"passed"}
    assert len(outcome.faults) == 1 and fault in outcome.faults[0]
    assert not outcome.passed


def test_one_that_floods_its_standard_error(attempt: Try) -> None:
    code = """
def answer(request):
    sys.stderr.write("noise\\n" * 200_000)
    if boom(request):
        sys.exit("the end")
    say(right(request))
"""
    outcome = attempt([uri("a"), uri("boom"), uri("c")], code)
    assert verdicts(outcome) == {"uri-a": "passed", "uri-boom": "failed", "uri-c": "passed"}
    failure = outcome.results[1].failure
    assert failure is not None
    assert len(failure.stderr) == 8 and failure.stderr[-1] == "the end"


def test_what_a_testee_starts_ends_with_it(attempt: Try, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    code = f"""
import subprocess
writer = os.open({str(pipe)!r}, os.O_WRONLY)
subprocess.Popen(["sleep", "600"], pass_fds=[writer])
os.write(writer, b"x")
os.close(writer)
"""
    assert attempt(uris(1), code).passed
    os.set_blocking(reader, True)
    # Its end is seen only once nobody holds the other side any more.
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == b"x"


def test_what_left_the_testees_group_holds_nothing_up(attempt: Try, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # It reads from us, so it ends with this test; until then it holds the testee's outputs open.
    writer = os.open(pipe, os.O_RDWR)
    code = f"""
import subprocess
subprocess.Popen(["cat"], stdin=os.open({str(pipe)!r}, os.O_RDONLY), start_new_session=True)
"""
    try:
        assert attempt(uris(3), code).passed
        dying = "def answer(request):\n    sys.exit(1) if boom(request) else say(right(request))\n"
        assert verdicts(attempt([uri("boom"), uri("c")], code + dying)) == {"uri-boom": "failed", "uri-c": "passed"}
    finally:
        os.close(writer)


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    files = load(folder(tmp_path / "vectors", {"sample": uris(1)}))
    with pytest.raises(ConfigError, match="cannot be started: No such file"):
        run(files, [str(tmp_path / "none")])
    with pytest.raises(ConfigError, match="cannot be started: Permission denied"):
        run(files, [str(tmp_path / "vectors" / "sample.json")])


def test_the_first_failure_may_end_the_run(attempt: Try) -> None:
    code = 'def answer(request):\n    say({"ok": {}} if boom(request) else right(request))\n'
    outcome = attempt([uri("a"), uri("boom"), uri("c"), trace("x", "y")], code, fail_fast=True)
    assert verdicts(outcome) == {"uri-a": "passed", "uri-boom": "failed", "uri-c": "not_run", "trace-all": "not_run"}


SEAL = {
    "id": "seal",
    "about": "sealed",
    "requirements": ["SEAL-1"],
    "op": "prompt",
    "request": {"parts": [], "sources": {}},
    "expect": {"ok": {"prompt": ""}},
}


@pytest.mark.parametrize(
    "implementation, trace_verdict, prompt_verdict, ordered_verdict",
    [
        ("verifier", "skipped", "skipped", "skipped"),
        ("observer", "unsupported", "skipped", "passed"),
        ("executor", "unsupported", "unsupported", "passed"),
    ],
)
def test_what_a_class_need_not_support_is_skipped(
    attempt: Try, implementation: str, trace_verdict: str, prompt_verdict: str, ordered_verdict: str
) -> None:
    code = """
def answer(request):
    say({"unsupported": request["op"]} if request["op"].startswith("mesh") else right(request))
"""
    vectors = [trace("x", "y"), SEAL, uri("a"), uri("b", **{"class": "observer"})]
    outcome = attempt(vectors, code, implementation=implementation)
    assert verdicts(outcome) == {
        "trace-all": trace_verdict,
        "seal": prompt_verdict,
        "uri-a": "passed",
        "uri-b": ordered_verdict,
    }
    assert outcome.passed == (implementation == "verifier")


def test_unsupported_names_the_operation(attempt: Try) -> None:
    outcome = attempt([uri("a")], 'def answer(request):\n    say({"unsupported": "verify"})\n')
    assert failed(outcome) == {"uri-a": 'unsupported "verify"'}


@pytest.mark.parametrize(
    "vectors",
    [[], [trace("x", "y"), SEAL], [SEAL, uri("b", **{"class": "observer"})], [uri("b", **{"class": "observer"})]],
)
def test_a_run_in_which_nothing_is_tested_is_not_passed(tmp_path: Path, vectors: Sequence[Vector]) -> None:
    code = 'def answer(request):\n    say({"unsupported": request["op"]})\n'
    files = load(folder(tmp_path / "vectors", {"sample": vectors}))
    outcome = run(files, program(tmp_path, code), implementation="verifier")
    assert set(verdicts(outcome).values()) <= {"skipped"}
    assert outcome.faults == ["Nothing was tested: the class verifier needs none of these vectors."]
    assert not outcome.passed
