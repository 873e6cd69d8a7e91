"""The detector: loading with random weights, tracks with scripted boxes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.camera import Frame
from engine.core.errors import MissingPart
from engine.core.glance import Box
from models.detector import YoloDetector, to_detections, without_parts
from models.packs import PackFiles, find_pack, write_manifest
from tests.fakes.tiny import LABELS, save_detector

pytestmark = pytest.mark.weights


def frame(height: int = 120, width: int = 200) -> Frame:
    image = np.zeros((height, width, 3), np.uint8)
    image.flags.writeable = False
    return Frame(image, 0.0, 0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pocket")
    save_detector(root)
    write_manifest(root, "0")
    return root


@pytest.fixture(scope="module")
def files(root: Path) -> PackFiles:
    return find_pack("detector", "pocket", pocket=root)


@pytest.fixture(scope="module")
def loaded(files: PackFiles) -> YoloDetector:
    return YoloDetector(files, "cpu", "torch")


def results(
    rows: list[tuple[float, ...]],
    tracks: list[int] | None = None,
    shape: tuple[int, int] = (120, 200),
) -> Any:
    """Ultralytics' `Results` with rows (x1, y1, x2, y2, score, class)."""
    import torch
    from ultralytics.engine.results import Results

    data = np.array(rows, np.float32).reshape(-1, 6)
    if tracks is not None:
        data = np.column_stack([data[:, :4], tracks, data[:, 4:]]).astype(np.float32)
    build: Any = Results
    return build(
        np.zeros((*shape, 3), np.uint8),
        path="",
        names=dict(enumerate(LABELS)),
        boxes=torch.from_numpy(data),
    )


class Scripted:
    """Replaces Ultralytics' model: returns the given results in order, and records the images."""

    def __init__(self, *given: Any) -> None:
        self.results = list(given)
        self.pictures: list[Any] = []

    def predict(self, image: Any, **options: Any) -> list[Any]:
        self.pictures.append(image)
        return [self.results.pop(0)]


def scripted(monkeypatch: pytest.MonkeyPatch, detector: Any, *given: Any) -> Scripted:
    model = Scripted(*given)
    monkeypatch.setattr(detector, "model", model)
    detector.reset()
    return model


@pytest.mark.parametrize("backend", ["torch", "openvino", "auto"])
def test_each_form_loads_and_detects(files: PackFiles, backend: str) -> None:
    detector: Any = YoloDetector(files, "cpu", backend, threads=1)
    assert detector.labels == LABELS
    assert detector.card.backend == ("torch" if backend == "torch" else "openvino")
    assert (detector.card.name, detector.card.device) == ("tiny", "cpu")
    assert detector.card.precision in {"fp32", "bf16", "fp16"}
    assert isinstance(detector.detect(frame()), tuple)
    if backend == "openvino":
        compiled = detector.model.predictor.model.backend.ov_compiled_model
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


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
        YoloDetector(find_pack("detector", "pocket", pocket=tmp_path), "cpu", "torch")
    assert not opened


