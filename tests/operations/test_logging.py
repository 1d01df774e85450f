"""Logs: about which message, task and peer, one line each, and never a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bots.events import MessageSeen, StageText, TaskEnded
from bots.logging_format import FIELDS, REMOVED, Format, JsonLines, TextLines, about, configure, log_event


class Lines:
    """A logger of its own, and what it has written."""

    def __init__(self, style: Format) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(JsonLines() if style == "json" else TextLines())
        self.log = logging.getLogger("bots.test")
        self.log.handlers, self.log.propagate = [handler], False
        self.log.setLevel(logging.DEBUG)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def test_a_line_says_what_it_is_about() -> None:
    lines = Lines("json")
    with about(message_id="m1", task="t1", peer="did:key:z6Mk"):
        lines.log.info("%d messages", 3)
        with about(stage="draft", attempt=2, task="t2"):
            lines.log.warning("inner", extra={"code": "engine.failed"})
    lines.log.info("outside")
    first, inner, outside = lines.json
    assert (first["message"], first["level"], first["logger"]) == ("3 messages", "info", "bots.test")
    assert (first["message_id"], first["task"], first["peer"]) == ("m1", "t1", "did:key:z6Mk")
    assert (inner["task"], inner["stage"], inner["attempt"], inner["code"]) == ("t2", "draft", 2, "engine.failed")
    assert not set(outside) & set(FIELDS)
    assert first["time"].endswith("Z")


def test_the_same_as_text() -> None:
    lines = Lines("text")
    with about(task="t1", peer="did:key:z6Mk", address='a b="c"'):
        lines.log.info("done")
    assert lines.text.endswith(' INFO bots.test: done task=t1 peer=did:key:z6Mk address="a b=\\"c\\""\n')


async def test_work_that_goes_on_keeps_what_it_is_about() -> None:
    lines = Lines("json")
    begun, go = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go.wait()
        lines.log.info("worked")

    with about(task="mine"):
        task = asyncio.ensure_future(work())
    await begun.wait()
    with about(task="other"):
        go.set()
        await task
    assert lines.json[0]["task"] == "mine"


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_others_said_is_one_line_and_steers_no_terminal(style: Format) -> None:
    lines = Lines(style)
    hostile = "a\nFAKE line\r\x1b[31m\u2028\u202ered\x00"
    lines.log.warning("%s", hostile, extra={"address": hostile, "event_id": hostile})
    assert lines.text.count("\n") == 1 and len(lines.text.splitlines()) == 1
    assert all(character.isprintable() for character in lines.text.rstrip("\n"))
    if style == "json":
        assert lines.json[0]["message"] == hostile


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "text",
    [
        "GET /sync?access_token=SECRET&since=1",
        '{"access_token": "SECRET", "user": 1}',
        "{'password': 'SECRET'}",
        "Authorization: Bearer SECRET",
        "got syt_SECRET_SECRET_1",
        "got mat_SECRETSECRET",
        "password: SECRET",
        "CLAWNET_MATRIX_PASSWORD=SECRET",
        'password = "two SECRET words"',
        "{'password': 'it\\'s SECRET'}",
        '{"password": "a \\"SECRET\\" b"}',
        'body was "{\\"access_token\\": \\"a SECRET b\\"}"',
        'client_secret=ab"SECRET',
        "clawnet-identity-key-1:SECRET",
        "mxc://example.org/abc#SECRET",
    ],
)
def test_secrets_are_taken_out_of_messages_and_tracebacks(style: Format, text: str) -> None:
    lines = Lines(style)
    lines.log.error("%s", text)
    try:
        raise ValueError(text)
    except ValueError:
        lines.log.exception("failed")
    assert "SECRET" not in lines.text
    assert lines.text.count(REMOVED) >= 2
    assert "ValueError" in lines.text
    if style == "json":
        assert [line["level"] for line in lines.json] == ["error", "error"]


@pytest.mark.parametrize("style", ["text", "json"])
def test_secrets_are_taken_out_of_what_a_line_is_about(style: Format) -> None:
    lines = Lines(style)
    with about(stage="password: SECRET", address='x "access_token": "a SECRET b"'):
        lines.log.info("done", extra={"code": ValueError("Bearer SECRET")}, stack_info=True)
    assert "SECRET" not in lines.text
    assert lines.text.count(REMOVED) >= 3
    if style == "json":
        assert lines.json[0]["code"] == f"Bearer {REMOVED}"


def test_what_becomes_a_secret_only_as_a_line_is_taken_out() -> None:
    lines = Lines("text")
    lines.log.info("pass\x00word=SECRET")
    assert "SECRET" not in lines.text and REMOVED in lines.text


@pytest.mark.parametrize("style", ["text", "json"])
def test_half_a_character_hides_nothing_and_breaks_nothing(style: Format, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(style)
    hostile = "half \ud800 and password: SECRET"
    lines.log.error("%s", hostile, extra={"address": hostile})
    assert "half \\ud800" in lines.text.replace("\\\\", "\\")
    assert "SECRET" not in lines.text and lines.text.count(REMOVED) == 2
    assert capsys.readouterr().err == ""


def test_a_record_that_cannot_be_formatted_is_not_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_root():
        configure(io.StringIO(), "json", "debug")
        logging.getLogger("bots.test.broken").error("%d", "password: SECRET")
    assert capsys.readouterr().err == ""


def test_sentences_about_secrets_are_left_alone() -> None:
    lines = Lines("text")
    sentence = "The password is wanted. The secret stays one: 41 tokens, max_tokens=5. CLAWNET_PASSWORD_FILE=/run/x"
    lines.log.info(sentence)
    assert sentence in lines.text


def test_a_traceback_is_in_its_line() -> None:
    lines = Lines("json")
    try:
        raise ValueError("x")
    except ValueError:
        lines.log.exception("failed")
    (line,) = lines.json
    assert "Traceback" in line["exception"] and "ValueError: x" in line["exception"]


@contextmanager
def bare_root() -> Iterator[None]:
    """A root logger as a process begins with it."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers[:] = []
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.raiseExceptions = raises


def test_events_are_logged_without_what_was_said() -> None:
    stream = io.StringIO()
    with bare_root():
        configure(stream, "json", "debug")
        _tell_all()
    written = stream.getvalue()
    assert "private" not in written
    seen, ended = (json.loads(line) for line in written.splitlines())
    assert (seen["message_id"], seen["task"], seen["peer"], seen["type"]) == ("m1", "t1", "did:key:z", "task.result")
    assert (ended["task"], ended["state"], ended["code"], ended["level"]) == ("t1", "failed", "deadline", "info")


def _tell_all() -> None:
    log_event(
        MessageSeen(
            at_ms=1, verdict="bound", id="m1", type="task.result", sender="did:key:z", address="matrix:u/a:b",
            thread="t1", line="the answer is a private matter",
        )
    )  # fmt: skip
    log_event(StageText(at_ms=1, task="t1", stage="draft", attempt=1, offset=0, text="a private matter"))
    log_event(TaskEnded(at_ms=1, task="t1", outcome="failed", code="deadline", text="a private matter"))
