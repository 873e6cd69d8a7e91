"""Depth Anything through transformers, from a tiny checkpoint; depth models that are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.app.builders.models import build_depth_model, check_models
from engine.config import Config
from engine.core.camera import Frame
from engine.core.errors import ConfigError, DepthFailed, MissingPart
from models.__main__ import main
from models.hub import HUB
from models.packs import write_manifest

SIDE = 28  # two patches


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose hub pack has a tiny random `depth-indoor`, as a pull would leave it."""
    import torch
    import transformers

    library: Any = transformers
    home = tmp_path_factory.mktemp("home")
    folder = home / "hub" / "depth-indoor"
    torch.manual_seed(0)
    config = library.DepthAnythingConfig(
        backbone_config={
            "model_type": "dinov2",
            "image_size": SIDE,
            "hidden_size": 16,
            "num_attention_heads": 2,
            "num_hidden_layers": 4,
            "out_indices": [1, 2, 3, 4],
            "reshape_hidden_states": False,
        },
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=8,
        head_hidden_size=4,
        depth_estimation_type="metric",
        max_depth=20,
    )
    model = library.DepthAnythingForDepthEstimation(config)
    # With the default weights, every depth is half of max_depth.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(str(folder))
    library.DPTImageProcessor(
        size={"height": SIDE, "width": SIDE}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(str(folder))
    write_manifest(folder, HUB["depth-indoor"].name)
    return home


@pytest.fixture(scope="module")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same home with the form for OpenVINO."""
    home = tmp_path_factory.mktemp("built")
    shutil.copytree(checkpoint, home, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENE_ARIA_HOME", str(home))
        assert main(["build", "--pack", "hub", "depth-indoor"]) == 0
    return home


def config(kind: str = "indoor") -> Config:
    settings = Config()
    settings.obstacles.depth = kind
    return settings


@pytest.fixture
def picture() -> Frame:
    image = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    image.flags.writeable = False
    return Frame(image, 0.0, 0)


@pytest.mark.weights
def test_depth_equals_that_of_transformers(
    checkpoint: Path, picture: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    monkeypatch.setenv("SCENE_ARIA_HOME", str(checkpoint))
    check_models(config())
    ours = build_depth_model(config())
    assert (ours.card.name, ours.card.pack) == (HUB["depth-indoor"].name, "hub")
    metres = ours.metres(picture)

    folder = str(checkpoint / "hub" / "depth-indoor")
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForDepthEstimation.from_pretrained(folder).eval()
    with torch.inference_mode():
        inputs = processor(images=Image.fromarray(picture.image), return_tensors="pt")
        theirs = model(**inputs).predicted_depth[0].numpy()
    assert metres.shape == theirs.shape == (28, 42)
    assert metres.dtype == np.float32
    assert np.ptp(theirs) > 0.1
    known = theirs < 18.0  # 0.9 max_depth; beyond it the model only knows that it is far
    assert known.any()
    np.testing.assert_allclose(metres[known], theirs[known], rtol=1e-4)
    assert np.isinf(metres[~known]).all()

    ours.stop()  # as at the end of a session: no frame is processed after that
    with pytest.raises(DepthFailed, match="stopped"):
        ours.metres(picture)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("kind", "message"),
    [("relative", "relative depth, not of depth in metres"), ("hole", "missing keys")],
)
def test_a_checkpoint_without_metric_depth_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, message: str
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "hub" / "depth-indoor"
    if kind == "relative":
        stored = json.loads((folder / "config.json").read_text())
        stored["depth_estimation_type"] = "relative"
        (folder / "config.json").write_text(json.dumps(stored))
    else:
        tensors = load_file(folder / "model.safetensors")
        tensors.pop("head.conv3.weight")
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    write_manifest(folder, "changed")
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path))
    with pytest.raises(MissingPart, match=f"{message}.*python -m models pull depth-indoor"):
        build_depth_model(config())


@pytest.mark.weights
@pytest.mark.parametrize("size", [(64, 48), (48, 64), (50, 50), (160, 60)])
def test_the_form_agrees_with_torch_at_every_ratio(
    built: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network for the same pixels; and the pixels, up to rounding."""
    import torch

    from models.runtime.depth import DepthInput, OpenVinoDepth
    from models.torch.depth import load_depth

    monkeypatch.setenv("SCENE_ARIA_HOME", str(built))
    folder = built / "hub" / "depth-indoor"
    ours = OpenVinoDepth(folder / "depth_openvino_model")
    processor, model = load_depth(folder, torch.float32)
    image = np.random.default_rng(2).integers(0, 255, (*size[::-1], 3), np.uint8)
    facts = json.loads((folder / "depth_openvino_model" / "form.json").read_text())
    pixels = DepthInput(facts["input"]).pixels(image)
    wanted = processor(images=image, return_tensors="pt")["pixel_values"]
    assert pixels.shape == wanted.shape
    assert np.abs(pixels - wanted.numpy()).max() <= 2 / 255 / 0.22
    monkeypatch.setattr(DepthInput, "pixels", lambda self, image: wanted.numpy())
    with torch.inference_mode():
        expected = model(wanted).predicted_depth[0].numpy()
    np.testing.assert_allclose(ours.metres(image), expected, atol=2e-3)
    assert np.ptp(expected) > 0.1


@pytest.mark.weights
def test_the_form_is_used_on_a_cpu_and_can_be_stopped(
    built: Path, picture: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCENE_ARIA_HOME", str(built))
    check_models(config())
    ours = build_depth_model(config())
    assert (ours.card.backend, ours.card.precision) == ("openvino", "fp32")
    assert ours.metres(picture).shape == (28, 42)
    ours.stop()
    with pytest.raises(DepthFailed, match="stopped"):
        ours.metres(picture)
    form = built / "hub" / "depth-indoor" / "depth_openvino_model"
    stored = (built / "hub" / "depth-indoor" / "model.safetensors").stat().st_size
    assert (form / "depth.bin").stat().st_size < stored / 2  # the weights are in the checkpoint


def test_a_depth_model_that_was_not_pulled_is_refused_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path))
    with pytest.raises(
        MissingPart, match=r"obstacles\.depth=outdoor: .*run: python -m models pull depth-outdoor"
    ):
        check_models(config("outdoor"))


def test_depth_is_refused_for_a_source_of_unrelated_images() -> None:
    settings = config()
    settings.source.name, settings.source.realtime = "folder", False
    with pytest.raises(
        ConfigError, match=r"obstacles\.depth: expected off with source=folder, got indoor"
    ):
        check_models(settings)
