"""``make demo``: a homeserver, a room, three agents and a person on this machine, and one question.

Everything is done by the commands a user has; this only starts them, shows what they say, and stops them again.
``make demo-tui`` is the same with ``clawtui`` in front, and a question every now and then until the person quits it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bots.cli.progress import Progress

_QUESTION = "Who was Albert Einstein?"
_MORE_QUESTIONS = (
    "Why is the sky blue?",
    "What is honey made of?",
    "How do birds find their way?",
    "What is a mesh network good for?",
)
_AGENTS = (("ada", "writer"), ("bert", "critic"), ("cleo", "editor"))
_PERSON = "you"
_READY_S = 180.0
_STOP_S = 15.0
_PAUSE_S = 20.0  # from one question to the next


class DemoError(Exception):
    """A command failed; the text says which, and what it said last."""


class Demo:
    """One run. ``folder`` holds everything but the transcript and is removed at the end."""

    def __init__(self, folder: Path, transcript: Path, question: str, progress: Progress) -> None:
        self._folder = folder
        self._transcript = transcript
        self._question = question
        self._progress = progress
        self._running: list[tuple[str, asyncio.subprocess.Process]] = []
        self._passwords: dict[str, str] = {}

    async def play(self) -> None:
        """The whole demo. Raises DemoError."""
        server = await self._open_room()
        self._say(f"\n{server['room_alias']}, as it happens (✔ bound: signed by that peer, sent from its own account):")
        watch = await self._spawn("watch", "watch", "--name", _PERSON, shown=True)
        await self._gather_agents(server)
        answer = await self._ask(self._question)
        await self._stop(watch)
        self._show(answer)
        await self._close_room()

    async def play_in_front(self) -> None:
        """The demo behind ``clawtui``, until the person quits that. Raises DemoError."""
        server = await self._open_room()
        with self._progress.step("Opening clawtui"):
            window = await self._open_window()
        behind = asyncio.ensure_future(self._talk(server))
        try:
            status = await window.wait()
            if behind.done():
                behind.result()
        finally:
            behind.cancel()
            await asyncio.gather(behind, return_exceptions=True)
        await self._close_room()
        if status:
            raise DemoError(f"clawtui ended with status {status}.")

    # -- steps -----------------------------------------------------------------------------------------------

    async def _open_room(self) -> dict[str, Any]:
        """A homeserver with a room, and the person in it."""
        with self._progress.step("Starting a homeserver on this machine"):
            server = await self._start_homeserver()
        await self._start_agent(server, _PERSON, "person", "--kind", "human", "--engine", "none",
                                run=("--record", str(self._transcript)))  # fmt: skip
        with self._progress.step("Joining the room as a person"):
            await self._until(self._online, _PERSON)
        return server

    async def _gather_agents(self, server: dict[str, Any]) -> None:
        for name, role in _AGENTS:
            await self._start_agent(server, name, role, "--kind", "ai")
        await self._until(self._acquainted, *(name for name, _ in _AGENTS))

    async def _talk(self, server: dict[str, Any]) -> None:
        """Start the agents, then ask for ever."""
        await self._gather_agents(server)
        for question in itertools.cycle((self._question, *_MORE_QUESTIONS)):
            with contextlib.suppress(DemoError):  # the person may cancel what is asked
                await self._ask(question)
            await asyncio.sleep(_PAUSE_S)

    async def _close_room(self) -> None:
        with self._progress.step("Stopping the agents"):
            await self._stop_all(keep="homeserver")
        code, told = await self._call("verify", str(self._transcript), "--quiet", "--name", _PERSON)
        self._say(told.strip())
        if code:
            raise DemoError("The transcript does not verify.")

    async def _start_homeserver(self) -> dict[str, Any]:
        names = [name for name, _ in _AGENTS] + [_PERSON]
        users = [part for name in names for part in ("--user", name)]
        folder = self._folder / "homeserver"
        process = await self._spawn(
            "homeserver", "homeserver", "--directory", str(folder), "--room", "clawnet", "--json", *users, piped=True
        )
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise DemoError(self._last_words("homeserver"))
        server: dict[str, Any] = json.loads(line)
        text = Path(server["accounts"]).read_text()
        for name in names:
            found = [line for line in text.splitlines() if line.startswith(f'"{name}" = ')]
            self._passwords[name] = json.loads(found[0].partition(" = ")[2])
        return server

    async def _start_agent(
        self, server: dict[str, Any], name: str, role: str, *flags: str, run: Sequence[str] = ()
    ) -> None:
        user = f"@{name}:{server['server_name']}"
        code, told = await self._call(
            "init", "--name", name, "--role", role, "--homeserver", server["url"], "--user", user,
            "--room", server["room_alias"], *flags,
        )  # fmt: skip
        if code:
            raise DemoError(told)
        await self._spawn(name, "run", "--name", name, *run)

    async def _online(self) -> bool:
        code, told = await self._call("status", "--name", _PERSON, "--json", quiet=True)
        return code == 0 and json.loads(told)["online"]

    async def _acquainted(self) -> bool:
        """All agents are known, their models too, and hands were shaken."""
        code, told = await self._call("peers", "--name", _PERSON, "--json", quiet=True)
        peers = {peer["name"]: peer for peer in map(json.loads, told.splitlines())} if code == 0 else {}
        for name, _ in _AGENTS:
            peer = peers.get(name)
            if peer is None or not peer.get("models") or peer.get("rtt_ms", -1) < 0:
                return False
        return True

    async def _ask(self, question: str) -> dict[str, Any]:
        code, told = await self._call("ask", question, "--name", _PERSON, "--stages", "draft,critique,revise", "--json")
        events = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        ended = [event for event in events if event["event"] == "answer"]
        if code or not ended:
            raise DemoError(ended[0].get("message", "") if ended else told)
        return dict(ended[0])

    def _show(self, answer: dict[str, Any]) -> None:
        self._say(f"\n{self._question}\n→ {' '.join(answer['text'].split())}\n")
        self._say(f"{'stage':10}{'run by':8}{'model':26}{'tokens':>7}{'tokens/s':>10}")
        for stage in answer["stages"]:
            tokens, millis = stage.get("output_tokens", 0), stage.get("generate_ms", 0)
            speed = f"{1000 * (tokens - 1) / millis:.1f}" if millis and tokens > 1 else "-"
            self._say(f"{stage['stage']:10}{stage['name']:8}{stage.get('model', '-'):26}{tokens:>7}{speed:>10}")
        self._say(f"{len(answer['stages'])} stages by {len({s['name'] for s in answer['stages']})} agents "
                  f"in {answer['elapsed_ms'] / 1000:.1f} s\n")  # fmt: skip

    # -- processes -------------------------------------------------------------------------------------------

    async def _spawn(
        self, label: str, *arguments: str, piped: bool = False, shown: bool = False
    ) -> asyncio.subprocess.Process:
        """Start a command that goes on, in a session of its own: Ctrl-C reaches this process alone."""
        name = arguments[arguments.index("--name") + 1] if "--name" in arguments else ""
        with (self._folder / f"{label}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bots.cli", *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if piped else (None if shown else log),
                stderr=log,
                env=self._environment(name),
                start_new_session=True,
            )  # fmt: skip
        self._running.append((label, process))
        return process

    async def _open_window(self) -> asyncio.subprocess.Process:
        """``clawtui`` for the person; the terminal is its own."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tui.cli", "--name", _PERSON, env=self._environment("")
        )
        self._running.append(("clawtui", process))
        return process

    async def _call(self, *arguments: str, quiet: bool = False) -> tuple[int, str]:
        """Run a command to its end: exit status and what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bots.cli", *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL if quiet else asyncio.subprocess.PIPE,
            env=self._environment(""),
            start_new_session=True,
        )  # fmt: skip
        self._running.append(("", process))
        out, err = await process.communicate()
        self._running.remove(("", process))
        return process.returncode or 0, (out or err or b"").decode()

    def _environment(self, name: str) -> dict[str, str]:
        """The caller's environment with folders of our own; a password only for the agent it belongs to."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CLAWNET_")}
        homes = {f"XDG_{kind}_HOME": str(self._folder / kind.lower()) for kind in ("CONFIG", "STATE")}
        secret = {"CLAWNET_MATRIX_PASSWORD": self._passwords[name]} if name in self._passwords else {}
        # Whoever ends the demo has seen enough.
        return kept | homes | secret | {"CLAWNET_LIMITS_GRACE_SECONDS": "2"}

    async def _until(self, condition: Any, *labels: str) -> None:
        """Wait for a condition while the processes of these labels live."""
        deadline = time.monotonic() + _READY_S
        while not await condition():
            for label, process in self._running:
                if label in labels and process.returncode is not None:
                    raise DemoError(self._last_words(label))
            if time.monotonic() > deadline:
                raise DemoError(f"{', '.join(labels)} took too long. {self._last_words(labels[0])}")
            await asyncio.sleep(0.2)

    def _last_words(self, label: str) -> str:
        lines = (self._folder / f"{label}.log").read_text(errors="replace").strip().splitlines()
        return f"{label}: {lines[-1] if lines else 'it ended without a word'}"

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _stop_all(self, keep: str = "") -> None:
        await asyncio.gather(*(self._stop(process) for label, process in self._running if label != keep))

    async def end(self) -> None:
        """Stop everything that was started: agents first, so that they can still say goodbye."""
        await self._stop_all(keep="homeserver")
        await self._stop_all()

    def _say(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


async def _play(demo: Demo, *, in_front: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        await (demo.play_in_front() if in_front else demo.play())
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # From here on an impatient Ctrl-C must not leave anything running.
            loop.add_signal_handler(number, lambda: None)
        await demo.end()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bots.demo", description="Show a ClawNet mesh on this machine.")
    parser.add_argument("question", nargs="?", default=_QUESTION)
    parser.add_argument("--transcript", type=Path, metavar="FILE", help="default: demo/<time>.jsonl")
    parser.add_argument("--tui", action="store_true", help="with clawtui in front, until you quit it")
    options = parser.parse_args(arguments)
    if options.tui and not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        sys.stderr.write("demo: --tui needs a terminal; without one, leave it out.\n")
        return 2
    transcript = options.transcript or Path("demo") / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    transcript.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(sys.stdout)
    with tempfile.TemporaryDirectory(prefix="clawnet-demo-") as folder:
        demo = Demo(Path(folder), transcript.resolve(), options.question, progress)
        try:
            asyncio.run(_play(demo, in_front=options.tui))
        except asyncio.CancelledError:
            sys.stdout.write("\nStopped.\n")
            return 130
        except DemoError as error:
            sys.stderr.write(f"demo: {error}\n")
            return 1
    sys.stdout.write(f"The transcript is {transcript}; check it yourself: .venv/bin/clawbot verify {transcript}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
