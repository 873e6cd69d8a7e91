"""How long reading the text in an image takes on this machine, and how much memory.

`python -m experiments.latency.reading` renders signs into images of 960 x 720 pixels, adds the
street photo of the sample, warms up and takes medians over repeats. `read` reads the whole text, as
a request to read does (budget: 400 ms on two cores). `glimpse` reads the large text only, which
is added to a quick answer while that is being spoken. On a busy machine, processor time is more
reliable than wall time.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from engine.core.budgets import READ_MS
from engine.core.camera import Frame
from engine.devices.video.sample import sample_photo
from engine.recording.latency import spread
from engine.recording.totals import peak_memory_mb
from experiments.common import (
    add_repeats,
    at_least_one,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from models.reader import RapidReader, open_reader

SIZE = (960, 720)
SIGNS: dict[str, tuple[tuple[str, int, int, int], ...]] = {
    "no text": (),
    "one sign": (("EXIT 12", 330, 300, 70),),
    "four lines": (
        ("Platform 2", 300, 180, 60),
        ("Trains to the city", 250, 280, 50),
        ("Way out", 330, 380, 60),
        ("Café 10:30–22:00", 250, 480, 40),
    ),
}


def rendered(texts: tuple[tuple[str, int, int, int], ...]) -> Frame:
    """White letters (text, x, y, height in pixels) on dark boards before a noisy wall."""
    wall = np.random.default_rng(0).normal(140, 12, (SIZE[1], SIZE[0], 3)).clip(0, 255)
    picture = Image.fromarray(wall.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    for text, x, y, height in texts:
        font = ImageFont.truetype(str(path), height)
        left, top, right, bottom = draw.textbbox((x, y), text, font=font)
        draw.rectangle((left - 20, top - 20, right + 20, bottom + 20), fill=(20, 80, 40))
        draw.text((x, y), text, font=font, fill=(255, 255, 255))
    return Frame(np.asarray(picture), 0.0, 0)


def street() -> Frame:
    """The street photo, its longer side 960 pixels."""
    with Image.open(sample_photo()) as image:
        scale = max(SIZE) / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        return Frame(np.asarray(image.convert("RGB").resize(size)), 0.0, 0)


def timed(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Milliseconds: p50 and p95 of wall time, and the median of processor time over all cores."""
    wall, cpu = [], []
    for _ in range(repeats + 2):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - begin) * 1000)
        cpu.append((time.process_time() - begin_cpu) * 1000)
    stats = spread(wall[2:])
    return {"p50_ms": stats["p50"], "p95_ms": stats["p95"], "cpu_ms": round(median(cpu[2:]), 1)}


def measure(reader: RapidReader, frame: Frame, repeats: int) -> dict[str, Any]:
    return {
        "lines": len(reader.read(frame)),
        "read": timed(lambda: reader.read(frame), repeats),
        "glimpse": timed(lambda: reader.read_large(frame), repeats),
    }


def report(repeats: int, threads: int, console: Console) -> dict[str, Any]:
    """Measure and print everything; return what the last line says."""
    card = hardware()
    before_mb = peak_memory_mb()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    reader = open_reader(threads)
    load_s, load_cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
    frames = {name: rendered(texts) for name, texts in SIGNS.items()} | {"street photo": street()}
    found = {name: measure(reader, frame, repeats) for name, frame in frames.items()}
    columns = ("picture", "lines", "read p50", "p95", "processor", "glimpse p50", "processor")
    table = table_of(f"milliseconds, {repeats} repeats", *columns)
    for name, row in found.items():
        cells = [row["read"][k] for k in ("p50_ms", "p95_ms", "cpu_ms")]
        cells += [row["glimpse"][k] for k in ("p50_ms", "cpu_ms")]
        table.add_row(name, str(row["lines"]), *(f"{cell:.0f}" for cell in cells))
    console.print(table)
    worst = max(row["read"]["p50_ms"] for row in found.values())
    met = "within" if worst <= READ_MS else "over"
    console.print(f"slowest p50 {worst:.0f} ms: {met} the budget of {READ_MS:.0f} ms")
    return card | {
        "side_px": max(SIZE),
        "budget_ms": READ_MS,
        "slowest_p50_ms": worst,
        "load_s": round(load_s, 2),
        "load_cpu_s": round(load_cpu_s, 2),
        "memory_mb": round(peak_memory_mb() - before_mb, 1),
        "pictures": found,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.latency.reading", __doc__)
    add_repeats(parser, 15)
    parser.add_argument("--threads", type=at_least_one, default=2)
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print(hardware_line())
    return last_line(
        "experiments.latency.reading", lambda: report(args.repeats, args.threads, console)
    )


if __name__ == "__main__":
    sys.exit(main())
