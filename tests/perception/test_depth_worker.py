"""Wired: Depth Anything through transformers from a tiny checkpoint, and a depth thread that fails or
hangs beside the live loops."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.app.builders.models import Models, build_depth_model, check_models
from engine.config import Config
from engine.core.camera import Frame
from engine.core.errors import ConfigError, DepthFailed, MissingPart
from engine.core.glance import DepthMap
from engine.perception.camera_health import CameraHealth
from engine.perception.depth_prior import BoxHistory
from engine.perception.depth_worker import INTERVAL_S, TIMEOUT_S, ThreadedDepth
from engine.perception.localize import Localizer
from models.packs import HUB, write_manifest
from tests.fakes.answering import CARD
from tests.fakes.live import BLACK, FakeCamera, LiveBench

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
    for parameter in model.parameters():  # as they come, every depth is half of the greatest
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(str(folder))
    library.DPTImageProcessor(
        size={"height": SIDE, "width": SIDE}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(str(folder))
    write_manifest(folder, HUB["depth-indoor"].name)
    return home


def config(kind: str = "indoor") -> Config:
    asked = Config()
    asked.obstacles.depth = kind
    return asked


@pytest.fixture
def picture() -> Frame:
    image = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    image.flags.writeable = False
    return Frame(image, 0.0, 0)


def test_depth_is_what_transformers_own_classes_say(
    checkpoint: Path, picture: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    monkeypatch.setenv("SCENE_ARIA_HOME", str(checkpoint))
    check_models(config())
    ours = build_depth_model(config())
    assert ours is not None
    assert (ours.card.name, ours.card.pack) == (HUB["depth-indoor"].name, "hub")
    assert Models(Any, Any, None, ours).depth is ours  # type: ignore[arg-type]
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
    known = theirs < 18.0  # nine tenths of max_depth; beyond, the model only knows that it is far
    assert known.any()
    np.testing.assert_allclose(metres[known], theirs[known], rtol=1e-4)
    assert np.isinf(metres[~known]).all()

    ours.stop()  # as at the session's end: no picture is finished after that
    with pytest.raises(DepthFailed, match="stopped"):
        ours.metres(picture)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("relative", "relative depth, not of metres"), ("hole", "missing keys")],
)
def test_what_does_not_measure_metres_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "hub" / "depth-indoor"
    if kind == "relative":
        settings = json.loads((folder / "config.json").read_text())
        settings["depth_estimation_type"] = "relative"
        (folder / "config.json").write_text(json.dumps(settings))
    else:
        tensors = load_file(folder / "model.safetensors")
        tensors.pop("head.conv3.weight")
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    write_manifest(folder, "changed")
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path))
    with pytest.raises(MissingPart, match=f"{said}.*python -m models pull depth-indoor"):
        build_depth_model(config())


def test_depth_that_was_not_pulled_is_refused_before_anything_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path))
    with pytest.raises(
        MissingPart, match=r"obstacles\.depth=outdoor: .*run: python -m models pull depth-outdoor"
    ):
        check_models(config("outdoor"))


def test_pictures_that_do_not_follow_from_one_another_are_refused() -> None:
    asked = config()
    asked.source.name, asked.source.realtime = "folder", False
    with pytest.raises(
        ConfigError, match=r"obstacles\.depth: expected off with source=folder, got indoor"
    ):
        check_models(asked)


class Deep:
    """Depth of 3 m everywhere; or fails; or hangs until it is let go."""

    card = CARD

    def __init__(self, how: str = "well") -> None:
        self._how = how
        self.let_go = threading.Event()
        self.measured = threading.Event()

    def metres(self, frame: Frame) -> NDArray[np.float32]:
        if self._how == "fails":
            raise ValueError("out of memory")
        if self._how == "hangs":
            self.let_go.wait()
        self.measured.set()
        return np.full((4, 4), 3.0, np.float32)

    def stop(self) -> None: ...


class Noting(Localizer):
    """Counts what it learns from."""

    learnt = 0

    def update_heights(self, depth: DepthMap) -> None:
        self.learnt += 1
        super().update_heights(depth)


def offer_for_ever(depth: ThreadedDepth) -> None:
    """Raises DepthFailed once the thread has failed."""
    while True:
        depth.offer(Frame(BLACK, 0.0, 0))
        time.sleep(0.001)


class GoodCamera(CameraHealth):
    """Finds no fault: a covered camera measures no depth, and the fake one is black."""

    def update(self, frame: Frame, live: bool) -> bool:
        return False


@pytest.mark.parametrize(("how", "errors"), [("well", 0), ("fails", 1), ("hangs", 0)])
def test_obstacles_are_watched_whatever_depth_does(tmp_path: Path, how: str, errors: int) -> None:
    bench = LiveBench(tmp_path, camera=FakeCamera(40))
    deep = Deep(how)
    depth = ThreadedDepth(deep)
    locator = Noting(70.0, box_history=BoxHistory())
    bench.change_perception(localizer=locator, depth=depth, camera_health=GoodCamera())
    if how == "fails":  # before the first frame, so that the loops meet the failure
        with pytest.raises(DepthFailed):
            offer_for_ever(depth)
    try:
        bench.run()
    finally:
        deep.let_go.set()
        depth.close()
    assert bench.log.close()["frames"]["processed"] > 0
    assert any(h.utterance.kind == "alert" for h in bench.heard)
    assert [health.what for health in bench.health] == ["depth"] * errors
    assert how == "well" or not locator.learnt


def test_a_map_is_given_once_and_waiting_for_it_is_not() -> None:
    deep = Deep("hangs")
    depths = ThreadedDepth(deep)
    assert depths.offer(Frame(BLACK, 0.0, 0)) is None
    assert depths.offer(Frame(BLACK, 0.1, 1)) is None
    deep.let_go.set()
    found = depths._maps.newer_than(0, timeout_s=10.0)
    assert found is not None
    ready = depths.offer(Frame(BLACK, 0.2, 2))
    assert ready is not None
    assert ready.seq == 0
    assert depths.offer(Frame(BLACK, 0.3, 3)) is None
    depths.close()
    assert not depths._thread.is_alive()


def test_a_hanging_model_is_given_up_and_a_pause_of_the_camera_is_none() -> None:
    deep = Deep("hangs")
    depths = ThreadedDepth(deep)
    depths.offer(Frame(BLACK, 0.0, 0))
    with pytest.raises(DepthFailed, match="no depth for"):
        depths.offer(Frame(BLACK, TIMEOUT_S + 1.0, 1))
    deep.let_go.set()
    assert depths._maps.newer_than(0, timeout_s=10.0) is not None
    assert depths.offer(Frame(BLACK, TIMEOUT_S + 1.0, 1)) is not None
    assert depths._maps.newer_than(1, timeout_s=10.0) is not None
    depths.offer(Frame(BLACK, TIMEOUT_S + INTERVAL_S / 2 + 1.0, 2))
    depths.offer(Frame(BLACK, 9 * TIMEOUT_S, 3))  # no frame in between, and none was waited for
    depths.close()
