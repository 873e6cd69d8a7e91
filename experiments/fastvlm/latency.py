"""How long FastVLM-0.5B takes with the baseline recipe and with ours, in one process.

`python -m experiments.fastvlm.latency` measures every recipe at every image size and answer length:
the baseline recipe (transformers' eager `generate` in fp16 without a cache, see
experiments/fastvlm/baseline.py), the same with a cache, and ours for each runtime and precision. It
separates encoder, prefill, each token and the total, adds memory, and gives the floor (bytes over
measured bandwidth, operations over measured rate). Without --checkpoint it makes random weights of
the true architecture: valid for measuring speed only. It writes fastvlm_latency.md, .png and .json
to --out. The last line has `seed_recipe_ms` (the baseline recipe: that of the analysis, the "seed",
which this project grew from), `ours_ms`, `speedup`, `first_token_ms`, `floor_ms`, `device` and
more, at one size and length (1024 px on a graphics card, 512 on a processor, 16 tokens, where those
are measured).

Times run from pixels on the host to token ids on the host; preparing the image is the same for
all recipes and is not counted. Every recipe writes exactly the requested number of tokens.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from engine.core.errors import InputError
from experiments.common import add_device, add_repeats, command_parser, device_name, last_line
from experiments.fastvlm.bench import Bench, eager_precision
from experiments.fastvlm.floor import DeviceLimits, measure_limits, work_of
from experiments.fastvlm.plot import plot
from experiments.fastvlm.random_weights import SMALL, TRUE, is_random, write_weights
from experiments.fastvlm.recipes import (
    BACKENDS,
    BASELINE,
    CACHED,
    ENCODED_ONCE,
    Recipe,
    export,
    missing_forms,
    recipes,
)
from experiments.fastvlm.rows import LatencyRow, Plan, TimeBudget, measure, resident
from experiments.fastvlm.table import find, markdown, nearest, rows_at
from models import cache_home, quiet_offline
from models.devices import choose_device, limit_threads
from models.fastvlm.forms import Form

HEADLINE_PX = {"cuda": 1024, "cpu": 512}  # for which there are targets
HEADLINE_TOKENS = 16


def find_checkpoint(args: argparse.Namespace, console: Console) -> Path:
    """The requested folder, or a folder of random weights, which is created once."""
    if args.checkpoint is not None:
        if not (args.checkpoint / "config.json").is_file():
            raise InputError(f"--checkpoint {args.checkpoint}: expected a folder with config.json")
        return Path(args.checkpoint)
    name, architecture = ("random-small", SMALL) if args.small else ("random-0.5b", TRUE)
    folder = cache_home() / "bench" / name
    if not is_random(folder):
        console.print(f"making random weights in {folder} ...", soft_wrap=True)
        try:
            write_weights(folder, architecture, console=console)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return folder


def export_missing(
    bench: Bench, chosen: Sequence[Recipe], sides: tuple[int, ...], console: Console
) -> None:
    """Export the forms that the recipes read. If that fails, their rows say what to run."""
    wanted: dict[tuple[str, str], list[Form]] = {}
    for recipe in chosen:
        for form in missing_forms(bench, recipe, sides):
            wanted.setdefault((form.runtime, form.part), []).append(form)
    with Progress(console=console, transient=True) as progress:
        for forms in progress.track(list(wanted.values()), description="exporting, once"):
            for line in export(bench, forms):
                console.print(line, soft_wrap=True, markup=False)


def measure_all(
    bench: Bench, chosen: Sequence[Recipe], plan: Plan, minutes: float, console: Console
) -> tuple[list[LatencyRow], int]:
    """All rows, and how many repeats the time budget dropped."""
    rows: list[LatencyRow] = []
    budget = TimeBudget(minutes, len(chosen) * len(plan.sides) * len(plan.tokens))
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=budget.rows)
        before = ""
        for recipe in chosen:
            if recipe.backend != before:
                bench.forget()
            before = recipe.backend
            progress.update(task, description=recipe.name)
            for row in measure(bench, recipe, plan, budget):
                rows.append(row)
                progress.advance(task)
    bench.forget()
    return rows, budget.dropped


def with_resident(
    bench: Bench, chosen: Sequence[Recipe], rows: list[LatencyRow], console: Console
) -> list[LatencyRow]:
    """The rows with the memory of each recipe, measured in a separate process, at one size."""
    side, count = headline(rows, bench.device)
    here = {row.recipe for row in rows if row.times is not None}
    slow = {name for name in here if name != CACHED and _backend(chosen, name) == "baseline"}
    found: dict[str, dict[str, float]] = {}
    with Progress(console=console, transient=True) as progress:
        for recipe in progress.track(chosen, description="memory, each in a separate process"):
            if recipe.name in here - slow:
                found[recipe.name] = resident(bench, recipe, side, count)
    return [replace(row, memory_mb=found.get(row.recipe, {})) for row in rows]


def _backend(chosen: Sequence[Recipe], name: str) -> str:
    return next(recipe.backend for recipe in chosen if recipe.name == name)


def headline(rows: Sequence[LatencyRow], device: str) -> tuple[int, int]:
    """The size and length that the last line reports."""
    side = nearest([row.side_px for row in rows], HEADLINE_PX.get(device, 512))
    return side, nearest([row.tokens for row in rows], HEADLINE_TOKENS)


def summary(rows: Sequence[LatencyRow], device: str) -> dict[str, Any]:
    """The figures of the last line: None if there is nothing to compare."""
    side, count = headline(rows, device)
    at = rows_at(rows, side, count)
    ours = [row for row in at if row.times is not None and row.backend not in ("baseline", "quick")]
    best = min(ours, key=LatencyRow.p50, default=None)
    ours_ms = None if best is None else best.p50()
    baselines: dict[str, Any] = {}
    for key, name in (("recipe", BASELINE), ("encoded_once", ENCODED_ONCE), ("with_cache", CACHED)):
        row = find(at, name)
        ms = None if row is None or row.times is None else row.p50()
        baselines[f"seed_{key}_ms"] = ms
        speedup = None if ms is None or ours_ms is None else round(ms / ours_ms, 2)
        baselines["speedup" if key == "recipe" else f"speedup_{key}"] = speedup
    found: dict[str, Any] = {"image_size": side, "tokens": count, **baselines, "ours_ms": ours_ms}
    if best is not None and best.times and best.floor:
        found |= {
            "ours": best.recipe,
            "first_token_ms": best.times.first[0],
            "token_ms": best.times.token[0],
            "floor_ms": round(best.floor.total_ms, 3),
            "floor_token_ms": round(best.floor.token_ms, 3),
            "memory_mb": {name: round(mb) for name, mb in best.memory_mb.items()},
        }
    return found


def remarks(machine: DeviceLimits, device: str, weights: str, dropped: int) -> list[str]:
    rates = ", ".join(f"{rate / 1e12:.2f} in {name}" for name, rate in machine.operations_s.items())
    half = eager_precision(device)
    found = [
        f"Weights: {weights}.",
        f"Device: {device_name(device)}; {machine.bytes_s / 1e9:.0f} GB/s; 10^12 operations a second: "
        f"{rates}.",
        f"The baseline recipe runs in {half}"
        + ("." if half == "fp16" else ": its fp16 is emulated on a processor."),
        "`generate, no cache` processes the whole prompt again for every token; some releases of "
        "transformers encode the picture again too (see the notes). The original analysis passed "
        "embeddings through Apple's code, for which transformers overrules `use_cache=False`: compare "
        f"its figures with `{CACHED}`.",
    ]
    if dropped:
        found.append(f"The time budget dropped {dropped} repeats.")
    return found


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure, write and print everything; return what the last line says."""
    quiet_offline()
    device = choose_device(args.device)
    limit_threads(args.threads)
    folder = find_checkpoint(args, console)
    bench = Bench(folder, device, args.threads, max(args.tokens))
    console.print(f"{device_name(device)}, Python {platform.python_version()}, {_versions()}")
    chosen = recipes(device, args.backends, args.compile)
    work = work_of(bench.model("bf16", "counting"), args.image_size)
    questions = {side: bench.question(side) for side in args.image_size}
    bench.forget()
    export_missing(bench, chosen, args.image_size, console)
    machine = measure_limits(device)
    begin_s = time.perf_counter()
    plan = Plan(args.image_size, args.tokens, args.repeats, machine, work, questions)
    rows, dropped = measure_all(bench, chosen, plan, args.minutes, console)
    took_s = time.perf_counter() - begin_s
    if device == "cpu" and args.memory:
        rows = with_resident(bench, chosen, rows, console)
    weights = (
        "random weights of FastVLM's architecture" if is_random(folder) else f"`{folder.name}`"
    )
    side, count = headline(rows, device)
    notes = remarks(machine, device, weights, dropped)
    text = markdown(rows, side, count, f"FastVLM latency, {weights}", notes)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "fastvlm_latency.md").write_text(text, encoding="utf-8")
    title = f"{weights}, {device_name(device)}"
    plot(rows, count, title, args.out / "fastvlm_latency.png")
    console.print(text, soft_wrap=True, markup=False)
    result = {
        **summary(rows, device),
        "device": device_name(device),
        "weights": "random" if is_random(folder) else folder.name,
        "load": round(os.getloadavg()[0], 2),
        "minutes": round(took_s / 60, 2),
        "repeats_dropped": dropped,
    }
    everything = {"summary": result, "rows": [row.json() for row in rows]}
    path = args.out / "fastvlm_latency.json"
    path.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    console.print(f"{args.out}: fastvlm_latency.md, .png and .json", soft_wrap=True)
    return result


