"""What the scenes' training is told, and how it is judged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.pocket.data import LabelledImage
from experiments.pocket.scene_data import CLASSES, LABELS, SceneData, kind_of
from experiments.pocket.scene_report import measured

pytestmark = pytest.mark.weights


@pytest.mark.parametrize(
    ("set_name", "scene", "indoor", "expected"),
    [
        ("scenes_miniplaces", "kitchen", True, ("kitchen", True)),
        ("scenes_miniplaces", "other", True, ("other", True)),
        ("scenes_miniplaces", "other", False, ("other", False)),
        ("scenes_streets100", "forest", None, ("other", False)),
        ("scenes_houses", "house front", None, ("house front", False)),
        ("walks_sf", None, None, ("street", False)),
        ("captions_flickr8k", None, None, None),
    ],
)
def test_a_picture_has_a_scene_and_a_side_of_the_door(
    set_name: str, scene: str | None, indoor: bool | None, expected: tuple[str, bool] | None
) -> None:
    record = LabelledImage(set_name, Path("x.jpg"), 128, 128, "train", scene, indoor)
    kind = kind_of(record)
    assert (CLASSES[kind] if kind >= 0 else None) == expected


def test_no_class_stands_twice_and_every_scene_has_one() -> None:
    assert len(set(CLASSES)) == len(CLASSES)
    assert {scene for scene, _ in CLASSES} == set(LABELS)


def test_a_hall_taken_for_a_mountain_has_the_right_scene_on_the_wrong_side() -> None:
    """Three halls that are on no list: told as such, as something outdoors, as a kitchen."""
    said = [("other", True), ("other", False), ("kitchen", True)]
    logits = torch.full((3, len(CLASSES)), -9.0)
    for row, kind in enumerate(said):
        logits[row, CLASSES.index(kind)] = 9.0
    halls, every = np.full(3, CLASSES.index(("other", True))), np.ones(3, bool)
    data = SceneData(np.zeros((3, 1, 1, 3), np.uint8), halls, ~every, every)
    figures, confusion = measured(logits, data, seed=0)
    assert figures["top1"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["indoor_outdoor"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert confusion[LABELS.index("other"), LABELS.index("kitchen")] == 1
