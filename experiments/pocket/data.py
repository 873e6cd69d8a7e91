"""Reads the labelled image sets (`--data`; their README states sources) for every pocket trainer.

Knows manifests and images, not models. No image is copied into the repository.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.common import add_data, add_device, add_seed

SETS = (
    "boxes_coco",
    "boxes_doors",
    "boxes_indoor",
    "boxes_motorcycles",
    "boxes_openimages",
    "boxes_pedestrians",
    "boxes_potholes",
    "captions_flickr8k",
    "masks_camvid",
    "scenes_houses",
    "scenes_miniplaces",
    "scenes_streets100",
    "walks_sf",
)


@dataclass(frozen=True)
class LabelledBox:
    """A labelled rectangle: top left corner and size in pixels of the stored image.

    `score` is 1 for human labels; `agreed` says whether a second teacher found the same box.
    """

    label: str
    x: float
    y: float
    width: float
    height: float
    score: float = 1.0
    agreed: bool = True


@dataclass(frozen=True)
class LabelledImage:
    """One line of a manifest. `true_aspect` is width over height of the original image."""

    set_name: str
    path: Path
    width: int
    height: int
    split: str
    scene: str | None = None
    indoor: bool | None = None
    captions: tuple[str, ...] = ()
    true_aspect: float | None = None
    boxes: tuple[LabelledBox, ...] = field(default=())
    pseudo_boxes: tuple[LabelledBox, ...] = field(default=())


def _labelled_box(
    label: str, x: float, y: float, width: float, height: float, score: float = 1, agree: int = 1
) -> LabelledBox:
    return LabelledBox(label, x, y, width, height, score, bool(agree))


def read_set(root: Path, name: str) -> Iterator[LabelledImage]:
    """Yield the records of `root/name/manifest.jsonl` in the file's order."""
    with (root / name / "manifest.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            indoor = row.get("indoor")
            yield LabelledImage(
                set_name=name,
                path=root / name / row["file"],
                width=int(row["width"]),
                height=int(row["height"]),
                split=row["split"],
                scene=row.get("scene"),
                indoor=None if indoor is None else bool(indoor),
                captions=tuple(row.get("captions", ())),
                true_aspect=row.get("true_aspect"),
                boxes=tuple(_labelled_box(*box) for box in row.get("boxes", ())),
                pseudo_boxes=tuple(_labelled_box(*box) for box in row.get("pseudo_boxes", ())),
            )


def read_sets(root: Path, names: Iterable[str] = SETS) -> list[LabelledImage]:
    """Read several sets in the given order, which is also the order of every cached array."""
    return [record for name in names for record in read_set(root, name)]


def require_data(root: Path) -> Path:
    """Return `root`; if it is not the data folder, end the program with one line and status 2."""
    missing = [name for name in SETS if not (root / name / "manifest.jsonl").is_file()]
    if missing:
        print(
            f"error: no training data at {root} (missing {missing[0]}/manifest.jsonl); "
            "pass --data DIR",
            file=sys.stderr,
        )
        raise SystemExit(2)
    return root


def load_square(path: Path, size: int) -> NDArray[np.uint8]:
    """Decode an image and squash it to uint8 RGB [size, size, 3]."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        if rgb.size != (size, size):
            rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(rgb)


def load_squares(records: Iterable[LabelledImage], size: int) -> Iterator[NDArray[np.uint8]]:
    """Decode many images in order, a few ahead of the caller."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda record: load_square(record.path, size), records)


def chosen_device(asked: str) -> str:
    """`auto` becomes cuda if torch finds it, else cpu."""
    import torch

    return asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def add_common_arguments(parser: argparse.ArgumentParser, work: Path, minutes: float) -> None:
    """Add the options that every pocket trainer has."""
    add_data(parser)
    parser.add_argument("--work", type=Path, default=work, help="checkpoints and caches")
    parser.add_argument("--out", type=Path, default=Path("models/pocket"), help="weights go here")
    add_seed(parser)
    add_device(parser, ("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--minutes", type=float, default=minutes, help="training time in all")
