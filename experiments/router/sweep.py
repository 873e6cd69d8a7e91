"""Measures how long a thousand thresholds over ten thousand stored answers take.

`python -m experiments.router.sweep FILE` reads a recording, repeats its images up to --records,
scores each once and sweeps the thresholds, at a quarter, a half and all of them, to show that the
time grows linearly. It also prints the best threshold under each latency budget.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from engine.config import QualityConfig
from engine.core.budgets import ANSWER_MS
from engine.core.ports import Router
from engine.evaluation import stored_outputs as records
from experiments.common import (
    at_least_one,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from experiments.router.curves import Sweep, judged, outcomes, scores, sweep
from routers import Count, Learned, Random, Rules
from routers.model import read_model

ROUTERS: dict[str, Callable[[], Router]] = {
    "learned": lambda: Learned(0.5, read_model()),
    "rules": lambda: Rules(0.5),
    "count": lambda: Count(0.5),
    "random": lambda: Random(0.5),
}


def best(found: Sweep, budget_ms: float) -> dict[str, float] | None:
    """The threshold with the best quality whose p95 is within a budget; the cheapest of equal ones."""
    within = np.flatnonzero(found.p95_ms <= budget_ms)
    if len(within) == 0:
        return None
    order = np.lexsort((found.p95_ms[within], -found.quality[within]))
    at = within[order[0]]
    names = ("thresholds", "quality", "share", "p95_ms")
    return {name: round(float(getattr(found, name)[at]), 4) for name in names}


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Sweep and print everything; return what the last line says."""
    kept = judged(records.read(args.file)[1])
    many = [kept[index % len(kept)] for index in range(args.records)]
    router = ROUTERS[args.router]()
    thresholds = np.linspace(0, 1, args.thresholds)
    title = f"{args.router}, {args.thresholds} thresholds"
    table = table_of(title, "records", "score, s", "sweep, s")
    seconds: dict[int, float] = {}
    for count in (args.records // 4, args.records // 2, args.records):
        begin_s = time.perf_counter()
        score = scores(router, many[:count])
        scored_s = time.perf_counter()
        found = sweep(score, outcomes(many[:count], QualityConfig()), thresholds)
        end_s = time.perf_counter()
        table.add_row(str(count), f"{scored_s - begin_s:.2f}", f"{end_s - scored_s:.2f}")
        seconds[count] = round(end_s - begin_s, 3)
    console.print(table)
    chosen = {f"{budget:.0f}": best(found, budget) for budget in ANSWER_MS.values()}
    return hardware() | {"router": args.router, "seconds": seconds, "best": chosen}


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.router.sweep", __doc__)
    parser.add_argument("file", type=Path, help="a recording, made by record=FILE")
    parser.add_argument("--router", choices=tuple(ROUTERS), default="learned")
    parser.add_argument("--records", type=at_least_one, default=10_000)
    parser.add_argument("--thresholds", type=at_least_one, default=1000)
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print(hardware_line())
    return last_line("experiments.router.sweep", lambda: report(args, console))


if __name__ == "__main__":
    sys.exit(main())
