"""The scenes' second eye on the shipped weights: the right part of the right network, mixed as said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.devices.sample import sample_photo
from engine.errors import MissingPart
from engine.types import Frame
from models import quiet_offline
from models.packs import PackFiles, find_pack, write_manifest
from models.scenes import FastVitScenes
from models.second_eye import SecondEye
from tests.command import ROOT

quiet_offline()
SHIPPED = ROOT / "models" / "pocket"


@pytest.fixture(scope="module")
def files() -> PackFiles:
    return find_pack("scenes", "pocket", pocket=SHIPPED)


def photo() -> Frame:
    from PIL import Image

    return Frame(np.asarray(Image.open(sample_photo()).convert("RGB")), 0.0, 0)


def test_the_trunk_is_still_that_on_which_the_head_was_trained(files: PackFiles) -> None:
    """A detector whose trunk was trained further would need another head. The describer's eye is the
    same network, kept in another file: both must give the same logits."""
    import timm
    import torch
    from safetensors.torch import load_file

    settings = files.settings()
    net: Any = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    prefix = "model.vision_tower.timm_model."
    state = load_file(SHIPPED / "describer" / "model.safetensors")
    net.load_state_dict(
        {name.removeprefix(prefix): t.float() for name, t in state.items() if prefix in name}
    )
    eye = SecondEye(files, settings["second"], len(settings["labels"]))
    square = np.random.default_rng(0).integers(0, 256, (eye.size, eye.size, 3), np.uint8)
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        pooled = net.eval().forward_features(pixels).mean((2, 3))
        expected = eye._head[4:](pooled)[0].numpy()
    assert eye.logits(square) == pytest.approx(expected, abs=0.1)


def test_both_eyes_are_mixed_and_torch_alone_means_alone(files: PackFiles) -> None:
    alone = FastVitScenes(files, "cpu", "torch")
    both = FastVitScenes(files, "cpu", "auto")
    assert both.card.name == f"{alone.card.name} + second eye"
    street = both.classify(photo())
    assert street.label == "street"
    assert street.probability > 0.5 > alone.classify(photo()).probability


@pytest.mark.parametrize("broken", ["node", "weights"])
def test_what_does_not_fit_is_refused_by_name(
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
