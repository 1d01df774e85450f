"""``clawbot ask``: stream the answer of the mesh."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bots.cli import FAILED, OK
from bots.cli.printing import Printer
from bots.cli.session import answers
from bots.cli.terminal import write_json, write_line
from bots.errors import ClawbotError, ConfigError
from bots.events import TaskEnded
from bots.requests import Ask


def main(options: argparse.Namespace) -> int:
    question = sys.stdin.read() if options.question == "-" else options.question
    if not question.isprintable() and any("\ud800" <= character <= "\udfff" for character in question):
        raise ConfigError("ask.not_text", "The question is not UTF-8 text.", "Write it in UTF-8.")
    if not question.strip():
        raise ConfigError("ask.empty", "The question is empty.", 'Write: clawbot ask "..."')
    if (options.max_tokens is not None and not 1 <= options.max_tokens <= 8192) or not 1 <= options.timeout <= 86400:
        raise ConfigError("ask.range", "--max-tokens is 1 to 8192, --timeout 1 to 86400 seconds.")
    request = Ask(
        question=question.strip(),
        room=(options.room or [""])[0],
        stages=tuple(stage.strip() for stage in options.stages.split(",") if stage.strip()),
        model=options.model,
        private=options.private,
        to=options.to,
        max_tokens=options.max_tokens,
        timeout_s=options.timeout,
        roles=tuple(options.prefer_role),
        models=tuple(options.prefer_model),
        regions=tuple(options.prefer_region),
        peers=tuple(options.prefer_peer),
    )
    return asyncio.run(_ask(options, request))


async def _ask(options: argparse.Namespace, request: Ask) -> int:
    printer = Printer(sys.stderr, trace=options.trace)
    outcome = None
    async for event in answers(options, request):
        if options.json:
            write_json(sys.stdout, event)
        else:
            printer.show(event)
        if isinstance(event, TaskEnded):
            outcome = OK if event.outcome == "completed" else FAILED
            if not options.json and event.text:
                for line in event.text.strip().split("\n"):
                    write_line(sys.stdout, line)
    if outcome is None:
        raise ClawbotError(
            "agent.gone",
            "The agent stopped before there was an answer.",
            "It goes on with the question when it runs again; see `clawbot tasks`.",
        )
    return outcome
