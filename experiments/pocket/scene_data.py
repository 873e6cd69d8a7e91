"""Labels and caches of the scene classifier: which picture counts as which scene.

Every image is decoded once, to 128 x 128 (the size of most sources) and to the teacher's pooled
features; both are memory-mapped from the work folder afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from experiments.pocket.data import Record, load_squares, read_sets
from experiments.pocket.teacher import WIDTH, FeatureExtractor, as_pixels, lite0

STORED_PX = 128
TEACHER_PX = 160  # most sources have 128; at 224 the teacher would take twice the time
CACHE_BATCH = 32

# The walker scenes of `scenes_miniplaces` and whether they are indoors, then what the other
# sets add.
INDOOR: dict[str, bool] = {
    "auditorium": True,
    "bathroom": True,
    "bedroom": True,
    "bridge": False,
    "car park": False,
    "city buildings": False,
    "classroom": True,
    "construction site": False,
    "corridor": True,
    "courtyard": False,
    "dining room": True,
    "driveway": False,
    "gas station": False,
    "hospital room": True,
    "kitchen": True,
    "living room": True,
    "lobby": True,
    "locker room": True,
    "market": False,
    "museum": True,
    "office": True,
    "other": False,
    "park": False,
    "railway track": False,
    "restaurant": True,
    "road": False,
    "shop": True,
    "stairs": True,
    "station": True,
    "vehicle interior": True,
    "yard": False,
    "house front": False,
    "street": False,
}
LABELS = tuple(INDOOR)

# MiniPlaces calls its forests, mountains and coasts "other"; two names for one view would only
# teach the classifier to tell the sets apart.
MERGED = {
    "buildings": "city buildings",
    "forest": "other",
    "mountain": "other",
    "sea": "other",
}
# Sets without scene labels whose every picture is taken on a street.
STREET_SETS = ("boxes_pedestrians", "masks_camvid", "walks_sf")


def scene_of(record: Record) -> int:
    """Index into `LABELS`, or -1 where the picture has no scene label."""
    if record.set_name in STREET_SETS:
        return LABELS.index("street")
    if record.scene is None:
        return -1
    return LABELS.index(MERGED.get(record.scene, record.scene))


def is_indoor(record: Record) -> int:
    """1 indoors, 0 outdoors, -1 unknown. The picture's own flag comes before its scene's."""
    if record.indoor is not None:
        return int(record.indoor)
    scene = scene_of(record)
    return -1 if scene < 0 else int(INDOOR[LABELS[scene]])


@dataclass(frozen=True)
class SceneData:
    """All images, in the order of `read_sets`.

    `images` uint8 [N, 128, 128, 3]; `pooled` float16 [N, 1280], the teacher's mean feature;
    `scene` int64 [N], -1 unknown; `indoor` int64 [N], -1 unknown; `train`, `val` bool [N].
    `val` holds only pictures whose scene a person labelled.
    """

    images: NDArray[np.uint8]
    pooled: NDArray[np.float16]
    scene: NDArray[np.int64]
    indoor: NDArray[np.int64]
    train: NDArray[np.bool_]
    val: NDArray[np.bool_]


def load(root: Path, work: Path, threads: int) -> SceneData:
    """Reads manifests and caches, making the caches at the first call (three minutes)."""
    records = read_sets(root)
    images_path, pooled_path = work / "images.npy", work / "pooled.npy"
    if not pooled_path.is_file():
        _cache(records, images_path, pooled_path, threads)
    in_train = np.array([record.split == "train" for record in records])
    labelled = np.array([record.scene is not None for record in records])
    return SceneData(
        images=np.load(images_path, mmap_mode="r"),
        pooled=np.load(pooled_path),
        scene=np.array([scene_of(record) for record in records]),
        indoor=np.array([is_indoor(record) for record in records]),
        train=in_train,
        val=~in_train & labelled,
    )


def _cache(records: Sequence[Record], images_path: Path, pooled_path: Path, threads: int) -> None:
    """Writes both caches; `pooled.npy` appears last, so its presence means both are whole."""
    images_path.parent.mkdir(parents=True, exist_ok=True)
    extract = FeatureExtractor(lite0(), threads)
    images = np.lib.format.open_memmap(
        images_path, "w+", np.uint8, (len(records), STORED_PX, STORED_PX, 3)
    )
    pooled = np.empty((len(records), WIDTH), np.float16)
    squares = iter(tqdm(load_squares(records, TEACHER_PX), "decode", len(records), mininterval=5))
    for start in range(0, len(records), CACHE_BATCH):
        several = np.stack(list(islice(squares, CACHE_BATCH)))
        rows = slice(start, start + len(several))
        pooled[rows] = extract(as_pixels(several)).mean(axis=(2, 3))
        for row, square in zip(range(*rows.indices(len(records))), several, strict=True):
            small = Image.fromarray(square).resize((STORED_PX, STORED_PX), Image.Resampling.BICUBIC)
            images[row] = np.asarray(small)
    images.flush()
    np.save(pooled_path, pooled)
