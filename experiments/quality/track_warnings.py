"""Do warnings come in time with the tracker in the loop?

`python -m experiments.quality.track_warnings` plays drawn walks, as they are and with head turns, through
the engine as `experiments.walks` does, but the numbers of tracks come from a tracker that sees rendered
pictures: the engine's, and Ultralytics' as the engine ran it until November 2026 (needs the package
`ultralytics`). The simulated detector is the same for all; its scores vary, and it swaps no tracks.
"""

import argparse
import random
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track as progress

from engine.core.camera import Frame, Image
from engine.core.glance import Detection
from engine.devices.video.images import decode_image
from engine.perception.camera import Mount
from experiments.common import (
    add_data,
    add_seed,
    command_parser,
    figures_table,
    hardware,
    hardware_line,
    last_line,
)
from experiments.pocket.data import read_set, require_data
from experiments.quality.track_clips import head_turns
from experiments.quality.track_figures import MakeTracker
from experiments.quality.tracks import trackers
from experiments.walks.detector import Noise, SimulatedDetector
from experiments.walks.figures import figures
from experiments.walks.measure import FPS, Played, play
from experiments.walks.render import Renderer
from experiments.walks.scenes import STREET, drawn
from experiments.walks.world import Thing, Walk
from models.detector import DEFAULT_CONFIDENCE

LABELS = tuple(sorted({label for label, *_ in STREET}))
NOISE = Noise(swaps=0.0)


class TrackedDetector:
    """Detects as `SimulatedDetector` does; a tracker that sees the pictures numbers the detections."""

    def __init__(self, walk: Walk, images: list[Image], make: MakeTracker, seed: str) -> None:
        self._walk, self._images = walk, images
        self._dice = random.Random(f"scores/{seed}")
        self._simulated = SimulatedDetector(walk, NOISE, FPS, seed)
        self._tracker = make(DEFAULT_CONFIDENCE)
        self.things: dict[int, Thing | None] = {}

    def detect(self, time_s: float) -> tuple[Detection, ...]:
        found = self._simulated.detect(time_s)
        seq = round(time_s * FPS)
        boxes = np.array([(b.x1, b.y1, b.x2, b.y2) for b in (item.box for item in found)])
        rows = self._tracker.update(
            boxes.reshape(-1, 4),
            np.array([min(0.95, max(0.11, self._dice.gauss(0.6, 0.2))) for _ in found]),
            np.array([LABELS.index(item.label) for item in found], np.int64),
            Frame(self._images[seq], time_s, seq, self._walk.known_camera),
        )
        tracked = [replace(found[row], track=track) for row, track in rows.tolist()]
        for (row, _), item in zip(rows.tolist(), tracked, strict=True):
            self.things[item.track] = self._simulated.things[found[row].track]
        return tuple(tracked)


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Play every walk with every tracker; print the warnings, return the figures."""
    require_data(args.data)
    console.print(hardware_line())
    photos = [decode_image(image.path) for image in list(read_set(args.data, "walks_sf"))[::9]]
    played: dict[str, dict[str, list[Played]]] = {}
    walks = drawn(args.walks, args.seed)
    for number, walk in enumerate(progress(walks, "walks", console=console, transient=True)):
        turning = replace(walk, head_turns=head_turns(number, args.seed, walk.duration_s))
        for row, one in (("walks", walk), ("walks with head turns", turning)):
            renderer = Renderer(one, photos, args.seed)
            images = [renderer.image(seq / FPS) for seq in range(round(one.duration_s * FPS))]
            for name, make in trackers().items():
                detector = TrackedDetector(one, images, make, f"{args.seed}/{one.name}")
                played.setdefault(row, {}).setdefault(name, []).append(
                    play(one, Mount(), NOISE, seed=args.seed, detector=detector)
                )
    found = {
        row: {name: figures(some) for name, some in columns.items()}
        for row, columns in played.items()
    }
    for row, columns in found.items():
        console.print(figures_table(row, columns))
    return hardware() | {"seed": args.seed} | found


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.quality.track_warnings", __doc__)
    add_data(parser)
    parser.add_argument("--walks", type=int, default=10, help="how many are drawn")
    add_seed(parser, 1)
    args = parser.parse_args(arguments)
    console = Console(highlight=False, width=120)
    return last_line("experiments.quality.track_warnings", lambda: report(args, console))


if __name__ == "__main__":
    sys.exit(main())
