"""Let atheris search, one target after the other, for bytes that break an invariant; or check files.

``--check`` needs no atheris: it runs one target over files, such as those a search left in ``found``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz import corpus, mutation
from tests.fuzz.targets import TARGETS

_LONGEST = 60_000  # bytes of one input: more than a carrier may have
_SLOWEST_S = 25  # seconds for one input, until it counts as found
_STATUS = re.compile(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)


@dataclass(frozen=True)
class Search:
    """One target's search. ``branches`` is libFuzzer's "cov": the places it reached in our modules."""

    target: str
    seconds: int
    seeds: int
    executions: int
    branches: int
    inputs: int
    found: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every invariant held, 1 if one did not, 2 if atheris is not there."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all, or of these: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together (default: 600)")
    parser.add_argument("--folder", type=Path, help="keep corpora and findings here (default: a new folder in /tmp)")
    parser.add_argument("--seed", type=int, default=1, help="libFuzzer's seed (default: 1)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    parser.add_argument("--check", type=Path, nargs="+", metavar="FILE", help="check files instead, by one target")
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    names = options.targets or list(TARGETS)
    if options.check:
        if len(names) != 1:
            parser.error("--check needs one TARGET")
        for path in options.check:
            TARGETS[names[0]].check(path.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed; get it with: pip install 'clawnet-mesh[fuzz]'", file=sys.stderr)
        return 2
    folder = options.folder or Path(tempfile.mkdtemp(prefix="clawnet-fuzz-"))
    searches = [_search(name, max(1, options.seconds // len(names)), options.seed, folder) for name in names]
    print("\n" + _table(searches))
    if options.json:
        options.json.write_text(json.dumps([asdict(search) for search in searches], indent=1) + "\n")
    return 1 if any(search.found for search in searches) else 0


def _search(name: str, seconds: int, seed: int, folder: Path) -> Search:
    print(f"{name}: {TARGETS[name].invariant} ({seconds} s)", flush=True)
    inputs, found = folder / name, folder / "found" / name
    seeds = corpus.write(TARGETS[name], inputs)
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    corpus.write_dictionary(mutation.TOKENS, folder / "dictionary")
    command = [
        sys.executable, "-m", "tests.fuzz.engine", name, str(inputs),
        f"-max_total_time={seconds}", f"-max_len={_LONGEST}", f"-timeout={_SLOWEST_S}", f"-seed={seed}",
        f"-dict={folder / 'dictionary'}", f"-artifact_prefix={found}/", "-rss_limit_mb=2048", "-reload=0",
    ]  # fmt: skip
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    text = log.read_text("utf-8", "replace")
    executions, branches, _, kept = map(int, (_STATUS.findall(text) or [(0, 0, 0, 0)])[-1])
    new = sorted(str(path) for path in set(found.iterdir()) - before)
    if status or new:
        print(f"  broken; the log is {log}", *new, sep="\n  ")
    print(f"  {executions:,} executions, {branches:,} branches, {kept:,} inputs kept", flush=True)
    return Search(name, seconds, seeds, executions, branches, kept, new or ([str(log)] if status else []))


def _table(searches: list[Search]) -> str:
    lines = [
        "| target | seconds | seeds | executions | branches | inputs kept | found |",
        "|---|---|---|---|---|---|---|",
    ]
    for item in searches:
        figures = (item.seconds, item.seeds, item.executions, item.branches, item.inputs, len(item.found))
        lines.append(f"| {item.target} | " + " | ".join(f"{figure:,}" for figure in figures) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
