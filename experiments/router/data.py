"""Makes the image sets that routers are trained and evaluated on, as datasets for the engine.

`python -m experiments.router.data` writes one folder for each set to --work and keeps those that
exist. The images come from the labelled sets in `--data` (its README states sources and
licences):

    train        captioned images of the split that the pocket models were trained on
    train_street, train_rooms   streets and roads, and rooms, of that split; no captions
    calibration  captioned images of `val`: one half, chosen by a hash of the file's name
    test         the other half: nothing was trained, chosen or calibrated on it
    test_blur, test_dark, test_crop   the first images of `test`, degraded
    street, rooms   like the training sets, of `val`
    doors        corridors and cupboards of `val`: scenes on which no router was trained

Flickr8k's images are stored squashed; they are shown at their true aspect ratio where it is
known, else at 4:3. Machine labels count as boxes if their confidence is high enough, as in the
describer's training.
"""

import argparse
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from experiments.common import add_data, command_parser
from experiments.pocket.captions import SAME, confident_boxes
from experiments.pocket.data import LabelledImage, read_sets, require_data

WORK = Path("work/router")
CAPTIONED = ("captions_flickr8k", "boxes_coco")
STREET = ("walks_sf", "boxes_pedestrians", "masks_camvid", "boxes_motorcycles")
ROOMS = ("scenes_miniplaces", "scenes_houses")
DOORS = ("boxes_doors",)
TRAINED = ("train", "train_street", "train_rooms")
JUDGED = ("test", "test_blur", "test_dark", "test_crop", "street", "rooms", "doors")
SETS = (*TRAINED, "calibration", *JUDGED)
COMMON_ASPECT = 4 / 3
SHIFTED = 250  # images of each degraded set
SIDE_PX = 320  # the longer side of the images that are written

Change = Callable[[Image.Image, list[list[Any]]], tuple[Image.Image, list[list[Any]]]]


def half(name: str) -> int:
    """0 or 1, by a hash of a file's name: the same on every machine."""
    return zlib.crc32(name.encode()) & 1


def spread(records: Iterable[LabelledImage], count: int) -> list[LabelledImage]:
    """`count` records, in an order that depends on their names only."""
    return sorted(records, key=lambda r: zlib.crc32(r.path.name[::-1].encode()))[:count]


