"""Pictures and boxes for the pocket detector: which labels it learns, and how training sees them.

Knows the labelled sets and their gaps; knows nothing of models. Human boxes come first, the sets'
machine labels (`pseudo_boxes`) fill in what humans left out, and a label that a set does not cover
is marked as unknown there, so that the loss can leave it alone.
"""

import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from tqdm import tqdm

from experiments.pocket.data import Box, Record, read_sets

IMAGE_SIZE = 416
SLOW_SIZE = 320  # on a processor without bf16, where the other takes too long for 15 looks a second
PAD = 114  # Ultralytics' letterbox grey

# what the teachers of the pseudo boxes know
COCO_LABELS = (
    "person", "bicycle", "car", "motorcycle", "bus", "truck", "traffic light", "bench", "dog",
    "backpack", "handbag", "umbrella", "chair", "couch", "bed", "dining table", "potted plant",
    "toilet", "sink", "refrigerator", "oven", "microwave", "tv", "bottle", "cup",
)  # fmt: skip
OWN_LABELS = ("door", "stairs", "pole", "traffic sign", "pothole")
LABELS = COCO_LABELS + OWN_LABELS

# other sets' words for the same things
SYNONYMS = {
    "stop sign": "traffic sign", "streetlight": "pole", "double_door": "door",
    "staircase": "stairs", "steps": "stairs", "step": "stairs", "van": "car",
    "person_standing": "person", "person_walking": "person", "person_sitting": "person",
    "armchair": "chair", "swivel_chair": "chair", "deck_chair": "chair", "sofa": "couch",
    "table": "dining table", "coffee_table": "dining table", "coffee table": "dining table",
    "desk": "dining table", "side_table": "dining table", "television": "tv", "screen": "tv",
    "washbasin": "sink", "stove": "oven", "mug": "cup", "bag": "handbag", "purse": "handbag",
}  # fmt: skip

_PLACES = (
    "person", "car", "bus", "truck", "bench", "umbrella", "chair", "couch", "bed", "dining table",
    "toilet", "sink", "refrigerator", "oven", "microwave", "tv", "bottle", "cup", "handbag",
    "door", "stairs", "pole",
)  # fmt: skip
_INDOOR = (
    "person", "backpack", "chair", "couch", "bed", "dining table", "potted plant", "sink", "tv",
    "bottle", "cup", "door",
)  # fmt: skip

# Labels that a set's boxes, human and pseudo together, cover; elsewhere absence means nothing.
# Potholes, and indoors traffic signs, are covered where a picture as good as never shows one:
# without those negatives a label of one set only would fire on everything else.
COVERED: dict[str, tuple[str, ...]] = {
    "boxes_coco": (*COCO_LABELS, "pothole"),
    "boxes_doors": (*COCO_LABELS, "door", "pothole", "traffic sign"),
    "boxes_indoor": (*_INDOOR, "pothole", "traffic sign", "pole"),
    "boxes_motorcycles": (*COCO_LABELS, "pothole"),
    "boxes_openimages": (*COCO_LABELS, "pothole"),
    "boxes_pedestrians": (*COCO_LABELS, "pothole"),
    "boxes_potholes": (*COCO_LABELS, "pothole", "door", "stairs"),
    "captions_flickr8k": (*COCO_LABELS, "pothole"),
    "masks_camvid": (*COCO_LABELS, "pole", "traffic sign", "pothole"),
    "scenes_houses": (*COCO_LABELS, "pothole", "traffic sign"),
    "scenes_miniplaces": (*_PLACES, "pothole"),
    "walks_sf": COCO_LABELS,
}
# Labels that humans boxed completely enough on a set's `val` pictures to count misses against.
JUDGED: dict[str, tuple[str, ...]] = {
    "boxes_coco": COCO_LABELS,
    "boxes_doors": ("door",),
    "boxes_indoor": _INDOOR,
    "boxes_motorcycles": ("motorcycle",),
    "boxes_potholes": ("pothole",),
    "masks_camvid": ("bicycle", "car", "pole", "traffic sign"),
    "scenes_miniplaces": ("stairs",),
}
SQUASHED = {"captions_flickr8k", "scenes_miniplaces"}  # stored square, whatever they were
COMMON_ASPECT = 4 / 3  # of the squashed pictures whose own is not stated, when nothing else is
RARE = 0.1  # labels on a smaller share of the pictures are drawn more often
DRAW_RANGE = (0.5, 6.0)  # how much less or more often than evenly a picture is drawn
SET_WEIGHT = {"walks_sf": 4.0, "boxes_coco": 3.0, "scenes_miniplaces": 0.7, "scenes_houses": 0.6}


