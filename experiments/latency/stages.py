"""How long each stage of the engine takes on this machine, one picture at a time.

`python -m experiments.latency.stages` (options: --help) prints the hardware, warms up, takes medians
over repeats of the sample's frames with the pack in use, and ends in one line of JSON. Each figure
includes pre- and post-processing; adapters synchronise their device before they return.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from engine.core.camera import Frame
from engine.core.glance import Glance
from engine.core.ports import Describer
from engine.devices.sound.voice import Pyttsx3Voice
from engine.devices.video.sample import SampleSource
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.recording.session_log import peak_memory_mb, spread
from experiments.hardware import processor
from models.describer import open_describer
from models.detector import open_detector
from models.scenes import open_scenes
from routers import Rules

WARM_UPS = 5
# What the pocket pack is built to stay within on two cores, milliseconds
AIMS_MS = {"detect": 20.0, "classify": 15.0, "describe_first_token": 60.0, "describe_all": 150.0}


def sample_frames(count: int) -> list[Frame]:
    """Frames spread evenly over the sample's approach."""
    source = SampleSource(fps=count / 6.0)
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    return frames


def timed_ms(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def describe(describer: Describer, frame: Frame) -> tuple[float, float]:
    """(first token, everything) in milliseconds."""
    first: list[float] = []
    begin = time.perf_counter()
    for _ in describer.describe(frame, lambda: first.append(time.perf_counter())):
        pass
    return (first[0] - begin) * 1000, (time.perf_counter() - begin) * 1000


def measure(pack: str, repeats: int, console: Console) -> dict[str, list[float]]:
    """Milliseconds of every stage, `repeats` times, stage by stage on the same frames."""
    detector = open_detector(pack, threads=2)
    scenes = open_scenes(pack)
    describer = open_describer(pack)
    for name, card in (("detector", detector.card), ("scenes", scenes.card)):
        console.print(f"{name}: {card.name}, {card.pack}, {card.backend} {card.precision}")
    console.print(
        f"describer: {describer.card.name}, {describer.card.pack}, {describer.card.backend}"
    )
    locator, router, words = Localizer(), Rules(0.5), Words("en", "meters", "sides")
    voice = Pyttsx3Voice("en", 190)
    found: dict[str, list[float]] = {}

    def keep(stage: str, value_ms: float) -> None:
        found.setdefault(stage, []).append(value_ms)

    frames = sample_frames(repeats + WARM_UPS)[: repeats + WARM_UPS]
    for index, frame in enumerate(track(frames, "measuring", console=console)):
        if index == WARM_UPS:
            found.clear()
        keep("detect", timed_ms(lambda f=frame: detector.detect(f)))  # type: ignore[misc]
        detections = detector.detect(frame)
        keep("locate", timed_ms(lambda f=frame, d=detections: locator.localize(f, d)))  # type: ignore[misc]
        keep("classify", timed_ms(lambda f=frame: scenes.classify(f)))  # type: ignore[misc]
        obstacles = locator.localize(frame, detections)
        glance = Glance(frame, obstacles, scenes.classify(frame))
        keep("route", timed_ms(lambda g=glance: router.decide(g)))  # type: ignore[misc]
        keep("template", timed_ms(lambda g=glance: words.describe(g)))  # type: ignore[misc]
        # a number makes each sentence new, since the voice keeps what it has said
        text = f"{words.describe(glance)} {index}."
        keep("synthesise", timed_ms(lambda t=text: voice.synthesise(t)))  # type: ignore[misc]
        first_ms, all_ms = describe(describer, frame)
        keep("describe_first_token", first_ms)
        keep("describe_all", all_ms)
    voice.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="experiments.latency.stages", description=__doc__)
    parser.add_argument("--pack", choices=("auto", "pocket", "hub"), default="pocket")
    parser.add_argument("--repeats", type=int, default=40)
    args = parser.parse_args()
    console = Console(highlight=False)
    console.print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    found = measure(args.pack, args.repeats, console)
    table = Table(title=f"milliseconds over {args.repeats} frames of the sample")
    for column in ("stage", "p50", "p95", "aim on two cores"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, values in found.items():
        stats = spread(values)
        aim = f"{AIMS_MS[stage]:.0f}" if stage in AIMS_MS else ""
        table.add_row(stage, f"{stats['p50']:.2f}", f"{stats['p95']:.2f}", aim)
    console.print(table)
    medians = {f"{stage}_ms": round(median(values), 3) for stage, values in found.items()}
    quick = sum(medians[f"{s}_ms"] for s in ("classify", "route", "template", "synthesise"))
    print(
        json.dumps(
            {
                "device": processor(),
                "cores": os.cpu_count(),
                "pack": args.pack,
                "repeats": args.repeats,
                **medians,
                "quick_ask_to_words_ms": round(quick, 3),
                "peak_memory_mb": peak_memory_mb(),
            }
        )
    )


if __name__ == "__main__":
    main()
