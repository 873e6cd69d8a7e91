"""How long it takes from a frame's capture to the first sample of its alert, on this machine.

`python -m experiments.latency.obstacles` runs the engine's live loops behind a synthetic camera and
in front of a sink that records when it receives sound, alone and while a describer generates
continuously. Before that it compares the engine's throughput with that of its network alone
(`predict`), on the same video. The last line is JSON: `fps` (the engine's frames per second on the
video), `p50_ms`, `p99_ms`, `p99_under_describer_ms` (capture to first sample), `engine_cost_ms` (a
frame's time in the engine minus its time in the network), and the steps.
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from rich.console import Console

from engine.answering.describer_worker import DescriberWorker
from engine.app.builders.answering import build_words
from engine.app.builders.loops import build_live
from engine.app.session import session
from engine.audio.scheduler import BLOCK_S
from engine.config import SourceConfig
from engine.core.camera import Frame, Intrinsics
from engine.core.clock import MonotonicClock
from engine.core.errors import InputError
from engine.core.worker import End
from engine.devices.video.sample import SampleSource
from experiments.common import (
    add_device,
    add_pack,
    add_repeats,
    at_least_one,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from experiments.latency.obstacle_stage import (
    ProbeAlertPolicy,
    ProbeSink,
    Scene,
    StagedDetector,
    SyntheticCamera,
    Timing,
    staged,
    timings,
)
from experiments.latency.throughput import (
    configuration,
    quiet_screen,
    sample_frames,
    throughput,
    write_video,
)
from models.describer import open_describer

AIMS_MS = {"p50": 60.0, "p99": 120.0, "engine_cost": 2.0}  # on two cores, with the pocket pack
GPU_P99_MS = 60.0
MAX_SLOWDOWN = 1.25  # of p99 while a describer writes
STAGES = tuple(field.name for field in fields(Timing))


@dataclass(frozen=True, slots=True)
class LiveRun:
    """The result of one run of the live loops."""

    timings: tuple[Timing, ...]
    unheard: int
    fps: float
    seen: int
    dropped: int
    descriptions: int

    def percentile(self, share: float) -> float:
        return float(np.percentile([t.total_ms for t in self.timings], share))


@contextmanager
def describing(args: argparse.Namespace, frame: Frame) -> Iterator[list[float]]:
    """Let a describer generate one description after another in the engine's describer worker.

    The times at which descriptions end are appended to the yielded list.
    """
    wall = MonotonicClock()
    opened = open_describer(
        args.pack, args.device, path=args.checkpoint, image_size=args.image_size
    )
    worker = DescriberWorker(opened, wall)
    stop = threading.Event()
    done: list[float] = []

    def ask() -> None:
        while not stop.is_set():
            task = worker.start(frame)
            while not isinstance(task.events.get(), End):
                pass
            done.append(wall.now())

    thread = threading.Thread(target=ask, name="asking", daemon=True)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join(timeout=10.0)
        worker.close()


def run_live(
    args: argparse.Namespace, frames: Sequence[Frame], folder: Path, describe: bool
) -> LiveRun:
    """Run the live loops over the scenes and time every alert."""
    config = configuration(args.pack, args.device, SourceConfig(name="sample"))
    camera = frames[0].intrinsics
    assert isinstance(camera, Intrinsics)  # the sample's are a pinhole's
    scene = Scene.at(args.fps, camera)
    count = (args.alerts + args.warm_ups) * scene.frames
    with session(config, folder, quiet_screen()) as running:
        running.loading.wait()
        wall, speech, perception = running.clocks.wall, running.speech, running.perception
        words = build_words(config)
        warner = ProbeAlertPolicy(words, config.speech.rate_wpm, speech.next_id)

        def clear() -> None:
            perception.localizer.reset()
            warner.reset()
            speech.audio.stop()

        detector = StagedDetector(perception.detector, scene, wall, clear)
        warner.watch(detector, wall)
        sink = ProbeSink(speech.sink, wall)
        images = [frame.image for frame in frames]
        source = SyntheticCamera(images, camera, args.fps, count, wall)
        watched = replace(perception, detector=detector)
        loop = build_live(replace(staged(running, source, sink), perception=watched, alerts=warner))
        descriptions = 0
        if describe:
            with describing(args, frames[0]) as done:
                loop.run()
                descriptions = len(done)
        else:
            loop.run()
        log = running.observers.log
        start_s = wall.now() - log.elapsed_s()
        summary = log.close()
    counted = [item for item in warner.moments if item.scene >= args.warm_ups]
    found, unheard = timings(folder / "session.jsonl", start_s, counted, sink.loud_s)
    if not found:
        raise InputError(
            f"--alerts: expected {args.alerts} alerts to be heard, got none; the machine may be far "
            "too slow for --fps"
        )
    totals = summary["frames"]
    return LiveRun(
        tuple(found), unheard, summary["obstacle_fps"], totals["seen"], totals["dropped"],
        descriptions,
    )  # fmt: skip


def show(alone: LiveRun, under: LiveRun, console: Console) -> None:
    """Print the steps, alone and while a describer writes."""
    title = "from capture to the first sample of the alert, milliseconds (p50 / p99)"
    table = table_of(title, "step", "alone", "under a describer")
    for name in STAGES:
        cells = []
        for run in (alone, under):
            values = [getattr(t, name) for t in run.timings]
            cells.append(f"{np.percentile(values, 50):.1f} / {np.percentile(values, 99):.1f}")
        table.add_row(name.removesuffix("_ms"), *cells)
    table.add_section()
    cells = [f"{run.percentile(50):.1f} / {run.percentile(99):.1f}" for run in (alone, under)]
    table.add_row("whole", *cells)
    console.print(table)
    for name, run in (("alone", alone), ("under a describer", under)):
        console.print(
            f"{name}: {len(run.timings)} alerts, {run.unheard} not heard, {run.fps:g} frames a "
            f"second, {run.dropped} of {run.seen} dropped"
            + (f", {run.descriptions} descriptions" if run is under else "")
        )


def report(args: argparse.Namespace, console: Console, folder: Path) -> dict[str, Any]:
    """Measure everything; return what the last line says."""
    frames = sample_frames(args.frames)
    video = args.video or write_video(folder / "sample.mp4", frames, 30.0)
    console.print(f"throughput on {video.name}, {args.repeats} turns after one to warm up ...")
    rate = throughput(args.pack, args.device, video, args.repeats, folder)
    engine_ms, alone_ms = median(rate.engine_ms), median(rate.predict_ms)
    console.print(
        f"{rate.frames} frames: engine {engine_ms:.2f} ms a frame, its network alone {alone_ms:.2f} ms; "
        f"the engine's own cost {rate.cost_ms:.2f} ms (aim {AIMS_MS['engine_cost']:g})"
    )
    card = rate.detector
    console.print(
        f"detector: {card.name} ({card.pack} pack, {card.backend} {card.precision} on {card.device})"
    )
    floor_ms = alone_ms + 1000 * BLOCK_S / 2
    console.print(
        f"floor of the latency: {floor_ms:.1f} ms, the network and on average half a block of sound "
        f"({500 * BLOCK_S:.0f} ms); a whole block ({1000 * BLOCK_S:.0f} ms) at worst"
    )
    scenes_s = (args.alerts + args.warm_ups) * (frames_of(args) / args.fps)
    console.print(f"{args.alerts} alerts alone, then under a describer, {scenes_s:.0f} s each ...")
    alone = run_live(args, frames, folder / "alone", describe=False)
    under = run_live(args, frames, folder / "under", describe=True)
    show(alone, under, console)
    p50, p99 = alone.percentile(50), alone.percentile(99)
    ratio = under.percentile(99) / p99
    console.print(
        f"p50 {p50:.1f} ms (aim {AIMS_MS['p50']:g}) against its floor of {floor_ms:.1f} ms; p99 "
        f"{p99:.1f} ms (aim {AIMS_MS['p99']:g}; {GPU_P99_MS:g} on a GPU); under a describer p99 is "
        f"{ratio:.2f} times that (aim at most {MAX_SLOWDOWN:g})"
    )
    means = {
        f"mean_{name}": round(fmean(getattr(t, name) for t in alone.timings), 3) for name in STAGES
    }
    return {
        "fps": round(1000 / engine_ms, 2),
        "p50_ms": round(p50, 3),
        "p99_ms": round(p99, 3),
        "p50_under_describer_ms": round(under.percentile(50), 3),
        "p99_under_describer_ms": round(under.percentile(99), 3),
        "engine_cost_ms": round(rate.cost_ms, 3),
        "predict_fps": round(1000 / alone_ms, 2),
        "floor_ms": round(floor_ms, 3),
        **means,
        "live_fps": alone.fps,
        "live_fps_under_describer": under.fps,
        "dropped": [alone.dropped, under.dropped],
        "alerts": [len(alone.timings), len(under.timings)],
        "unheard": [alone.unheard, under.unheard],
        "descriptions": under.descriptions,
        "detector": asdict(rate.detector),
    }


def frames_of(args: argparse.Namespace) -> int:
    """Frames of one scene."""
    camera = SampleSource().intrinsics
    return Scene.at(args.fps, camera).frames


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.latency.obstacles", __doc__)
    add_pack(parser)
    add_device(parser)
    parser.add_argument(
        "--alerts", type=at_least_one, default=150, help="timed in each condition (1.6 s each)"
    )
    parser.add_argument("--warm-ups", type=int, default=3, help="scenes before those, not counted")
    parser.add_argument("--fps", type=float, default=15.0, help="of the synthetic camera")
    add_repeats(parser, 5, "passes over the video")
    parser.add_argument("--frames", type=at_least_one, default=180, help="of the sample's video")
    parser.add_argument("--checkpoint", metavar="DIR", help="a FastVLM to describe with instead")
    parser.add_argument("--image-size", type=int, help="pixels per side of its images")
    parser.add_argument("--video", type=Path, help="compare on this video instead")
    args = parser.parse_args(arguments)
    if args.fps < 1:
        parser.error(f"--fps: expected at least 1, got {args.fps}")
    console = Console(highlight=False)
    console.print(hardware_line())
    card = hardware()

    def measure() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            return report(args, console, Path(folder)) | card | {"pack": args.pack}

    return last_line("experiments.latency.obstacles", measure)


if __name__ == "__main__":
    sys.exit(main())
