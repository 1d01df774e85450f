"""Run a soak, tell how it goes, judge it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.soak import Scenario, page
from tests.soak.conductor import Soak
from tests.soak.scene import Scene
from tests.soak.summary import Summary

_EXAMPLES = """\
examples:
  python -m tests.soak                               20 minutes on one homeserver
  python -m tests.soak --minutes 2 --seed 7          a short one, with other accidents
  python -m tests.soak --federated --json soak.json  on two homeservers; the summary as JSON as well
  python -m tests.soak --record docs/soak.md         write the page that tells the last result

exit status: 0 if nothing was lost, nothing accepted twice and nothing grew; 1 if something was; 2 for bad usage
"""
# Never a file system in memory: commits are to cost what they cost people. And a short path: sockets lie in it.
_DISK = "/var/tmp" if Path("/var/tmp").is_dir() else None


def main() -> int:
    """0 if all was well, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Let real agents work under steady load and steady trouble, and judge what the room says of it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes", type=_minutes, default=20.0, metavar="N", help="how long under load (20; at least 1)"
    )
    parser.add_argument("--seed", type=int, default=1, help="another one gives other tasks and accidents (1)")
    parser.add_argument("--agents", type=_agents, default=4, metavar="N", help="how many work, beside two that ask (4)")
    parser.add_argument("--per-minute", type=_rate, default=24.0, metavar="N", help="tasks a minute (24)")
    parser.add_argument("--federated", action="store_true", help="on two homeservers that federate")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the summary here as well")
    parser.add_argument("--record", type=Path, metavar="PATH", help="write it as a page, e.g. docs/soak.md")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="a new folder with a short path for stores and logs, kept in any case"
    )
    arguments = parser.parse_args()
    if arguments.keep is not None and arguments.keep.exists():
        parser.error(f"{arguments.keep} exists: name a new folder")
    if not Path("/proc/self/status").exists():
        parser.error("this system has no /proc, by which processes are watched")
    scenario = Scenario(
        seconds=60 * arguments.minutes,
        seed=arguments.seed,
        agents=arguments.agents,
        per_minute=arguments.per_minute,
        federated=arguments.federated,
    )
    # Settings of whoever runs this are none of the agents'.
    for name in [name for name in os.environ if name.startswith("CLAWNET_")]:
        del os.environ[name]
    with _folder(arguments.keep) as place:
        summary = place.summary = asyncio.run(_run(scenario, place.folder))
    print(page.table(summary))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n")
    if arguments.record:
        arguments.record.write_text(page.render(summary))
    for fault in summary.faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    return 0 if summary.good else 1


async def _run(scenario: Scenario, folder: Path) -> Summary:
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        # Whatever ends it, the agents end first.
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    async with Scene(scenario, folder, _say) as scene:
        return await Soak(scenario, scene, _say).run()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Place:
    """Where it runs, and what came of it once that is known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary: Summary | None = None


@contextlib.contextmanager
def _folder(wanted: Path | None) -> Iterator[_Place]:
    """A folder that is removed if all was well, unless it was wanted."""
    if wanted is not None:
        wanted.mkdir(mode=0o700, parents=True)
    place = _Place(wanted.absolute() if wanted is not None else Path(tempfile.mkdtemp(prefix="soak-", dir=_DISK)))
    try:
        yield place
    finally:
        well = place.summary is not None and place.summary.good
        shutil.rmtree(place.folder if well and wanted is None else place.folder / "cache", ignore_errors=True)
        if place.folder.exists():
            _say(f"Stores and logs are in {place.folder}.")


def _minutes(text: str) -> float:
    return _within(float(text), 1.0, 24 * 60.0)


def _agents(text: str) -> int:
    return int(_within(int(text), 2, 50))


def _rate(text: str) -> float:
    return _within(float(text), 1.0, 600.0)


def _within(value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"from {least:g} to {most:g}")
    return value


if __name__ == "__main__":
    try:
        sys.exit(main())
    except asyncio.CancelledError:
        sys.exit(130)