def choose(data: Path, train: int, judged: int) -> dict[str, list[LabelledImage]]:
    """The records of each set."""
    captioned = [record for record in read_sets(data, CAPTIONED) if record.captions]
    val = [record for record in captioned if record.split == "val"]
    test = spread([r for r in val if half(r.path.name) == 1], judged)
    street, rooms, doors = (
        [record for record in read_sets(data, names) if record.boxes or record.pseudo_boxes]
        for names in (STREET, ROOMS, DOORS)
    )

    def some(records: list[LabelledImage], split: str, count: int) -> list[LabelledImage]:
        return spread([record for record in records if record.split == split], count)

    return {
        "train": some(captioned, "train", train),
        "train_street": some(street, "train", train * 3 // 20),
        "train_rooms": some(rooms, "train", train // 4),
        "calibration": spread([r for r in val if half(r.path.name) == 0], judged),
        "test": test,
        "test_blur": test[:SHIFTED],
        "test_dark": test[:SHIFTED],
        "test_crop": test[:SHIFTED],
        "street": some(street, "val", SHIFTED),
        "rooms": some(rooms, "val", SHIFTED),
        "doors": some(doors, "val", SHIFTED),
    }


def blurred(picture: Image.Image, boxes: list[list[Any]]) -> tuple[Image.Image, list[list[Any]]]:
    """Out of focus: a Gaussian blur of 1.2 % of the width."""
    return picture.filter(ImageFilter.GaussianBlur(0.012 * picture.width)), boxes


def darkened(picture: Image.Image, boxes: list[list[Any]]) -> tuple[Image.Image, list[list[Any]]]:
    """Dusk: a sixth of the light, with a small camera's noise (4 levels)."""
    rng = np.random.default_rng(0)
    pixels = np.asarray(picture, np.float32) / 6
    noisy = pixels + rng.normal(0, 4, pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), boxes


def cropped(picture: Image.Image, boxes: list[list[Any]]) -> tuple[Image.Image, list[list[Any]]]:
    """A badly aimed camera: the upper left 60 % of both sides. Keeps boxes of which a third remains."""
    width, height = round(picture.width * 0.6), round(picture.height * 0.6)
    kept = []
    for label, x, y, wide, high in boxes:
        left_wide, left_high = min(wide, width - x), min(high, height - y)
        if left_wide > 0 and left_high > 0 and left_wide * left_high >= wide * high / 3:
            kept.append([label, x, y, left_wide, left_high])
    return picture.crop((0, 0, width, height)), kept


CHANGES: dict[str, Change] = {"test_blur": blurred, "test_dark": darkened, "test_crop": cropped}


def picture_of(record: LabelledImage) -> Image.Image:
    """The image at its likely aspect ratio, the longer side SIDE_PX."""
    with Image.open(record.path) as opened:
        picture: Image.Image = opened.convert("RGB")
    aspect = record.true_aspect or picture.width / picture.height
    if record.true_aspect is None and picture.width == picture.height:
        aspect = COMMON_ASPECT
    size = (SIDE_PX, round(SIDE_PX / aspect)) if aspect >= 1 else (round(SIDE_PX * aspect), SIDE_PX)
    resized: Image.Image = picture.resize(size, Image.Resampling.BICUBIC)
    return resized


def boxes_of(record: LabelledImage, picture: Image.Image) -> list[list[Any]]:
    """Human boxes and confident machine boxes, in pixels of `picture`."""
    across, down = picture.width / record.width, picture.height / record.height
    return [
        [
            SAME.get(box.label, box.label),
            round(max(0.0, box.x * across), 1),
            round(max(0.0, box.y * down), 1),
            round(box.width * across, 1),
            round(box.height * down, 1),
        ]
        for box in (*record.boxes, *confident_boxes(record.pseudo_boxes))
    ]


def write_set(folder: Path, records: Iterable[LabelledImage], change: Change | None) -> int:
    """Write the images and then the manifest, which marks the set as complete; returns their
    number.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for record in records:
        picture = picture_of(record)
        boxes = boxes_of(record, picture)
        if change is not None:
            picture, boxes = change(picture, boxes)
        file = f"images/{record.set_name}_{record.path.stem}.jpg"
        picture.save(folder / file, quality=92)
        row: dict[str, Any] = {"file": file, "width": picture.width, "height": picture.height}
        row["boxes"] = boxes
        if record.captions:
            row["captions"] = list(record.captions)
        if record.scene and record.scene != "other":
            row["scene"] = record.scene
        lines.append(json.dumps(row))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def keep_note(note: Path, made_with: dict[str, Any]) -> None:
    """Record the settings of a work folder. Raises SystemExit if it was made with other settings."""
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) != made_with:
        raise SystemExit(
            f"error: {note.parent} was made with other settings ({note}); choose another --work"
        )
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(made_with) + "\n", encoding="utf-8")


def prepare(data: Path, work: Path, train: int, judged: int) -> list[str]:
    """Write every set that is missing; returns the names in the order of recording. Raises
    SystemExit if sets of other sizes exist.
    """
    keep_note(work / "sizes.json", {"train": train, "judged": judged})
    chosen = choose(require_data(data), train, judged)
    for name, records in chosen.items():
        folder = work / name
        if not (folder / "manifest.jsonl").is_file():
            count = write_set(folder, records, CHANGES.get(name))
            print(f"{folder}: {count} pictures")
    return list(chosen)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every router experiment has."""
    add_data(parser)
    parser.add_argument("--work", type=Path, default=WORK, help="datasets and recordings")
    parser.add_argument("--train", type=int, default=1600, help="images to train on")
    parser.add_argument("--judged", type=int, default=600, help="to calibrate on, and to test on")


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("experiments.router.data", __doc__)
    add_arguments(parser)
    args = parser.parse_args(arguments)
    prepare(args.data, args.work, args.train, args.judged)


if __name__ == "__main__":
    main()