def _versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "timm"))


def numbers(text: str) -> tuple[int, ...]:
    """Parse `4,8,16`; ascending."""
    found = tuple(sorted({int(part) for part in text.split(",")}))
    if found[0] < 1:
        raise argparse.ArgumentTypeError(f"expected numbers of at least 1, got {text}")
    return found


def names(text: str) -> tuple[str, ...]:
    """Parse backends separated by commas; `seed` is the old name of `baseline`."""
    found = tuple("baseline" if name == "seed" else name for name in text.split(","))
    if strange := set(found) - set(BACKENDS):
        raise argparse.ArgumentTypeError(
            f"expected some of {','.join(BACKENDS)}, got {','.join(sorted(strange))}"
        )
    return found


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = command_parser("experiments.fastvlm.latency", __doc__)
    made.add_argument("--checkpoint", type=Path, help="FastVLM's folder instead of random weights")
    made.add_argument("--small", action="store_true", help="random weights of a few layers")
    made.add_argument("--image-size", type=numbers, default=(256, 512, 1024))
    made.add_argument("--tokens", type=numbers, default=(4, 8, 16, 32))
    add_repeats(made, 10, "of each row, at most")
    made.add_argument("--backends", type=names, default=BACKENDS, help=",".join(BACKENDS))
    add_device(made, ("auto", "cpu", "cuda"))
    made.add_argument("--threads", type=int, help="of the processor (default: each runtime's own)")
    made.add_argument("--minutes", type=float, default=8.0, help="after which repeats are dropped")
    made.add_argument(
        "--compile", action="store_true", help="also generate's own compiled static cache (CUDA)"
    )
    made.add_argument(
        "--memory", action=argparse.BooleanOptionalAction, default=True,
        help="on a processor, open each recipe once more in a process of its own",
    )  # fmt: skip
    made.add_argument("--out", type=Path, default=Path("outputs/fastvlm_latency"))
    return made


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    return last_line("experiments.fastvlm.latency", lambda: report(args, Console(highlight=False)))


if __name__ == "__main__":
    sys.exit(main())
