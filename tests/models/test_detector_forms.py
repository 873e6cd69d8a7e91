"""The detector's forms: loading them with random weights, and refusing what does not fit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.camera import Frame
from engine.core.errors import MissingPart
from engine.core.files import sha256_of
from models.detector import load_detector
from models.packs import PackFiles, find_pack, write_manifest
from models.runtime.boxes import Boxes
from models.trust import TRUST
from tests.fakes.tiny import LABELS, save_detector

pytestmark = pytest.mark.weights


def frame() -> Frame:
    return Frame(np.zeros((120, 200, 3), np.uint8), 0.0, 0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("pocket")
    save_detector(root)
    write_manifest(root, "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRUST, sha256_of(root / "detector.pt"))
        yield root


@pytest.fixture(scope="module")
def files(root: Path) -> PackFiles:
    return find_pack("detector", "pocket", pocket=root)


@pytest.mark.parametrize("backend", ["torch", "openvino", "auto"])
def test_each_form_loads_and_detects(files: PackFiles, backend: str) -> None:
    detector: Any = load_detector(files, "cpu", backend, threads=1)
    assert detector.labels == LABELS
    assert detector.card.backend == ("torch" if backend == "torch" else "openvino")
    assert (detector.card.name, detector.card.device) == ("tiny", "cpu")
    assert detector.card.precision in {"fp32", "bf16", "fp16"}
    assert isinstance(detector.detect(frame()), tuple)


def test_a_damaged_pickle_is_never_opened(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ultralytics

    for name in ("detector.json", "detector.pt", "manifest.json"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    content = bytearray((tmp_path / "detector.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "detector.pt").write_bytes(content)
    opened: list[str] = []
    monkeypatch.setattr(ultralytics, "YOLO", lambda path, **options: opened.append(path))
    with pytest.raises(MissingPart, match=r"detector\.pt: expected sha256"):
        load_detector(find_pack("detector", "pocket", pocket=tmp_path), "cpu", "torch")
    assert not opened


def test_labels_that_differ_from_the_pack_are_refused(root: Path, tmp_path: Path) -> None:
    settings = json.loads((root / "detector.json").read_text(encoding="utf-8"))
    settings["labels"] = ["bus", "person"]
    (tmp_path / "detector.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "detector.pt").write_bytes((root / "detector.pt").read_bytes())
    write_manifest(tmp_path, "0")
    with pytest.raises(MissingPart, match="expected the labels"):
        load_detector(find_pack("detector", "pocket", pocket=tmp_path), "cpu", "torch")


@pytest.mark.parametrize(
    ("asked", "size", "least"), [(None, 96, 0.5), (64, 64, 0.3), (128, 128, 0.5)]
)
def test_each_image_size_has_its_thresholds(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: int | None,
    size: int,
    least: float,
) -> None:
    settings = json.loads((root / "detector.json").read_text(encoding="utf-8"))
    settings |= {"image_size": 96, "confidence": {"person": 0.5}}
    settings["confidence_at"] = {"64": {"person": 0.3}}
    (tmp_path / "detector.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "detector.pt").write_bytes((root / "detector.pt").read_bytes())
    write_manifest(tmp_path, "0")

    class Recording:
        labels, end2end, precision = LABELS, False, "fp32"

        def __init__(self, checkpoint: Path, image_size: int, *_: object) -> None:
            self.image_size = image_size

        def find(self, image: Any) -> Boxes:
            return Boxes(
                np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64)
            )

    monkeypatch.setattr("models.torch.yolo.TorchYolo", Recording)
    pack = find_pack("detector", "pocket", pocket=tmp_path)
    detector = load_detector(pack, "cpu", image_size=asked)
    assert detector.card.image_size == size
    assert detector.confidence == {"person": least}


def test_a_missing_device_is_refused(files: PackFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingPart, match=r"models\.device=cuda"):
        load_detector(files, "cuda")
