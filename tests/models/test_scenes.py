"""The scene classifier with random FastViTs, and the table from ImageNet to scenes."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.camera import Frame
from engine.core.errors import MissingPart
from models.__main__ import main
from models.packs import PackFiles, find_pack, read_manifest, write_manifest
from models.scenes import Scenes, hub_head, hub_settings, load_scenes, pocket_head, scene_of
from models.torch.scenes import load_network
from tests.fakes.tiny import SCENE_SETTINGS as SETTINGS
from tests.fakes.tiny import SCENES as LABELS
from tests.fakes.tiny import random_net, save, save_scenes

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("one_thread")]


def frame(colour: tuple[int, int, int], height: int = 90, width: int = 160) -> Frame:
    image = np.full((height, width, 3), colour, np.uint8)
    image[: height // 2] = 0
    image.flags.writeable = False
    return Frame(image, 0.0, 0)


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pocket")
    save_scenes(root)
    write_manifest(root, "0")
    return root


def files_of(root: Path) -> PackFiles:
    return find_pack("scenes", "pocket", pocket=root)


@pytest.fixture(scope="module")
def scenes(pocket: Path) -> Scenes:
    """Opened with the backend `auto`."""
    return load_scenes(files_of(pocket), "cpu")


def test_a_frame_becomes_a_scene_class(scenes: Scenes) -> None:
    seen = scenes.classify(frame((255, 0, 0)))
    assert scenes.labels == tuple(LABELS)
    assert (scenes.card.name, scenes.card.backend, scenes.card.precision) == (
        "tiny",
        "openvino",
        "fp32",
    )
    assert (seen.label, seen.probability) == seen.top[0]
    assert len(seen.top) == 3
    assert 0 < seen.entropy < 1


def test_the_pixels_are_those_of_training(pocket: Path, scenes: Scenes) -> None:
    """Against torch on a Pillow image: RGB order, squashing, mean and standard deviation."""
    import timm
    import torch
    from PIL import Image
    from safetensors.torch import load_file

    net: Any = timm.create_model("fastvit_t8", num_classes=len(LABELS), inference_mode=True)
    net.load_state_dict({n: t.float() for n, t in load_file(pocket / "scenes.safetensors").items()})
    seen = frame((200, 60, 10))
    square = Image.fromarray(seen.image).resize((64, 64), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(SETTINGS[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = net.eval()((pixels - mean) / std).softmax(1)[0].numpy()
    got = dict(scenes.classify(seen).top)
    for label, probability in got.items():
        assert probability == pytest.approx(float(expected[LABELS.index(label)]), abs=0.01)


def test_openvino_and_torch_agree(pocket: Path, scenes: Scenes) -> None:
    in_torch = load_scenes(files_of(pocket), "cpu", "torch")
    assert (scenes.card.backend, in_torch.card.backend) == ("openvino", "torch")
    seen = frame((30, 120, 200))
    by_openvino, by_torch = scenes.classify(seen), in_torch.classify(seen)
    assert by_openvino.label == by_torch.label
    assert by_openvino.probability == pytest.approx(by_torch.probability, abs=1e-4)


def test_weights_that_do_not_fit_are_refused(pocket: Path, tmp_path: Path) -> None:
    save(random_net(len(LABELS) + 1, inference=True), tmp_path / "scenes.safetensors")
    (tmp_path / "scenes.json").write_bytes((pocket / "scenes.json").read_bytes())
    write_manifest(tmp_path, "0")
    with pytest.raises(MissingPart, match=r"scenes\.safetensors") as caught:
        load_scenes(files_of(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


def test_the_hub_model_is_reparameterised_and_its_form_needs_no_timm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    place = tmp_path / "hub" / "scenes"
    place.mkdir(parents=True)
    save(random_net(1000, inference=False), place / "model.safetensors")
    cfg = {"input_size": [3, 64, 64], "crop_pct": 0.9, "mean": [0, 0, 0], "std": [1, 1, 1]}
    config = {"architecture": "fastvit_t8", "num_classes": 1000, "pretrained_cfg": cfg}
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_manifest(place, "0", {"source": "here"})
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path))
    in_torch = load_scenes(find_pack("scenes", "hub"), "cpu")
    assert in_torch.card.backend == "torch"  # the only form until another is built
    assert "street" in in_torch.labels
    net = load_network(hub_settings(find_pack("scenes", "hub"), place), place / "model.safetensors")
    assert len(net.state_dict()) < len(load_file(place / "model.safetensors"))
    assert main(["build", "scenes", "--pack", "hub"]) == 0
    assert read_manifest(place)["source"] == "here"
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "timm.data", None)
    built = load_scenes(find_pack("scenes", "hub"), "cpu")
    assert built.card.backend == "openvino"
    assert built.labels == in_torch.labels
    seen = frame((90, 120, 30))
    expected = in_torch.classify(seen)
    assert built.classify(seen).label == expected.label
    assert built.classify(seen).probability == pytest.approx(expected.probability, abs=1e-4)


def imagenet() -> list[str]:
    import timm.data

    library: Any = timm.data
    info = library.ImageNetInfo("imagenet-1k")
    return [info.index_to_description(i).split(",")[0] for i in range(1000)]


def test_every_imagenet_label_counts_once_and_the_rest_is_other() -> None:
    head = hub_head(imagenet())
    assert head.matrix.shape == (len(head.labels), 1000)
    assert np.all(head.matrix.sum(axis=0) == 1)
    assert head.labels[-1] == "other"
    neither = ~(head.inside | head.outside)
    assert np.array_equal(neither, head.matrix[-1] == 1)
    assert not np.any(head.inside & head.outside)


@pytest.mark.parametrize(
    ("name", "scene", "indoor"),
    [
        ("streetcar", "street", False),
        ("traffic light", "street", False),
        ("refrigerator", "kitchen", True),
        ("toilet seat", "bathroom", True),
        ("grocery store", "shop", True),
        ("tabby", "other", None),
    ],
)
def test_a_certain_imagenet_label_gives_its_scene(
    name: str, scene: str, indoor: bool | None
) -> None:
    names = imagenet()
    logits = np.zeros(1000, np.float32)
    logits[names.index(name)] = 20
    seen = scene_of(logits, hub_head(names))
    assert (seen.label, seen.indoor) == (scene, indoor)


@pytest.mark.parametrize(
    ("logits", "label", "indoor", "entropy"),
    [
        ([9.0, 0, 0, 0], "street", False, 0.01),
        ([0, 9.0, 0, 0], "kitchen", True, 0.01),
        ([0, 0, 0, 0.0], "street", False, 1.0),
        (
            [1.0, 0.9, 0.8, 0],
            "kitchen",
            True,
            0.97,
        ),  # the street is the likeliest scene, but indoors is likelier
    ],
)
def test_entropy_and_indoors_count_all_scenes(
    logits: list[float], label: str, indoor: bool, entropy: float
) -> None:
    seen = scene_of(np.array(logits, np.float32), pocket_head(SETTINGS))
    assert (seen.label, seen.indoor) == (label, indoor)
    assert seen.entropy == pytest.approx(entropy, abs=0.02)


@pytest.mark.parametrize(
    ("logits", "indoor", "label", "probability"),
    [
        ([0.0, 5.0, 0.0], True, "other", 0.99),
        ([0.0, 0.0, 5.0], False, "other", 0.99),
        # "other" is likelier, but mostly outdoors
        ([2.1, 1.5, 2.5], True, "kitchen", 0.33),
    ],
)
def test_a_scene_may_be_indoors_or_outdoors(
    logits: list[float], indoor: bool, label: str, probability: float
) -> None:
    classes = [["kitchen", True], ["other", True], ["other", False]]
    head = pocket_head({"classes": classes, "temperature": 1.0})
    assert head.labels == ("kitchen", "other")
    seen = scene_of(np.array(logits, np.float32), head)
    assert (seen.label, seen.indoor) == (label, indoor)
    assert seen.probability == pytest.approx(probability, abs=0.01)


@given(
    st.lists(st.floats(-80, 80, width=32), min_size=4, max_size=4), st.sampled_from([0.5, 1.0, 3.0])
)
@settings(max_examples=60, deadline=None)
def test_a_scene_class_is_consistent(logits: list[float], temperature: float) -> None:
    plain = pocket_head(SETTINGS)
    head = replace(plain, temperature=temperature)
    seen = scene_of(np.array(logits, np.float32), head)
    indoors = dict(SETTINGS["classes"])
    assert indoors[seen.label] is seen.indoor
    same_side = [p for label, p in seen.top if indoors[label] is seen.indoor]
    assert same_side == sorted(same_side, reverse=True)
    values = [probability for _, probability in seen.top]
    assert all(0 <= value <= 1 for value in values)
    assert 0 <= seen.entropy <= 1