@dataclass(frozen=True)
class Sample:
    """A picture and its boxes: `classes` int64 [n], `boxes` float32 [n, 4] as x1, y1, x2, y2 in
    shares of the picture. A class from len(LABELS) on is that label less len(LABELS), unsure: it may or
    may not be there. `aspect` is the width over height that it should be shown at."""

    set_name: str
    path: Path
    aspect: float
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / max(one.width * one.height + other.width * other.height - shared, 1e-9)


def merge_boxes(record: Record) -> list[tuple[str, Box, bool]]:
    """Human boxes of known labels, then the pseudo boxes that repeat none of them, and whether each is
    to be trusted."""
    known = [(SYNONYMS.get(box.label, box.label), box, True) for box in record.boxes]
    merged = [row for row in known if row[0] in COVERED[record.set_name]]
    for box in record.pseudo_boxes:
        # precision 0.88 at 0.5, and 0.82 at 0.4 before asking for agreement (shared data README)
        trusted = box.score >= 0.5 or (box.score >= 0.4 and box.agreed)
        label = SYNONYMS.get(box.label, box.label)
        repeats = any(label == name and overlap(box, other) >= 0.5 for name, other, _ in merged)
        if not repeats and label in COVERED[record.set_name]:
            merged.append((label, box, trusted))
    return merged


def to_sample(record: Record, boxes: Iterable[tuple[str, Box, bool]], aspect: float) -> Sample:
    """A record with these boxes, clipped to the picture."""
    rows = list(boxes)
    corners = [(box.x, box.y, box.x + box.width, box.y + box.height) for _, box, _ in rows]
    size = np.array([record.width, record.height] * 2, np.float32)
    shares = np.clip(np.array(corners, np.float32).reshape(-1, 4) / size, 0, 1)
    classes = np.array(
        [LABELS.index(n) + (not sure) * len(LABELS) for n, _, sure in rows], np.int64
    )
    return Sample(record.set_name, record.path, aspect, classes, shares)


def read_samples(root: Path, split: str, seed: int = 0) -> list[Sample]:
    """Every picture of a split that has boxes of a known label; for `val`, human boxes only."""
    records = [r for r in read_sets(root, COVERED) if r.split == split]
    aspects = [r.true_aspect for r in records if r.true_aspect]
    rng = np.random.default_rng(seed)
    samples = []
    for record in records:
        aspect = record.width / record.height
        if record.set_name in SQUASHED:
            likely = rng.choice(aspects) if record.set_name == "captions_flickr8k" else None
            aspect = record.true_aspect or float(likely or COMMON_ASPECT)
        if split == "val":
            judged = JUDGED.get(record.set_name, ())
            named = ((SYNONYMS.get(box.label, box.label), box) for box in record.boxes)
            boxes = [(label, box, True) for label, box in named if label in judged]
            keep = record.set_name in JUDGED and (
                record.set_name != "scenes_miniplaces" or bool(record.boxes)
            )
        else:
            boxes = merge_boxes(record)
            keep = any(sure for *_, sure in boxes) or record.set_name in {
                "boxes_coco",
                "boxes_doors",
                "boxes_potholes",
            }
        if keep:
            samples.append(to_sample(record, boxes, aspect))
    return samples


def draw_weights(samples: list[Sample]) -> NDArray[np.float64]:
    """How often each picture is drawn, float64 [n] adding up to 1: by its rarest label, as the
    repeat factors of LVIS (Gupta et al. 2019, section 4.2), times its set's weight."""
    labels = [set(s.classes[s.classes < len(LABELS)].tolist()) for s in samples]
    pictures = Counter(label for each in labels for label in each)
    factor = {c: (RARE * len(samples) / n) ** 0.5 for c, n in pictures.items()}
    rarest = [max((factor[label] for label in each), default=0.0) for each in labels]
    weights = np.clip(np.array(rarest), *DRAW_RANGE)
    weights *= np.array([SET_WEIGHT.get(sample.set_name, 1.0) for sample in samples])
    return np.asarray(weights / weights.sum())


def load_image(sample: Sample, longest: int) -> NDArray[np.uint8]:
    """Decoded RGB uint8 [height, width, 3], no longer side over `longest` pixels."""
    image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"cannot decode {sample.path.name} of {sample.set_name}")
    scale = longest / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[:, :, ::-1])


