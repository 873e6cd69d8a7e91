"""How long each stage of the engine takes on this machine, one image at a time.

`python -m experiments.latency.stages` (`make bench`) warms up and takes medians over frames of the
sample. Each figure includes pre- and post-processing; adapters synchronise their device before they
return.
"""

import sys
import time
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import track

from engine.core.camera import Frame
from engine.core.glance import Glance
from engine.core.ports import Describer
from engine.devices.sound.voice import Pyttsx3Voice
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.recording.latency import spread
from engine.recording.totals import peak_memory_mb
from experiments.common import (
    add_pack,
    add_repeats,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
    timed_ms,
)
from experiments.latency.throughput import sample_frames
from models.describer import open_describer
from models.detector import open_detector
from models.scenes import open_scenes
from routers import Rules

WARM_UPS = 5
# The pocket pack's targets on two cores.
AIMS_MS = {"detect": 20.0, "classify": 15.0, "describe_first_token": 60.0, "describe_all": 150.0}


def describe(describer: Describer, frame: Frame) -> tuple[float, float]:
    """Milliseconds to (the first token, the end)."""
    first: list[float] = []
    begin = time.perf_counter()
    for _ in describer.describe(frame, lambda: first.append(time.perf_counter())):
        pass
    return (first[0] - begin) * 1000, (time.perf_counter() - begin) * 1000


def measure(pack: str, repeats: int, console: Console) -> dict[str, list[float]]:
    """Milliseconds of every stage, over `repeats` frames."""
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
        # The number makes each sentence new: the voice caches what it has synthesised.
        text = f"{words.describe(glance)} {index}."
        keep("synthesise", timed_ms(lambda t=text: voice.synthesise(t)))  # type: ignore[misc]
        first_ms, all_ms = describe(describer, frame)
        keep("describe_first_token", first_ms)
        keep("describe_all", all_ms)
    voice.close()
    return found


def report(pack: str, repeats: int, console: Console) -> dict[str, Any]:
    """Measure and print every stage; return what the last line says."""
    card = hardware()
    found = measure(pack, repeats, console)
    title = f"milliseconds over {repeats} frames of the sample"
    table = table_of(title, "stage", "p50", "p95", "aim on two cores")
    for stage, values in found.items():
        stats = spread(values)
        aim = f"{AIMS_MS[stage]:.0f}" if stage in AIMS_MS else ""
        table.add_row(stage, f"{stats['p50']:.2f}", f"{stats['p95']:.2f}", aim)
    console.print(table)
    medians = {f"{stage}_ms": round(median(values), 3) for stage, values in found.items()}
    quick = sum(medians[f"{s}_ms"] for s in ("classify", "route", "template", "synthesise"))
    return card | {
        "pack": pack,
        "repeats": repeats,
        **medians,
        "quick_ask_to_words_ms": round(quick, 3),
        "peak_memory_mb": peak_memory_mb(),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.latency.stages", __doc__)
    add_pack(parser)
    add_repeats(parser, 40, "frames that are timed")
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print(hardware_line())
    return last_line("experiments.latency.stages", lambda: report(args.pack, args.repeats, console))


if __name__ == "__main__":
    sys.exit(main())
