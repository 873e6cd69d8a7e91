"""The labels of the scene classifier's training, and its evaluation."""

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
def test_an_image_has_a_scene_that_is_indoors_or_outdoors(
    set_name: str, scene: str | None, indoor: bool | None, expected: tuple[str, bool] | None
) -> None:
    record = LabelledImage(set_name, Path("x.jpg"), 128, 128, "train", scene, indoor)
    kind = kind_of(record)
    assert (CLASSES[kind] if kind >= 0 else None) == expected


def test_classes_are_unique_and_cover_every_scene() -> None:
    assert len(set(CLASSES)) == len(CLASSES)
    assert {scene for scene, _ in CLASSES} == set(LABELS)


def test_a_hall_classified_as_other_outdoors_has_the_right_scene_but_not_the_right_side() -> None:
    """Three unlisted halls: classified as other indoors, as other outdoors, as a kitchen."""
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
