"""Labels and images of the scene classifier: which image counts as which scene.

Every image is decoded once, to 224 x 224 (most sources have 128), and memory-mapped from the work
folder afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.pocket.data import LabelledImage, load_squares, read_sets

# The input of the ensemble's second network, which is right for 2 % fewer images at 160 px.
STORED_PX = 224

# The scenes of `scenes_miniplaces`, then those that other sets add; whether they are indoors.
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
# The networks' classes: scenes, indoors or outdoors. A good tenth of "other" is indoors: ballrooms,
# gyms, aquariums.
CLASSES = (*INDOOR.items(), ("other", True))

# MiniPlaces labels forests, mountains and coasts "other"; with two names for one view the
# classifier would learn to tell the sets apart.
MERGED = {
    "buildings": "city buildings",
    "forest": "other",
    "mountain": "other",
    "sea": "other",
}
# Sets without scene labels whose every image is taken on a street.
STREET_SETS = ("boxes_pedestrians", "masks_camvid", "walks_sf")


def kind_of(record: LabelledImage) -> int:
    """Index into `CLASSES`, or -1 where the image has no scene label. The image's own indoor
    flag overrides its scene's.
    """
    scene = "street" if record.set_name in STREET_SETS else record.scene
    if scene is None:
        return -1
    scene = MERGED.get(scene, scene)
    return CLASSES.index((scene, INDOOR[scene] if record.indoor is None else record.indoor))


@dataclass(frozen=True)
class SceneData:
    """All images, in the order of `read_sets`.

    `images` uint8 [N, 224, 224, 3]; `kind` int64 [N], index into CLASSES, -1 unknown; `train`,
    `val` bool [N]. `val` contains only images whose scene a person labelled.
    """

    images: NDArray[np.uint8]
    kind: NDArray[np.int64]
    train: NDArray[np.bool_]
    val: NDArray[np.bool_]


def load(root: Path, work: Path) -> SceneData:
    """Read manifests and images; the first call decodes the images (a minute)."""
    records = read_sets(root)
    path = work / f"images_{STORED_PX}.npy"
    if not path.is_file():
        _decode(records, path)
    in_train = np.array([record.split == "train" for record in records])
    labelled = np.array([record.scene is not None for record in records])
    return SceneData(
        images=np.load(path, mmap_mode="c"),  # torch asks for an array that could be written to
        kind=np.array([kind_of(record) for record in records]),
        train=in_train,
        val=~in_train & labelled,
    )


def _decode(records: Sequence[LabelledImage], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    shape = (len(records), STORED_PX, STORED_PX, 3)
    images = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
    squares = load_squares(records, STORED_PX)
    for row, square in enumerate(tqdm(squares, "decode", len(records), mininterval=5)):
        images[row] = square
    images.flush()
    partial.replace(path)
