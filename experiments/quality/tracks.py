"""Do tracks hold? Identity switches, sightings and times to collision, with and without an estimate of
the camera's motion, and with Ultralytics' tracker as the engine ran it until November 2026.

`python -m experiments.quality.tracks` follows the pack's detections in a fixed indoor camera, a zoom on
a street photo and a person before a plain wall (`--cases`), synthetic walks on which the head turns
(rendered into pictures, with a simulated detector), and windows moved by hand over labelled photos
(`--data`). Ultralytics' rows need the package `ultralytics`. The figures depend on the processor a
little: its precision changes the detections.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as progress

from engine.core.camera import Frame
from engine.core.errors import InputError
from engine.core.glance import Box
from engine.devices.video.images import decode_image
from experiments.common import (
    add_data,
    add_pack,
    add_seed,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    shown,
    table_of,
)
from experiments.pocket.data import read_set, require_data
from experiments.quality.track_clips import Clip, hand_held, video, walk_with_head_turns
from experiments.quality.track_figures import Figures, MakeTracker, follow
from models.detector import TrackingDetector, open_detector
from models.runtime.boxes import LEAST_SCORE
from models.runtime.tracker import Tracker

ROOM_FRAMES = 200  # 20 s
MOTION_PX = 110  # Ultralytics' estimate worked on pictures of this size, as the engine set it
LARGE_SHARE = 0.01  # of a photo: smaller objects are not followed by hand


class NoMotion:
    """Takes the camera for fixed."""

    def update(self, frame: Frame, boxes: NDArray[np.float64]) -> None:
        return None

    def reset(self) -> None: ...


class UltralyticsTracker:
    """Ultralytics' ByteTrack with the settings that the engine used, and its estimate of the camera's
    motion, or none."""

    def __init__(self, threshold: float, motion: bool) -> None:
        from ultralytics.trackers.byte_tracker import BYTETracker
        from ultralytics.utils import ROOT, YAML, IterableSimpleNamespace

        settings = YAML.load(ROOT / "cfg/trackers/bytetrack.yaml")
        settings |= {
            "track_high_thresh": threshold,
            "new_track_thresh": threshold,
            "track_low_thresh": min(LEAST_SCORE, threshold / 2),
        }
        self._tracker = BYTETracker(IterableSimpleNamespace(**settings))
        self._motion = motion
        self._begun = False

    def update(
        self, boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any], frame: Frame
    ) -> NDArray[np.int64]:
        from ultralytics.engine.results import Boxes as TheirBoxes

        data = np.column_stack([boxes, scores, classes]).astype(np.float32)
        if self._motion and not self._begun:
            self._tracker.gmc = _ultralytics_motion(max(frame.image.shape))
        self._begun = True
        image = np.ascontiguousarray(frame.image[..., ::-1])
        rows = self._tracker.update(TheirBoxes(data, image.shape[:2]), image).reshape(-1, 8)
        return np.asarray(rows[:, [7, 4]].astype(np.int64))

    def reset(self) -> None:
        self._tracker.reset()


def _ultralytics_motion(side: int) -> Any:
    from ultralytics.trackers.utils.gmc import GMC

    motion = GMC("sparseOptFlow", downscale=max(1, round(side / MOTION_PX)))
    motion.feature_params.update({"maxCorners": 60, "minDistance": 5})
    return motion


def trackers() -> dict[str, MakeTracker]:
    """What is compared; Ultralytics' where it is installed."""
    found: dict[str, MakeTracker] = {}
    try:
        import ultralytics  # noqa: F401
    except ImportError:
        pass
    else:
        found["Ultralytics"] = lambda least: UltralyticsTracker(least, motion=True)
        found["Ultralytics, no motion"] = lambda least: UltralyticsTracker(least, motion=False)
    found["ours, no motion"] = lambda least: Tracker(least, LEAST_SCORE, NoMotion())
    found["ours"] = lambda least: Tracker(least, LEAST_SCORE)
    return found


def clips(args: argparse.Namespace, detector: TrackingDetector) -> Iterator[tuple[str, Clip]]:
    """(row of the table, clip): the clips of a row are added up."""
    for name, path, frames in (
        ("room", args.data / "video/one-by-one-person-detection.mp4", ROOM_FRAMES),
        ("zoom", args.cases / "ap30.mp4", sys.maxsize),
        ("swap", args.cases / "swap.mp4", sys.maxsize),
    ):
        if not path.is_file():
            raise InputError(f"expected the clip {path}, found none; set --data and --cases")
        clip = video(path, detector, frames, name)
        yield name, clip
        if name == "swap":  # the first person alone
            yield "swap, to frame 28", Clip(name, clip.seen[:28], clip.labels, clip.confidence)
    chosen = list(read_set(args.data, "walks_sf"))[::9]
    photos = [decode_image(image.path) for image in chosen]
    for number in range(args.walks):
        clip = walk_with_head_turns(number, photos, args.seed)
        yield "walks", clip.without_pose()
        yield "walks at 5 fps", clip.every(3).without_pose()
        yield "walks at 5 fps, inertial sensor", clip.every(3)
    for name, photo, objects in _labelled_photos(args.data, detector.labels, args.photos):
        yield "hand-held", hand_held(name, photo, objects, detector, args.seed)


def _labelled_photos(
    data: Path, labels: Sequence[str], count: int
) -> Iterator[tuple[str, Any, list[Box]]]:
    """Photos with two to eight large objects that the detector knows."""
    for image in read_set(data, "boxes_coco_val"):
        area = LARGE_SHARE * image.width * image.height
        large = [
            Box(item.x, item.y, item.x + item.width, item.y + item.height)
            for item in image.boxes
            if item.label in labels and item.width * item.height > area
        ]
        if count and image.split == "val" and 2 <= len(large) <= 8:
            count -= 1
            yield image.path.stem, decode_image(image.path), large


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Follow every clip with every tracker, in turn; print the table, return the figures."""
    require_data(args.data)
    console.print(hardware_line())
    detector = open_detector(args.pack, "cpu", "auto", 2, args.image_size)
    compared = trackers()
    found: dict[str, dict[str, Figures]] = {}
    for row, clip in progress(
        clips(args, detector), "clips", total=None, console=console, transient=True
    ):
        for name, make in compared.items():
            follow(clip, make, found.setdefault(row, {}).setdefault(name, Figures()))
    figures = {
        row: {name: one.as_dict() for name, one in columns.items()}
        for row, columns in found.items()
    }
    for row, columns in figures.items():
        table = table_of(row, "tracker", *next(iter(columns.values())))
        for name, one in columns.items():
            table.add_row(name, *map(shown, one.values()))
        console.print(table)
    return hardware() | {"image_size": detector.card.image_size, "seed": args.seed} | figures


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.quality.tracks", __doc__)
    add_data(parser)
    parser.add_argument(
        "--cases", type=Path, default=Path("../shared/cases"), help="folder of ap30.mp4, swap.mp4"
    )
    add_pack(parser)
    parser.add_argument(
        "--image-size", type=int, help="of the detector; the pack's own if left out"
    )
    parser.add_argument("--walks", type=int, default=8, help="how many are rendered")
    parser.add_argument("--photos", type=int, default=24, help="over which a window is moved")
    add_seed(parser, 1)
    args = parser.parse_args(arguments)
    console = Console(highlight=False, width=120)
    return last_line("experiments.quality.tracks", lambda: report(args, console))


if __name__ == "__main__":
    sys.exit(main())
