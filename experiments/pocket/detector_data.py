"""The pocket detector's training images: random, augmented views from memory.

Knows nothing of models.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from tqdm import tqdm

from experiments.pocket.detector_labels import (
    COVERED,
    LABELS,
    Sample,
    draw_weights,
    read_samples,
)

IMAGE_SIZE = 416
# Also evaluated: 320 for slower machines (models.fit), and 640 because a user may ask for it.
OTHER_SIZES = (320, 640)
PAD = 114  # Ultralytics' letterbox grey


def load_image(sample: Sample, longest: int) -> NDArray[np.uint8]:
    """Decode to RGB uint8 [height, width, 3], the longer side at most `longest` pixels."""
    image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError(f"cannot decode {sample.path.name} of {sample.set_name}")
    scale = longest / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[:, :, ::-1])


class PocketDataset(Dataset):  # type: ignore[misc]  # torch is untyped here
    """Random, augmented views of the training images, which stay decoded in memory.

    An item is drawn by `draw_weights` whatever its index, so an epoch may have any `length`.
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
        """One training item.

        `img` uint8 [3, size, size] RGB, `cls` [n, 1], `bboxes` [n, 4] as centre and size in shares,
        `batch_idx` [n], `covered` [labels] with 1 for labels that the image's set covers,
        `unsure` [m, 5] as label and corners in shares of doubtful boxes, and `unsure_idx` [m].
        """
        # torch's generator has another seed in every worker.
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        chosen = int(np.searchsorted(self.limits, rng.random() * self.limits[-1]))
        name = self.samples[chosen].set_name
        if name == "scenes_miniplaces" and rng.random() < 0.7:
            # These have 128 pixels per side: four fill a canvas near their own resolution.
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
    """A scaled, shifted and randomly mirrored view on a grey square of `side` pixels, with the
    classes and corners (in its pixels) of the boxes of which at least a third is visible.
    """
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
    """Random brightness, contrast, gamma and tint, in one table look-up for each channel."""
    level = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.uniform(-0.35, 0.35))
    gain = rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3)
    table = np.clip((level * gain + rng.uniform(-0.08, 0.08)) * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        image = np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch as Ultralytics' loss expects it; `batch_idx` and `unsure_idx` give each box's
    image.
    """
    for number, item in enumerate(items):
        item["batch_idx"] += number
        item["unsure_idx"] += number
    stacked = {key: torch.stack([item[key] for item in items]) for key in ("img", "covered")}
    boxes = ("cls", "bboxes", "batch_idx", "unsure", "unsure_idx")
    return stacked | {key: torch.cat([item[key] for item in items]) for key in boxes}
