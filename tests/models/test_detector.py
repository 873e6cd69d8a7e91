"""The detector: what it makes of a network's boxes, frame by frame."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.core.camera import Frame, Image
from engine.core.glance import Box
from engine.core.report import ModelCard
from models.detector import TrackingDetector
from models.runtime.boxes import Boxes
from models.runtime.tracker import UNTRACKED

Row = tuple[float, ...]  # x1, y1, x2, y2, score, class
LABELS = ("person", "bus", "truck")


def frame(height: int = 120, width: int = 200) -> Frame:
    image = np.zeros((height, width, 3), np.uint8)
    image.flags.writeable = False
    return Frame(image, 0.0, 0)


class Scripted:
    """A network that returns the given rows in order, and records the images."""

    labels = LABELS
    end2end = False
    precision = "fp32"

    def __init__(self, *given: Sequence[Row]) -> None:
        self.given = list(given)
        self.pictures: list[Image] = []

    def find(self, image: Image) -> Boxes:
        self.pictures.append(image)
        rows = np.array(self.given.pop(0), np.float32).reshape(-1, 6)
        return Boxes(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


def scripted(*given: Sequence[Row]) -> tuple[TrackingDetector, Scripted]:
    network: Any = Scripted(*given)
    card = ModelCard("scripted", "pocket", "cpu", "none", "fp32")
    return TrackingDetector(network, {"person": 0.4, "bus": 0.6, "truck": 0.5}, card), network


def test_a_single_photo_has_tracks_at_once() -> None:
    rows: list[Row] = [(10, 20, 60, 110, 0.9, 0), (90, 5, 190, 100, 0.7, 1)]
    detector, _ = scripted(rows)
    found = detector.detect(frame())
    assert {(d.label, d.box) for d in found} == {
        ("person", Box(10, 20, 60, 110)),
        ("bus", Box(90, 5, 190, 100)),
    }
    assert len({d.track for d in found}) == 2


@pytest.mark.parametrize("score", [0.9, 0.1, float("nan")])
def test_a_box_that_is_not_finite_is_passed_on_to_be_counted_and_becomes_no_track(
    score: float,
) -> None:
    rows: list[Row] = [(float("nan"), 20, 60, 110, score, 0), (90, 5, 190, 100, 0.7, 1)]
    detector, _ = scripted(rows, rows)
    for _ in range(2):
        broken, bus = sorted(detector.detect(frame()), key=lambda item: item.track)
        assert (broken.is_finite, bus.is_finite) == (False, True)
        assert (broken.track, bus.track) == (UNTRACKED, 1)


def test_each_label_has_its_own_threshold() -> None:
    rows: list[Row] = [
        (10, 20, 60, 110, 0.5, 0),
        (90, 5, 190, 100, 0.5, 1),
        (150, 10, 160, 40, 0.3, 0),
    ]
    detector, _ = scripted(rows)
    assert [d.label for d in detector.detect(frame())] == ["person"]


def test_expected_frames_are_detected_once_and_in_order() -> None:
    frames = [frame(), frame(), frame(), frame()]
    given = [[(10 + i, 20, 60 + i, 110, 0.9, 0)] for i in range(4)]
    detector, network = scripted(*given)
    seen = []
    for number, item in enumerate(frames):
        if number in {0, 1}:  # the others are not expected
            detector.expect(frames[number + 1])
        seen.append(detector.detect(item)[0].box.x1)
    assert sorted(seen) == [10, 11, 12, 13]
    assert len(network.pictures) == 4
    assert detector.prefetched == 0


def test_a_failed_prefetch_raises_when_the_frame_is_detected() -> None:
    first, second = frame(), frame()
    detector, _ = scripted([])
    assert detector.detect(first) == ()
    detector.expect(second)  # the script has no result left
    with pytest.raises(IndexError):
        detector.detect(second)


def test_a_track_survives_a_weak_frame_and_its_boxes_are_as_measured() -> None:
    moves = [(10.0, 0.9), (13.0, 0.15), (16.0, 0.9)]
    detector, _ = scripted(*[[(x, 20, x + 50, 110, s, 0)] for x, s in moves])
    seen = [detector.detect(frame()) for _ in moves]
    assert [len(found) for found in seen] == [1, 1, 1]
    assert len({found[0].track for found in seen}) == 1
    assert [found[0].box.x1 for found in seen] == [10, 13, 16]


def test_a_track_survives_a_turn_of_the_head() -> None:
    """60 degrees a second at 15 frames per second: a person 5 m away moves by most of their width."""
    import cv2

    noise = np.random.default_rng(3).integers(0, 256, (60, 200, 3), np.uint8)
    world = cv2.resize(noise, (2000, 600), interpolation=cv2.INTER_CUBIC)
    given, views = [], []
    for step in range(10):
        left = 36 * step
        views.append(np.ascontiguousarray(world[:480, left : left + 640]))
        row = (400.0 - left, 180, 450 - left, 330, 0.9, 0)
        given.append([row])
    detector, _ = scripted(*given)
    tracks = {detector.detect(Frame(view, 0.0, i))[0].track for i, view in enumerate(views)}
    assert len(tracks) == 1


def test_two_people_who_pass_each_other_stay_two_tracks() -> None:
    given = [
        [(20 + 3 * i, 20, 60 + 3 * i, 110, 0.9, 0), (110 - 3 * i, 20, 150 - 3 * i, 110, 0.9, 0)]
        for i in range(6)
    ]
    detector, _ = scripted(*given)
    tracks = [{d.track for d in detector.detect(frame())} for _ in given]
    assert all(found == tracks[0] and len(found) == 2 for found in tracks)


def test_after_a_reset_a_track_shows_at_once() -> None:
    detector, _ = scripted([], [(10, 20, 60, 110, 0.9, 0)])
    detector.detect(frame())
    detector.reset()
    assert [d.label for d in detector.detect(frame())] == ["person"]  # as in a first frame


def test_two_detectors_do_not_share_tracks() -> None:
    rows: list[Row] = [(10, 20, 60, 110, 0.9, 0)]
    first, _ = scripted(rows, rows)
    second, _ = scripted(rows)
    track = first.detect(frame())[0].track
    assert second.detect(frame())[0].track == track
    assert first.detect(frame())[0].track == track


def test_an_end_to_end_network_announces_no_object_twice() -> None:
    rows: list[Row] = [
        (10, 20, 60, 110, 0.9, 1),
        (11, 21, 61, 111, 0.8, 0),
        (90, 20, 150, 99, 0.7, 0),
    ]
    twice, _ = scripted(rows)
    assert len(twice.detect(frame())) == 3
    once, network = scripted(rows)
    network.end2end = True
    assert [d.label for d in once.detect(frame())] == ["bus", "person"]


def test_a_part_of_a_bus_is_not_a_truck() -> None:
    detector, _ = scripted([(10, 10, 110, 90, 0.6, 1), (20, 20, 60, 60, 0.55, 2)])
    assert [d.label for d in detector.detect(frame())] == ["bus"]