def test_labels_that_differ_from_the_pack_are_refused(root: Path, tmp_path: Path) -> None:
    settings = json.loads((root / "detector.json").read_text(encoding="utf-8"))
    settings["labels"] = ["bus", "person"]
    (tmp_path / "detector.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "detector.pt").write_bytes((root / "detector.pt").read_bytes())
    write_manifest(tmp_path, "0")
    with pytest.raises(MissingPart, match="expected the labels"):
        YoloDetector(find_pack("detector", "pocket", pocket=tmp_path), "cpu", "torch")


@pytest.mark.parametrize(("bf16", "size", "least"), [(True, 96, 0.5), (False, 64, 0.3)])
def test_a_processor_without_bf16_uses_smaller_images(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bf16: bool,
    size: int,
    least: float,
) -> None:
    settings = json.loads((root / "detector.json").read_text(encoding="utf-8"))
    settings |= {"image_size": 96, "confidence": {"person": 0.5}}
    settings["without_bf16"] = {"image_size": 64, "confidence": {"person": 0.3}}
    (tmp_path / "detector.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "detector.pt").write_bytes((root / "detector.pt").read_bytes())
    write_manifest(tmp_path, "0")
    monkeypatch.setattr("models.detector.has_bf16", lambda: bf16)
    detector: Any = YoloDetector(find_pack("detector", "pocket", pocket=tmp_path), "cpu", "torch")
    assert detector.model.predictor.args.imgsz in (size, [size, size])
    assert detector.confidence == {"person": least}


def test_results_become_detections_in_source_pixels() -> None:
    rows: list[tuple[float, ...]] = [(10, 20, 60, 110, 0.9, 0), (0, 5, 200, 100, 0.5, 1)]
    first, second = to_detections(results(rows, tracks=[7, 8]))
    assert (first.label, first.track, first.box) == ("person", 7, Box(10, 20, 60, 110))
    assert first.score == pytest.approx(0.9)
    assert (second.label, second.track, second.box.width) == ("bus", 8, 200)
    assert to_detections(results([])) == ()


def test_ultralytics_gets_bgr(monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector) -> None:
    model = scripted(monkeypatch, loaded, results([]))
    image = np.zeros((120, 200, 3), np.uint8)
    image[...] = (255, 100, 0)  # orange, in RGB
    image.flags.writeable = False
    loaded.detect(Frame(image, 0.0, 0))
    assert model.pictures[0][0, 0].tolist() == [0, 100, 255]
    assert model.pictures[0].shape == image.shape


def test_a_single_photo_has_tracks_at_once(
    monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector
) -> None:
    rows: list[tuple[float, ...]] = [(10, 20, 60, 110, 0.9, 0), (90, 5, 190, 100, 0.7, 1)]
    scripted(monkeypatch, loaded, results(rows))
    found = loaded.detect(frame())
    assert {(d.label, d.box) for d in found} == {
        ("person", Box(10, 20, 60, 110)),
        ("bus", Box(90, 5, 190, 100)),
    }
    assert len({d.track for d in found}) == 2


def test_each_label_has_its_own_threshold(
    monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector
) -> None:
    rows: list[tuple[float, ...]] = [
        (10, 20, 60, 110, 0.5, 0),
        (90, 5, 190, 100, 0.5, 1),
        (150, 10, 160, 40, 0.3, 0),
    ]
    scripted(monkeypatch, loaded, results(rows))
    assert [d.label for d in loaded.detect(frame())] == ["person"]


def test_expected_frames_are_detected_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector
) -> None:
    frames = [frame(), frame(), frame(), frame()]
    given = [results([(10 + i, 20, 60 + i, 110, 0.9, 0)]) for i in range(4)]
    model = scripted(monkeypatch, loaded, *given)
    seen = []
    for number, item in enumerate(frames):
        if number in {0, 1}:  # the others are not expected
            loaded.expect(frames[number + 1])
        seen.append(loaded.detect(item)[0].box.x1)
    assert sorted(seen) == [10, 11, 12, 13]
    assert len(model.pictures) == 4
    assert loaded.prefetched == 0


def test_a_failed_prefetch_raises_when_the_frame_is_detected(
    monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector
) -> None:
    first, second = frame(), frame()
    scripted(monkeypatch, loaded, results([]))
    assert loaded.detect(first) == ()
    loaded.expect(second)  # the script has no result left
    with pytest.raises(IndexError):
        loaded.detect(second)


def test_a_track_survives_a_weak_frame_and_its_boxes_are_as_measured(
    monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector
) -> None:
    moves = [(10.0, 0.9), (13.0, 0.15), (16.0, 0.9)]
    scripted(monkeypatch, loaded, *[results([(x, 20, x + 50, 110, s, 0)]) for x, s in moves])
    seen = [loaded.detect(frame()) for _ in moves]
    assert [len(found) for found in seen] == [1, 1, 1]
    assert len({found[0].track for found in seen}) == 1
    assert [found[0].box.x1 for found in seen] == [10, 13, 16]


def test_a_track_survives_a_turn_of_the_head(
    monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector
) -> None:
    """60 degrees a second at 15 frames per second: a person 5 m away moves by most of their width."""
    import cv2

    noise = np.random.default_rng(3).integers(0, 256, (60, 200, 3), np.uint8)
    world = cv2.resize(noise, (2000, 600), interpolation=cv2.INTER_CUBIC)
    given, views = [], []
    for step in range(10):
        left = 36 * step
        views.append(np.ascontiguousarray(world[:480, left : left + 640]))
        row = (400.0 - left, 180, 450 - left, 330, 0.9, 0)
        given.append(results([row], shape=(480, 640)))
        given[-1].orig_img = views[-1]
    scripted(monkeypatch, loaded, *given)
    tracks = {loaded.detect(Frame(view, 0.0, i))[0].track for i, view in enumerate(views)}
    assert len(tracks) == 1


def test_two_people_who_pass_each_other_stay_two_tracks(
    monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector
) -> None:
    given = [
        results(
            [(20 + 3 * i, 20, 60 + 3 * i, 110, 0.9, 0), (110 - 3 * i, 20, 150 - 3 * i, 110, 0.9, 0)]
        )
        for i in range(6)
    ]
    scripted(monkeypatch, loaded, *given)
    tracks = [{d.track for d in loaded.detect(frame())} for _ in given]
    assert all(found == tracks[0] and len(found) == 2 for found in tracks)


def test_after_a_reset_a_track_shows_at_once(
    monkeypatch: pytest.MonkeyPatch, loaded: YoloDetector
) -> None:
    scripted(monkeypatch, loaded, results([]), results([(10, 20, 60, 110, 0.9, 0)]))
    loaded.detect(frame())
    loaded.reset()
    assert [d.label for d in loaded.detect(frame())] == ["person"]  # as in a first frame


def test_two_detectors_do_not_share_tracks(
    monkeypatch: pytest.MonkeyPatch, files: PackFiles, loaded: YoloDetector
) -> None:
    other = YoloDetector(files, "cpu", "torch")
    rows: list[tuple[float, ...]] = [(10, 20, 60, 110, 0.9, 0)]
    scripted(monkeypatch, loaded, results(rows), results(rows))
    scripted(monkeypatch, other, results(rows))
    first = loaded.detect(frame())
    assert other.detect(frame())[0].track == first[0].track
    assert loaded.detect(frame())[0].track == first[0].track


def test_a_missing_device_is_refused(files: PackFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingPart, match=r"models\.device=cuda"):
        YoloDetector(files, "cuda")


@pytest.mark.parametrize(
    ("inner", "outer", "kept"),
    [
        ((20, 20, 60, 60, 0.4, 1), (10, 10, 110, 90, 0.6, 1), [1]),  # a part of the bus
        (
            (20, 20, 60, 60, 0.7, 1),
            (10, 10, 110, 90, 0.6, 1),
            [0, 1],
        ),  # stronger than the larger box
        ((80, 20, 140, 60, 0.4, 1), (10, 10, 110, 90, 0.6, 1), [0, 1]),  # half outside
        (
            (20, 20, 60, 60, 0.4, 0),
            (10, 10, 110, 90, 0.6, 0),
            [0, 1],
        ),  # a child in front of an adult
        ((20, 20, 60, 60, 0.4, 0), (10, 10, 110, 90, 0.6, 1), [0, 1]),  # a person in front of a bus
    ],
)
def test_a_part_of_a_vehicle_is_not_a_vehicle(
    inner: tuple[float, ...], outer: tuple[float, ...], kept: list[int]
) -> None:
    seen = without_parts(results([inner, outer])).boxes.conf.tolist()
    assert seen == pytest.approx([(inner, outer)[row][4] for row in kept])
