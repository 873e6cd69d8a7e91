"""Are the compiled forms of the detector and the scenes the same networks as in torch?

`python -m experiments.quality.forms`. Runs both on pictures of the labelled sets, in fp32 and in the
processor's own arithmetic, with the same suppression. Two boxes are the same if they have the same
label, their corners differ by at most 1 px and their scores by at most 0.01.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from engine.core.camera import Frame
from engine.core.errors import InputError
from experiments.common import (
    add_data,
    add_seed,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from models.packs import POCKET, find_pack
from models.runtime.boxes import Boxes
from models.runtime.yolo import OpenVinoYolo
from models.scenes import load_scenes
from models.torch.yolo import TorchYolo

SAME_PX, SAME_SCORE = 1.0, 0.01
SIDES = (320, 416, 640)


@dataclass
class Agreement:
    """Boxes of one network beside the reference's: `same`, `others` that only one of both has, and the
    largest differences among the same."""

    boxes: int = 0
    same: int = 0
    others: int = 0
    pictures_that_differ: int = 0
    px: float = 0.0
    score: float = 0.0

    def add(self, found: Boxes, expected: Boxes) -> None:
        """Count one picture."""
        free = list(range(len(found.scores)))
        same = 0
        for corners, score, label in zip(*expected, strict=True):
            differences = {
                row: (
                    float(np.abs(found.corners[row] - corners).max()),
                    float(abs(found.scores[row] - score)),
                )
                for row in free
                if found.classes[row] == label
            }
            row = min(differences, key=lambda each: differences[each], default=None)
            if row is None or differences[row][0] > SAME_PX or differences[row][1] > SAME_SCORE:
                continue
            free.remove(row)
            same += 1
            self.px = max(self.px, differences[row][0])
            self.score = max(self.score, differences[row][1])
        missed = len(expected.scores) - same
        self.boxes += len(expected.scores)
        self.same += same
        self.others += missed + len(free)
        self.pictures_that_differ += bool(missed or free)


def pictures(data: Path, folders: str, count: int, seed: int) -> list[Frame]:
    """`count` random pictures of the sets whose folder names match. Raises InputError for none."""
    paths = sorted(path for path in data.glob(f"{folders}/images/**/*") if path.is_file())
    if not paths:
        raise InputError(f"--data={data}: expected sets {folders} with images, found none")
    chosen = np.random.default_rng(seed).choice(len(paths), min(count, len(paths)), replace=False)
    return [
        Frame(np.array(Image.open(paths[index]).convert("RGB")), 0.0, number)
        for number, index in enumerate(chosen)
    ]


def compare_detectors(frames: Sequence[Frame]) -> dict[str, Agreement]:
    """Arithmetic and size -> the agreement with torch in fp32."""
    found: dict[str, Agreement] = {}
    for side in SIDES:
        reference = TorchYolo(POCKET / "detector.pt", side, "cpu")
        expected = [reference.find(frame.image) for frame in frames]
        for precision in ("f32", None):
            network = OpenVinoYolo(POCKET / "detector_openvino_model", side, precision=precision)
            agreement = found.setdefault(f"{network.precision} {side} px", Agreement())
            if agreement.boxes:
                continue  # the processor's own arithmetic is fp32
            for frame, boxes in zip(frames, expected, strict=True):
                agreement.add(network.find(frame.image), boxes)
    return found


def compare_scenes(frames: Sequence[Frame]) -> tuple[float, int]:
    """The largest difference of a probability among the likeliest three, and how many first scenes
    differ."""
    files = find_pack("scenes", "pocket")
    compiled, in_torch = load_scenes(files, "cpu", "openvino"), load_scenes(files, "cpu", "torch")
    largest, others = 0.0, 0
    for frame in frames:
        found, expected = compiled.classify(frame), in_torch.classify(frame)
        others += found.label != expected.label
        values = dict(found.top)
        largest = max(largest, *(abs(values.get(name, 0.0) - p) for name, p in expected.top))
    return largest, others


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Compare, print the tables, and return the last line."""
    console = Console()
    console.print(hardware_line())
    detectors = compare_detectors(pictures(args.data, "boxes_*", args.pictures, args.seed))
    table = table_of(
        "Boxes of the detector in OpenVINO and in torch",
        "OpenVINO", "in torch", "the same", "others", "pictures that differ", "px", "score",
    )  # fmt: skip
    for name, each in detectors.items():
        counts = (each.boxes, each.same, each.others, each.pictures_that_differ)
        table.add_row(name, *map(str, counts), f"{each.px:.4f}", f"{each.score:.5f}")
    console.print(table)
    difference, others = compare_scenes(pictures(args.data, "scenes_*", args.pictures, args.seed))
    console.print(
        f"scenes: probabilities differ by at most {difference:.7f}, first scenes: {others}"
    )
    return {
        "pictures": args.pictures,
        "detector": {name: vars(each) for name, each in detectors.items()},
        "scenes": {"difference": difference, "others": others},
        **hardware(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = command_parser("experiments.quality.forms", __doc__)
    add_data(parser)
    add_seed(parser)
    parser.add_argument("--pictures", type=int, default=100, help="of each kind")
    args = parser.parse_args(argv)
    return last_line("experiments.quality.forms", lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())
