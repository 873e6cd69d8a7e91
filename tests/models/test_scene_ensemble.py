"""The scene ensemble on the shipped weights: both networks, in OpenVINO as in torch."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.core.camera import Frame
from engine.core.errors import MissingPart
from engine.devices.video.sample import sample_photo
from models.packs import PackFiles, find_pack, write_manifest
from models.scenes import load_scenes
from tests.fakes.command import ROOT
from tests.fakes.pictures import derived_pictures

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("one_thread")]
SHIPPED = ROOT / "models" / "pocket"


@pytest.fixture(scope="module")
def files() -> PackFiles:
    return find_pack("scenes", "pocket", pocket=SHIPPED)


def copied(files: PackFiles, root: Path) -> PackFiles:
    """The pack without its second network."""
    for name in files.files:
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(SHIPPED / name, root / name)
    card = json.loads((root / "scenes.json").read_text(encoding="utf-8"))
    del card["second"]
    (root / "scenes.json").write_text(json.dumps(card), encoding="utf-8")
    write_manifest(root, "0")
    return find_pack("scenes", "pocket", pocket=root)


def test_probabilities_are_those_of_torch_and_of_both_networks(
    files: PackFiles, tmp_path: Path
) -> None:
    """So a detector that was trained further needs a new head, and its two forms must be one
    network."""
    compiled, in_torch = load_scenes(files, "cpu"), load_scenes(files, "cpu", "torch")
    alone = load_scenes(copied(files, tmp_path), "cpu")
    assert (compiled.card.backend, in_torch.card.backend) == ("openvino", "torch")
    assert compiled.card.name == in_torch.card.name == f"{alone.card.name} + detector trunk"
    differences = []
    for picture in derived_pictures():
        seen, expected = compiled.classify(picture), in_torch.classify(picture)
        assert seen.label == expected.label
        assert dict(seen.top) == pytest.approx(dict(expected.top), abs=1e-3)
        assert seen.entropy == pytest.approx(expected.entropy, abs=1e-3)
        differences.append(abs(alone.classify(picture).probability - seen.probability))
    assert max(differences) > 0.01


def test_the_sample_is_a_street(files: PackFiles) -> None:
    photo = np.asarray(Image.open(sample_photo()).convert("RGB"))
    street = load_scenes(files, "cpu").classify(Frame(photo, 0.0, 0))
    assert street.label == "street"
    assert street.probability > 0.5


def test_a_trunk_without_the_layer_is_refused_by_name(files: PackFiles, tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    card = json.loads((tmp_path / "scenes.json").read_text(encoding="utf-8"))
    card["second"]["last_layer"] = "nowhere"
    (tmp_path / "scenes.json").write_text(json.dumps(card), encoding="utf-8")
    write_manifest(tmp_path, "0")
    with pytest.raises(MissingPart, match=r"expected the networks .* got KeyError") as refused:
        load_scenes(find_pack("scenes", "pocket", pocket=tmp_path), "cpu")
    assert "\n" not in str(refused.value)
