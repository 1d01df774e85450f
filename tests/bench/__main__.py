"""Run the measurements, print a table, write JSON."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import pkgutil
import platform
import sys
import time
from pathlib import Path

from tests import bench

_MODULES = sorted(
    module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith(("_", "test_"))
)
_HEADINGS = ("", "figure", "yardstick", "ratio", "goal", "met")


def main() -> int:
    """0 if all was measured, goals met or not; 1 if a measurement failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure, beside yardsticks.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"what to measure: {', '.join(_MODULES)}")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    arguments = parser.parse_args()
    unknown = set(arguments.modules) - set(_MODULES)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}")
    report = bench.Report(_show)
    failed = [name for name in arguments.modules or _MODULES if not _measured(name, report)]
    print("\n" + _table(report.rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(_described(report, failed), indent=1) + "\n")
    return 1 if failed else 0


def _measured(name: str, report: bench.Report) -> bool:
    print(f"{name} ...", file=sys.stderr)
    try:
        asyncio.run(importlib.import_module(f"{bench.__name__}.{name}").run(report))
    except Exception as error:
        # One measurement that cannot be made must not cost the others.
        print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def _show(row: bench.Row) -> None:
    print(f"  {row.name}: {_number(row.figure)} {row.unit}", file=sys.stderr)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cells(row: bench.Row) -> tuple[str, ...]:
    yardstick = f"{_number(row.yardstick_figure)} {row.yardstick}".strip()
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    met = {None: "", True: "yes", False: "no"}[row.met]
    return row.name, f"{_number(row.figure)} {row.unit}", yardstick, ratio, row.goal, met


def _table(rows: list[bench.Row]) -> str:
    lines = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _described(report: bench.Report, failed: list[str]) -> dict[str, object]:
    return {
        "measured_ms": time.time_ns() // 1_000_000,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_cores": os.cpu_count(),
        "failed": failed,
        "rows": report.data(),
    }


if __name__ == "__main__":
    sys.exit(main())
