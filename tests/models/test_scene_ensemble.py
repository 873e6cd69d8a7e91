"""The scene ensemble on the shipped weights: the right backbone, mixed as configured."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from engine.core.camera import Frame
from engine.core.errors import MissingPart
from engine.devices.video.sample import sample_photo
from models.packs import PackFiles, find_pack, write_manifest
from models.scene_ensemble import SceneEnsemble, build_head
from models.scenes import FastVitScenes
from tests.fakes.command import ROOT

pytestmark = pytest.mark.weights
SHIPPED = ROOT / "models" / "pocket"


@pytest.fixture(scope="module")
def files() -> PackFiles:
    return find_pack("scenes", "pocket", pocket=SHIPPED)


def photo() -> Frame:
    return Frame(np.asarray(Image.open(sample_photo()).convert("RGB")), 0.0, 0)


def test_the_backbone_is_that_of_the_detectors_weights(files: PackFiles) -> None:
    """torch computes the same logits with `detector.pt`, over the image and its mirror image. So
    a detector that was trained further needs a new head, and its two forms must be one network."""
    import torch

    state = torch.load(SHIPPED / "detector.pt", map_location="cpu", weights_only=False)
    trunk: Any = torch.nn.Sequential(*state["model"].float().eval().model[0].m)
    settings = files.settings()
    second = SceneEnsemble(files, settings["second"], len(settings["classes"]))
    head = build_head(len(settings["classes"])).eval()
    head.load_state_dict(load_file(SHIPPED / settings["second"]["weights"]))
    square = np.asarray(Image.fromarray(photo().image).resize((second.size, second.size)))
    pixels = torch.from_numpy(square.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = head(trunk(torch.cat([pixels, pixels.flip(3)]))).mean(0).numpy()
    assert second.look(square)() == pytest.approx(expected, abs=0.3)


def test_both_networks_are_mixed_unless_torch_is_requested(files: PackFiles) -> None:
    alone = FastVitScenes(files, "cpu", "torch")
    both = FastVitScenes(files, "cpu", "auto")
    assert both.card.name == f"{alone.card.name} + detector trunk"
    street = both.classify(photo())
    assert street.label == "street"
    assert street.probability > 0.5
    half = Frame(np.ascontiguousarray(photo().image[:, :405]), 0.0, 0)  # on which they differ more
    one, two = (scenes.classify(half).probability for scenes in (alone, both))
    assert one != pytest.approx(two, abs=0.01)


@pytest.mark.parametrize("broken", ["node", "weights"])
def test_files_that_do_not_fit_are_refused_by_name(
    files: PackFiles, tmp_path: Path, broken: str
) -> None:
    for name in files.files:
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    trunk = "detector_openvino_model"
    (tmp_path / trunk).mkdir()
    for path in (SHIPPED / trunk).iterdir():
        (tmp_path / trunk / path.name).write_bytes(path.read_bytes())
    card = json.loads((tmp_path / "scenes.json").read_text(encoding="utf-8"))
    card["second"][broken] = {"node": "nowhere", "weights": "scenes.safetensors"}[broken]
    (tmp_path / "scenes.json").write_text(json.dumps(card), encoding="utf-8")
    write_manifest(tmp_path, "0")
    with pytest.raises(MissingPart, match=r"expected a trunk and its head") as refused:
        FastVitScenes(find_pack("scenes", "pocket", pocket=tmp_path), "cpu")
    assert "\n" not in str(refused.value)
