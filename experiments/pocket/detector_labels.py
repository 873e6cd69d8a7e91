"""The pocket detector's labels, which set covers which of them, and every image with its boxes.

Human boxes come first; the sets' machine labels (`pseudo_boxes`) add what humans left out. A label
that a set does not cover is unknown there, and a doubtful machine box may or may not be right: the
loss ignores both. Knows nothing of models.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.pocket.data import LabelledBox, LabelledImage, read_sets

# The labels of the teacher networks that made the machine boxes.
COCO_LABELS = (
    "person", "bicycle", "car", "motorcycle", "bus", "truck", "traffic light", "bench", "dog",
    "backpack", "handbag", "umbrella", "chair", "couch", "bed", "dining table", "potted plant",
    "toilet", "sink", "refrigerator", "oven", "microwave", "tv", "bottle", "cup",
)  # fmt: skip
OWN_LABELS = ("door", "stairs", "pole", "traffic sign", "pothole")
LABELS = COCO_LABELS + OWN_LABELS

# Other sets' names of the same objects.
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

# Labels that a set's boxes, human and machine together, cover; for others absence means nothing.
# Potholes, and indoors traffic signs, count as covered where images almost never show one:
# without such negatives a label of a single set would be detected everywhere else.
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
# Labels that humans boxed so completely on a set's `val` images that further detections are wrong.
# Boxes in other sets count for recall only.
JUDGED: dict[str, tuple[str, ...]] = {
    "boxes_coco": COCO_LABELS,
    "boxes_doors": ("door",),
    "boxes_indoor": _INDOOR,
    "boxes_motorcycles": ("motorcycle",),
    "boxes_potholes": ("pothole",),
    "masks_camvid": ("bicycle", "car", "pole", "traffic sign"),
    "scenes_miniplaces": ("stairs",),
}
SQUASHED = {"captions_flickr8k", "scenes_miniplaces"}  # stored as squares
COMMON_ASPECT = 4 / 3  # of squashed images of unknown aspect ratio
RARE = 0.1  # labels on a smaller share of the images than this are drawn more often
DRAW_RANGE = (0.5, 6.0)  # limits of an image's weight relative to even drawing
SET_WEIGHT = {"walks_sf": 4.0, "boxes_coco": 3.0, "scenes_miniplaces": 0.7, "scenes_houses": 0.6}


@dataclass(frozen=True)
class Sample:
    """An image and its boxes: `classes` int64 [n], `boxes` float32 [n, 4] as x1, y1, x2, y2 in
    shares.

    A class from len(LABELS) on is that label less len(LABELS), doubtful: it may or may not be
    there. `aspect` is the width over height at which the image should be shown.
    """

    set_name: str
    path: Path
    aspect: float
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]


def overlap(one: LabelledBox, other: LabelledBox) -> float:
    """Intersection over union."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / max(one.width * one.height + other.width * other.height - shared, 1e-9)


def merge_boxes(record: LabelledImage) -> list[tuple[str, LabelledBox, bool]]:
    """(label, box, whether it is trusted): human boxes of known labels, then the machine boxes that
    repeat none of them.
    """
    known = [(SYNONYMS.get(box.label, box.label), box, True) for box in record.boxes]
    merged = [row for row in known if row[0] in COVERED[record.set_name]]
    for box in record.pseudo_boxes:
        # Precision is 0.88 at 0.5, and 0.82 at 0.4 without agreement (README of the data).
        trusted = box.score >= 0.5 or (box.score >= 0.4 and box.agreed)
        label = SYNONYMS.get(box.label, box.label)
        repeats = any(label == name and overlap(box, other) >= 0.5 for name, other, _ in merged)
        if not repeats and label in COVERED[record.set_name]:
            merged.append((label, box, trusted))
    return merged


def to_sample(
    record: LabelledImage, boxes: Iterable[tuple[str, LabelledBox, bool]], aspect: float
) -> Sample:
    """A record with these boxes, clipped to the image."""
    rows = list(boxes)
    corners = [(box.x, box.y, box.x + box.width, box.y + box.height) for _, box, _ in rows]
    size = np.array([record.width, record.height] * 2, np.float32)
    shares = np.clip(np.array(corners, np.float32).reshape(-1, 4) / size, 0, 1)
    classes = np.array(
        [LABELS.index(n) + (not sure) * len(LABELS) for n, _, sure in rows], np.int64
    )
    return Sample(record.set_name, record.path, aspect, classes, shares)


def read_samples(root: Path, split: str, seed: int = 0) -> list[Sample]:
    """Every image of a split that has boxes of a known label; for `val`, human boxes only."""
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
            named = ((SYNONYMS.get(box.label, box.label), box) for box in record.boxes)
            boxes = [(label, box, True) for label, box in named if label in LABELS]
            keep = bool(record.boxes) or record.set_name in JUDGED.keys() - {"scenes_miniplaces"}
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
    """How often each image is drawn, float64 [n] adding up to 1: by its rarest label, as the
    repeat factors of LVIS (Gupta et al. 2019, section 4.2), times its set's weight."""
    labels = [set(s.classes[s.classes < len(LABELS)].tolist()) for s in samples]
    pictures = Counter(label for each in labels for label in each)
    factor = {c: (RARE * len(samples) / n) ** 0.5 for c, n in pictures.items()}
    rarest = [max((factor[label] for label in each), default=0.0) for each in labels]
    weights = np.clip(np.array(rarest), *DRAW_RANGE)
    weights *= np.array([SET_WEIGHT.get(sample.set_name, 1.0) for sample in samples])
    return np.asarray(weights / weights.sum())
