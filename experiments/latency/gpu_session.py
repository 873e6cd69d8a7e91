"""The whole engine on one graphics card, in one run of less than six minutes.

`python -m experiments.latency.gpu_session` makes random weights of FastVLM-0.5B's architecture (or
takes --checkpoint) and measures with models.device=cuda, at 512 and 1024 px: the start and the
memory of everyday sessions, each in a process of its own; alerts, alone and under that describer
(experiments.latency.obstacles); and answers (experiments.latency.answers). A step for which too
little of --minutes is left is named and left out. The last line is JSON: `start`, `memory`, and p50
and p99 by image size. `--device cpu --small --sizes 256` is a trial without a card.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.core.errors import EngineError, InputError, in_one_line
from experiments.common import (
    add_device,
    at_least_one,
    command_parser,
    device_name,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from experiments.fastvlm.random_weights import main as make_weights
from experiments.latency.answers import main as measure_answers
from experiments.latency.obstacles import main as measure_obstacles
from experiments.latency.start import ROOT, Version, run_session

AIM_P99_MS = 60.0  # capture to alert, on an H100-class card
Main = Callable[[list[str]], int]


def last_json(main: Main, words: list[str]) -> dict[str, Any]:
    """Run a command in this process, which has already imported torch; return its last line.

    Raises InputError if it fails.
    """
    with redirect_stdout(io.StringIO()) as printed:
        status = main(words)
    lines = printed.getvalue().splitlines()
    if status or not lines:
        raise InputError(f"{main.__module__} {' '.join(words)}: ended with {status}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


class Steps:
    """Runs steps while time is left. A step that fails, or for which no time is left, is named in
    `left_out`, and the others still run."""

    def __init__(self, minutes: float, console: Console, clock: Callable[[], float]) -> None:
        self.left_out: dict[str, str] = {}
        self._end_s = clock() + 60 * minutes
        self._clock = clock
        self._console = console

    def run(self, name: str, needs_s: float, step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `step` returns; empty if it was left out. `needs_s` is a generous estimate."""
        left_s = self._end_s - self._clock()
        if left_s < needs_s:
            self.left_out[name] = f"needs {needs_s:.0f} s, {left_s:.0f} s are left"
        else:
            self._console.print(f"{name} ...")
            try:
                return step()
            except EngineError as error:
                self.left_out[name] = in_one_line(error)
        self._console.print(f"{name}: left out: {self.left_out[name]}", soft_wrap=True)
        return {}


def everyday(args: argparse.Namespace, checkpoint: Path, side: int, home: Path) -> dict[str, Any]:
    """Start and memory of the sample's session, in a process of its own."""
    found = run_session(
        Version("here", ROOT, sys.executable, home),
        "mode=full", "source=sample", f"models.device={args.device}", "answer.deadline_s=30",
        f"models.describer.path={checkpoint}", f"models.describer.image_size={side}",
    )  # fmt: skip
    summary = found["summary"]
    return {
        "ready_s": found["ready_s"],
        "alert_s": found["alert_s"],
        "peak_mb": summary["peak_memory_mb"],
        "peak_gpu_mb": summary["peak_gpu_memory_mb"],
        "obstacle_fps": summary["obstacle_fps"],
        "full_ms": summary["latency_ms"].get("full", {}),
    }


def measure_at(
    side: int, args: argparse.Namespace, steps: Steps, checkpoint: Path, folder: Path
) -> dict[str, Any]:
    """Session, answers and alerts with the describer at `side` pixels."""
    model = ["--checkpoint", str(checkpoint), "--image-size", str(side), "--device", args.device]
    asked = ["--questions", str(args.questions), "--warm-ups", "1", "--gap", "2.5"]
    asked += ["--modes", "quick", "full", "--deadline", "30"]
    heard = ["--alerts", str(args.alerts), "--repeats", "1"]
    return {
        "session": steps.run(
            f"everyday session, {side} px", 45, lambda: everyday(args, checkpoint, side, folder)
        ),
        "answers": steps.run(
            f"answers, {side} px", 2 * (2.5 * args.questions + 15),
            lambda: last_json(measure_answers, model + asked),
        ),
        "alerts": steps.run(
            f"alerts, {side} px", 3.4 * args.alerts + 25,
            lambda: last_json(measure_obstacles, model + heard),
        ),
    }  # fmt: skip


def report(args: argparse.Namespace, console: Console, folder: Path) -> dict[str, Any]:
    """Measure everything; return what the last line says."""
    steps = Steps(args.minutes, console, time.monotonic)
    checkpoint = args.checkpoint
    if checkpoint is None:
        checkpoint = folder / "weights"
        make_weights(["--out", str(checkpoint), *(["--small"] if args.small else [])])
    found = {str(side): measure_at(side, args, steps, checkpoint, folder) for side in args.sizes}
    show(found, console)
    return {"card": device_name(args.device), "left_out": steps.left_out, **found}


def show(found: dict[str, Any], console: Console) -> None:
    """Print the main figures by image size."""
    table = table_of(f"aim: p99 of alerts at most {AIM_P99_MS:g} ms", "figure", *found)
    rows = {
        "start to Ready, s": ("session", "ready_s"),
        "memory at the peak, MB": ("session", "peak_mb"),
        "card's memory at the peak, MB": ("session", "peak_gpu_mb"),
        "alert p50, ms": ("alerts", "p50_ms"),
        "alert p99, ms": ("alerts", "p99_ms"),
        "alert p50 under a describer, ms": ("alerts", "p50_under_describer_ms"),
        "alert p99 under a describer, ms": ("alerts", "p99_under_describer_ms"),
    }
    for name, (part, key) in rows.items():
        values = [sizes[part].get(key) for sizes in found.values()]
        table.add_row(name, *("–" if value is None else f"{value:.4g}" for value in values))
    for mode in ("quick", "full"):
        for key in ("p50_ms", "p95_ms"):
            values = [sizes["answers"].get(mode, {}).get(key) for sizes in found.values()]
            cells = ("–" if value is None else f"{value:.4g}" for value in values)
            table.add_row(f"answer {mode} {key.replace('_', ', ')}", *cells)
    console.print(table)


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.latency.gpu_session", __doc__)
    add_device(parser, ("cuda", "cpu"))
    parser.add_argument("--checkpoint", type=Path, help="a FastVLM; default: random weights")
    parser.add_argument("--small", action="store_true", help="random weights of a few layers")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024], help="pixels")
    parser.add_argument("--alerts", type=at_least_one, default=15, help="in each condition")
    parser.add_argument("--questions", type=at_least_one, default=6, help="in each mode")
    parser.add_argument("--minutes", type=float, default=5.8, help="for everything")
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print(hardware_line())
    card = hardware()

    def measure() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            return report(args, console, Path(folder)) | card

    return last_line("experiments.latency.gpu_session", measure)


if __name__ == "__main__":
    sys.exit(main())
