"""The seed corpus: made from the code, the same in every run, so that no binary files need to be kept."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.fuzz.targets import Target


def write(target: Target, folder: Path) -> int:
    """Write each seed to a file named by its digest; what is there already stays. The number of seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds()
    for seed in seeds:
        (folder / sha256(seed).hexdigest()[:40]).write_bytes(seed)
    return len(seeds)


def write_dictionary(tokens: list[bytes], path: Path) -> None:
    """Words for libFuzzer to put in."""
    lines = ("".join(f"\\x{byte:02x}" for byte in token) for token in tokens if len(token) <= 64)
    path.write_text("".join(f'"{line}"\n' for line in lines), "ascii")
