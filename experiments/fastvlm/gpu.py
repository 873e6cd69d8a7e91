"""Measures everything about FastVLM that needs a graphics card, in one run of a few minutes.

`python -m experiments.fastvlm.gpu` makes random weights of the true 0.5B architecture (or uses
--checkpoint) and measures: the latency table at 256, 512 and 1024 px with the baseline recipe and
ours (see experiments/fastvlm/latency.py); the memory of ours at 1024 px; the share of tokens that
agree between our precisions and fp32; and the describer concurrently with a detector at 30 frames
per second. It needs torch for CUDA, transformers, timm and rich, and no network. The last line is
the latency summary with `memory_mb`, `agreement` and `beside`. --device cpu is a trial run without
a card.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.core.camera import Frame
from engine.core.errors import EngineError, in_one_line
from engine.recording.latency import spread
from experiments.common import add_device, add_repeats, command_parser, last_line
from experiments.fastvlm import agreement as fastvlm_agreement
from experiments.fastvlm import latency as fastvlm_latency
from experiments.fastvlm.bench import Bench, OpenRecipe, Question, blocks
from experiments.fastvlm.floor import measure_limits, work_of
from experiments.fastvlm.recipes import Recipe, recipes
from experiments.fastvlm.rows import Plan, TimeBudget, measure
from models.devices import choose_device, high_priority_stream

BACKENDS = ("baseline", "torch", "onnx", "hybrid", "tensorrt", "quick")
TOKENS = 16
FRAME_S = 1 / 30
STAND_IN_PX = 640
BESIDE_S = 4.0  # alone, and the same time again with the describer


def ours(device: str) -> list[Recipe]:
    return recipes(device, ("torch",), compile_static=False)


def memory(bench: Bench, side: int, console: Console) -> dict[str, Any]:
    """MiB of each of our recipes, opened for one size only, or the reason for a missing figure."""
    work = work_of(bench.model("bf16", "counting"), (side,))
    questions = {side: bench.question(side)}
    plan = Plan((side,), (bench.limit,), 3, measure_limits(bench.device), work, questions)
    found: dict[str, Any] = {}
    for recipe in ours(bench.device):
        bench.forget()
        (row,) = measure(bench, recipe, plan, TimeBudget(1.0, 1))
        found[recipe.name] = row.why or {n: round(mb) for n, mb in row.memory_mb.items()}
        console.print(f"memory at {side} px, {recipe.name}: {found[recipe.name]}", soft_wrap=True)
    bench.forget()
    return found


def agreement(folder: Path | None, device: str, console: Console) -> dict[str, Any]:
    """The share of tokens that agree with fp32 `generate`, by recipe, or the reason for a missing
    figure.

    Uses the pocket pack's describer if `folder` is None: random weights say little about
    rounding.
    """
    bench = fastvlm_agreement.speaking(folder, device, None, TOKENS)
    side = bench.chat.side_px
    questions = [bench.question(side, picture) for picture in fastvlm_agreement.pictures(None)]
    found = fastvlm_agreement.agreements(bench, ours(device), questions, console)
    console.print(fastvlm_agreement.markdown(found), soft_wrap=True, markup=False)
    return {row.recipe: row.why or round(row.share, 4) for row in found}


def looking(device: str) -> tuple[str, Callable[[], object]]:
    """(name, one detection) of the pocket pack's detector.

    If Ultralytics is not installed, a small network with random weights replaces it.
    """
    with suppress(EngineError, ImportError):
        from models.detector import open_detector

        detector = open_detector("pocket", device)
        frame = Frame(blocks(), 0.0, 0)
        return detector.card.name, lambda: detector.detect(frame)
    import timm
    import torch

    net: Any = timm.create_model("fastvit_t8", inference_mode=True).to(device).eval()
    picture = torch.rand(1, 3, STAND_IN_PX, STAND_IN_PX)

    def look() -> object:
        with torch.inference_mode(), high_priority_stream(device):
            return net(picture.to(device)).argmax().item()

    return f"fastvit_t8 at {STAND_IN_PX} px in a detector's place", look


def beside(bench: Bench, side: int, console: Console) -> dict[str, Any]:
    """Milliseconds per detection and per answer, each alone and both concurrently."""
    name, look = looking(bench.device)
    question = bench.question(side)
    half = [recipe for recipe in ours(bench.device) if recipe.precisions[1] in ("fp16", "bf16")]
    opened = half[-1].open(bench)
    opened.prepare(question)
    opened.answer(question, TOKENS)
    look()
    alone = paced(look, BESIDE_S)
    answers = answered(opened, question, BESIDE_S / 2)
    both: list[float] = []
    watching = threading.Thread(target=lambda: both.extend(paced(look, BESIDE_S)), daemon=True)
    watching.start()
    under = answered(opened, question, BESIDE_S)
    watching.join()
    found: dict[str, Any] = {"detector": name, "fps": round(1 / FRAME_S)}
    for what, values in (
        ("look_alone", alone), ("look_beside", both), ("answer_alone", answers),
        ("answer_beside", under),
    ):  # fmt: skip
        stats = spread(values)
        found[f"{what}_ms"] = {key: stats[key] for key in ("p50", "p95")}
    console.print(f"beside a detector: {found}", soft_wrap=True)
    return found


def paced(look: Callable[[], object], seconds: float) -> list[float]:
    """Milliseconds of detections that begin FRAME_S apart, or as soon as the last one ends."""
    found: list[float] = []
    end_s = time.perf_counter() + seconds
    while (begin_s := time.perf_counter()) < end_s:
        look()
        took_s = time.perf_counter() - begin_s
        found.append(1000 * took_s)
        time.sleep(max(0.0, FRAME_S - took_s))
    return found


def answered(opened: OpenRecipe, question: Question, seconds: float) -> list[float]:
    """Milliseconds of answers, one after the other; at least one."""
    found: list[float] = []
    end_s = time.perf_counter() + seconds
    while not found or time.perf_counter() < end_s:
        found.append(opened.answer(question, TOKENS).known_ms[-1])
    return found


def guarded(work: Callable[[], dict[str, Any]]) -> dict[str, Any] | str:
    """The result of one part, or its failure in one line, so that the other parts still run."""
    try:
        return work()
    except Exception as error:
        return in_one_line(error)


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure everything; return what the last line says."""
    device = choose_device(args.device)
    sizes = ",".join(str(side) for side in args.image_size)
    asked: Sequence[str] = [
        "--device", device, "--image-size", sizes, "--tokens", "4,8,16,32",
        "--repeats", str(args.repeats), "--minutes", str(args.minutes), "--no-memory",
        "--backends", ",".join(BACKENDS), "--out", str(args.out),
        *(["--checkpoint", str(args.checkpoint)] if args.checkpoint else []),
        *(["--small"] if args.small else []),
    ]  # fmt: skip
    wanted = fastvlm_latency.parser().parse_args(asked)
    found = fastvlm_latency.report(wanted, console)
    folder = fastvlm_latency.find_checkpoint(wanted, console)
    side = max(args.image_size)
    bench = Bench(folder, device, None, TOKENS)
    found["memory_mb"] = guarded(lambda: memory(bench, side, console))
    found["agreement"] = guarded(lambda: agreement(args.checkpoint, device, console))
    found["beside"] = guarded(lambda: beside(bench, side, console))
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.fastvlm.gpu", __doc__)
    parser.add_argument(
        "--checkpoint", type=Path, help="FastVLM's folder instead of random weights"
    )
    parser.add_argument("--small", action="store_true", help="random weights of a few layers")
    add_device(parser, ("cuda", "cpu"))
    parser.add_argument("--image-size", type=fastvlm_latency.numbers, default=(256, 512, 1024))
    add_repeats(parser, 10)
    parser.add_argument("--minutes", type=float, default=1.5, help="of the table's repeats")
    parser.add_argument("--out", type=Path, default=Path("outputs/fastvlm_gpu"))
    args = parser.parse_args(arguments)

    def measure() -> dict[str, Any]:
        began_s = time.perf_counter()
        result = report(args, Console(highlight=False))
        result["all_minutes"] = round((time.perf_counter() - began_s) / 60, 2)
        (args.out / "fastvlm_gpu.json").write_text(
            json.dumps(result, indent=1) + "\n", encoding="utf-8"
        )
        return result

    return last_line("experiments.fastvlm.gpu", measure)


if __name__ == "__main__":
    sys.exit(main())
