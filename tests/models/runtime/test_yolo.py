"""A YOLO in OpenVINO against Ultralytics' own predict, and the forms that are refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.camera import Frame
from models.build.detector import build_detector
from models.packs import POCKET
from models.runtime.boxes import LEAST_SCORE, MOST_BOXES, Boxes
from models.runtime.graphs import stored_graph
from models.runtime.yolo import OpenVinoYolo, read_form
from models.torch.yolo import TorchYolo
from tests.fakes.pictures import derived_pictures

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("one_thread")]
PX, SCORE = 1.0, 0.01  # allowed differences; measured: 0.001 and 0.0001
SIDE = 160
LABELS = {0: "person", 1: "bus", 2: "door"}


def assert_same(found: Boxes, expected: Boxes) -> None:
    assert len(found.scores) == len(expected.scores)
    for corners, score, label in zip(*expected, strict=True):
        same = [
            np.abs(found.corners[row] - corners).max()
            for row in np.flatnonzero(found.classes == label)
            if abs(found.scores[row] - score) < SCORE
        ]
        assert same, f"no box of class {label} with score {score}"
        assert min(same) < PX


@pytest.mark.parametrize("side", [320, 416])
def test_the_pocket_detector_finds_what_torch_finds(side: int) -> None:
    in_torch = TorchYolo(POCKET / "detector.pt", side, "cpu")
    compiled = OpenVinoYolo(POCKET / "detector_openvino_model", side, precision="f32")
    assert compiled.labels == in_torch.labels
    count = 0
    for picture in derived_pictures()[:: 1 if side == 320 else 4]:
        expected = in_torch.find(picture.image)
        assert_same(compiled.find(picture.image), expected)
        count += len(expected.scores)
    assert count > 10


def random_yolo(architecture: str, folder: Path, nms_free_only: bool = False) -> Path:
    """A checkpoint with random weights whose scores are spread over 0 to 1."""
    import torch
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(4)
    build: Any = DetectionModel
    net = build(f"{architecture}.yaml", nc=len(LABELS), verbose=False).eval()
    net.names = LABELS
    pictures = torch.nn.functional.interpolate(torch.rand(4, 3, 12, 12), scale_factor=16)
    with torch.no_grad():
        for each in net.modules():
            if isinstance(each, torch.nn.BatchNorm2d):
                each.momentum = 1.0
        net.train()(pictures)  # otherwise the features of deep layers vanish
        head = net.eval().model[-1]
        for name in ("cv2", "one2one_cv2"):
            for level in getattr(head, name, []):  # boxes of about two cells, which hardly overlap
                level[-1].weight.mul_(0.1)
                level[-1].bias.view(4, -1)[:, min(1, head.reg_max - 1)] = (
                    5 if head.reg_max > 1 else 1
                )
        for name in ("cv3", "one2one_cv3"):
            for level in getattr(head, name, []):
                level[-1].weight.normal_(0, 0.2)
                level[-1].bias.fill_(-4)
        for each in net.parameters():
            each.data = each.data.half().float()  # as in checkpoints that Ultralytics writes
    if nms_free_only:
        net.end2end = True
        net.model[-1].fuse()
    path = folder / f"{architecture}.pt"
    torch.save({"model": net, "train_args": {}}, path)
    return path


@pytest.mark.parametrize(
    ("architecture", "nms_free_only"), [("yolo11n", False), ("yolo26n", False), ("yolo26n", True)]
)
def test_both_kinds_of_heads_find_what_torch_finds(
    tmp_path: Path, architecture: str, nms_free_only: bool
) -> None:
    checkpoint = random_yolo(architecture, tmp_path, nms_free_only)
    build_detector(checkpoint, tmp_path / "form")
    compiled = OpenVinoYolo(tmp_path / "form", SIDE, precision="f32")
    in_torch = TorchYolo(checkpoint, SIDE, "cpu")
    assert compiled.end2end is in_torch.end2end is nms_free_only
    assert compiled.labels == in_torch.labels == tuple(LABELS.values())
    count = 0
    for picture in derived_pictures()[4:8]:
        expected = in_torch.find(picture.image)
        assert_same(compiled.find(picture.image), expected)
        count += len(expected.scores)
    assert count > 4


def test_an_nms_free_form_that_ultralytics_wrote_for_one_shape(tmp_path: Path) -> None:
    from ultralytics import YOLO

    library: Any = YOLO
    checkpoint = random_yolo("yolo26n", tmp_path)
    options: dict[str, Any] = {"imgsz": [96, SIDE], "verbose": False, "nms": False}
    folder = Path(library(str(checkpoint)).export(format="openvino", **options))
    compiled = OpenVinoYolo(folder, 320, precision="f32")
    assert compiled.labels == tuple(LABELS.values())
    assert compiled.end2end
    for picture in derived_pictures()[4:8]:
        bgr = np.ascontiguousarray(picture.image[..., ::-1])
        options |= {"conf": LEAST_SCORE, "max_det": MOST_BOXES, "rect": False}
        boxes = library(str(checkpoint)).predict(bgr, device="cpu", **options)[0].boxes.numpy()
        expected = Boxes(boxes.xyxy, boxes.conf, boxes.cls.astype(np.int64))
        assert_same(compiled.find(picture.image), expected)
        assert len(expected.scores)


def test_an_8_bit_form_has_one_shape_where_a_changing_one_would_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino as ov
    import yaml

    pocket = POCKET / "detector_openvino_model"
    ov.save_model(stored_graph(pocket, "detector").read(), tmp_path / "detector.xml")
    names = dict(enumerate(read_form(pocket).labels))
    facts = {"names": names, "stride": 32, "task": "detect", "args": {"quantize": 8}}
    (tmp_path / "metadata.yaml").write_text(yaml.safe_dump(facts), encoding="utf-8")
    photo = derived_pictures()[0].image
    shapes = []
    for amx in (False, True):
        monkeypatch.setattr("models.runtime.yolo.has_amx", lambda amx=amx: amx)
        network = OpenVinoYolo(tmp_path, 300, precision="f32")
        assert network.image_size == 320
        found = network.find(photo)
        assert "person" in {network.labels[number] for number in found.classes}
        shapes.append(found.corners[0])
    assert shapes[0] == pytest.approx(shapes[1], abs=20)


def test_a_form_of_another_task_is_refused(tmp_path: Path) -> None:
    folder = POCKET / "detector_openvino_model"
    shutil.copytree(folder, tmp_path / "form")
    facts = (folder / "form.json").read_text(encoding="utf-8")
    (tmp_path / "form" / "form.json").write_text(facts.replace('"detect"', '"segment"'))
    with pytest.raises(ValueError, match="task detect, got task segment"):
        read_form(tmp_path / "form")
    (tmp_path / "form" / "form.json").unlink()
    with pytest.raises(OSError, match=r"metadata\.yaml"):
        read_form(tmp_path / "form")


def test_a_picture_smaller_than_a_cell_or_very_thin_is_no_error() -> None:
    compiled = OpenVinoYolo(POCKET / "detector_openvino_model", 64, 1)
    for shape in ((1, 1, 3), (3, 900, 3), (900, 3, 3)):
        corners = compiled.find(np.full(shape, 90, np.uint8)).corners
        assert np.all(corners >= 0)
        assert np.all(corners <= [shape[1], shape[0]] * 2)


def test_pictures_are_rgb() -> None:
    """A red and a blue picture are not the same to the network."""
    compiled = OpenVinoYolo(POCKET / "detector_openvino_model", 320, precision="f32")
    photo = derived_pictures()[0]
    swapped = Frame(np.ascontiguousarray(photo.image[..., ::-1]), 0.0, 0)
    assert not np.array_equal(
        compiled.find(photo.image).scores, compiled.find(swapped.image).scores
    )