class PocketDataset(Dataset):  # type: ignore[misc]  # torch is untyped here
    """Random, augmented views of the training pictures, which stay decoded in memory.

    An item is drawn by `draw_weights` whatever its index, so an epoch is any `length` that suits.
    """

    def __init__(self, root: Path, length: int, size: int = IMAGE_SIZE, seed: int = 0) -> None:
        self.samples = read_samples(root, "train", seed)
        self.length, self.size = length, size
        self.limits = np.cumsum(draw_weights(self.samples))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(lambda sample: load_image(sample, size), self.samples)
            self.images = list(tqdm(decoded, "decode", len(self.samples), mininterval=5))
        self.small = np.array(
            [i for i, s in enumerate(self.samples) if s.set_name == "scenes_miniplaces"]
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`img` uint8 [3, size, size] RGB, `cls` [n, 1], `bboxes` [n, 4] as centre and size in
        shares, `batch_idx` [n], `covered` [labels] with 1 for what the picture's set covers; `unsure`
        [m, 5], label and corners in shares of what may be there, and `unsure_idx` [m]."""
        # torch's generator is seeded apart in every worker
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        chosen = int(np.searchsorted(self.limits, rng.random() * self.limits[-1]))
        name = self.samples[chosen].set_name
        if name == "scenes_miniplaces" and rng.random() < 0.7:
            # 128 pixels a side: four to a canvas, near their own resolution
            four = [chosen, *rng.choice(self.small, 3)]
            image, classes, boxes = self._grid([int(i) for i in four], rng)
        else:
            image, classes, boxes = self._view(chosen, self.size, rng)
        sure = classes < len(LABELS)
        unsure = np.column_stack([classes - len(LABELS), boxes / self.size])[~sure]
        classes, boxes = classes[sure], boxes[sure]
        centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        covered = torch.tensor([float(label in COVERED[name]) for label in LABELS])
        return {
            "img": torch.from_numpy(vary_colour(image, rng).transpose(2, 0, 1).copy()),
            "cls": torch.from_numpy(classes.astype(np.float32))[:, None],
            "bboxes": torch.from_numpy(np.concatenate([centre, size], 1) / self.size),
            "batch_idx": torch.zeros(len(classes)),
            "covered": covered,
            "unsure": torch.from_numpy(unsure.astype(np.float32)),
            "unsure_idx": torch.zeros(len(unsure), dtype=torch.int64),
        }

    def _view(
        self, index: int, side: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
        sample = self.samples[index]
        return random_view(self.images[index], sample, side, rng)

    def _grid(
        self, indexes: list[int], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
        """Four views on one canvas, two by two."""
        half = self.size // 2
        canvas = np.empty((self.size, self.size, 3), np.uint8)
        classes, boxes = [], []
        for place, index in enumerate(indexes):
            left, top = half * (place % 2), half * (place // 2)
            tile, tile_classes, tile_boxes = self._view(index, half, rng)
            canvas[top : top + half, left : left + half] = tile
            classes.append(tile_classes)
            boxes.append(tile_boxes + np.array([left, top, left, top], np.float32))
        return canvas, np.concatenate(classes), np.concatenate(boxes)


def random_view(
    image: NDArray[np.uint8], sample: Sample, side: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """A scaled, shifted and perhaps mirrored view on a grey square of `side` pixels; the classes
    and corners (in its pixels) of the boxes that are still at least a third visible."""
    aspect = sample.aspect * np.exp(rng.uniform(-0.1, 0.1))
    scale = 1.0 if rng.random() < 0.25 else np.exp(rng.uniform(np.log(0.6), np.log(1.7)))
    size = side * scale * np.array([min(aspect, 1.0), min(1 / aspect, 1.0)])
    slack = side - size  # negative where the view is a crop
    corner = slack * (rng.uniform(0, 1, 2) if scale != 1.0 else 0.5)
    factor = size / np.array([image.shape[1], image.shape[0]])
    mirror = rng.random() < 0.5
    matrix = np.array([[factor[0], 0, corner[0]], [0, factor[1], corner[1]]])
    if mirror:
        matrix[0] = [-factor[0], 0, side - corner[0] - 1]
    shown = cv2.warpAffine(
        image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=(PAD, PAD, PAD)
    )
    boxes = sample.boxes * np.tile(size, 2) + np.tile(corner, 2)
    if mirror:
        boxes = np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], 1)
    inside = np.clip(boxes, 0, side)
    seen, whole = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (inside, boxes))
    narrow = (inside[:, 2:] - inside[:, :2]).min(axis=1, initial=side)
    keep = (seen > whole / 3) & (narrow >= 3)
    return np.asarray(shown, np.uint8), sample.classes[keep], inside[keep].astype(np.float32)


def vary_colour(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random brightness, contrast, gamma and tint, in one table look-up a channel."""
    level = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.uniform(-0.35, 0.35))
    gain = rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3)
    table = np.clip((level * gain + rng.uniform(-0.08, 0.08)) * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        image = np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch as Ultralytics' loss expects it; `batch_idx` and `unsure_idx` say whose each box is."""
    for number, item in enumerate(items):
        item["batch_idx"] += number
        item["unsure_idx"] += number
    stacked = {key: torch.stack([item[key] for item in items]) for key in ("img", "covered")}
    boxes = ("cls", "bboxes", "batch_idx", "unsure", "unsure_idx")
    return stacked | {key: torch.cat([item[key] for item in items]) for key in boxes}
