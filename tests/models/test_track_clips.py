"""Tracks of the shipped detector on small clips: few numbers, held long enough to say when they hit.

Ultralytics' ByteTrack with its estimate of the camera's motion made 8 tracks of the first person
before the wall, none with a time to collision, and 10 to 12 of the people in the zoomed photo.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from engine.core.camera import Frame
from engine.core.glance import Obstacle
from engine.core.ports import Source
from engine.devices.video.sample import SampleSource
from engine.devices.video.video import VideoSource
from engine.perception.localize import Localizer
from models.detector import TrackingDetector, open_detector

pytestmark = pytest.mark.weights

SWAP = Path(__file__).parents[1] / "cases" / "swap.mp4"


@cache
def detector_at(image_size: int) -> TrackingDetector:
    return open_detector("pocket", "cpu", "openvino", 2, image_size)


@pytest.fixture
def detector() -> TrackingDetector:
    return detector_at(320)


def watched(source: Source, detector: TrackingDetector) -> list[tuple[Obstacle, ...]]:
    """The obstacles of every frame."""
    detector.reset()
    localizer, seen = Localizer(), list[tuple[Obstacle, ...]]()
    while (frame := source.read()) is not None:
        seen.append(localizer.localize(frame, detector.detect(frame)))
    return seen


def people(seen: list[tuple[Obstacle, ...]]) -> list[Obstacle]:
    return [item for frame in seen for item in frame if item.label == "person"]


@pytest.mark.parametrize("image_size", [320, 416])
def test_a_second_person_in_the_place_of_the_first_is_new_and_inherits_no_speed(
    image_size: int,
) -> None:
    seen = watched(VideoSource(SWAP), detector_at(image_size))
    first, second = people(seen[:28]), people(seen[28:])
    assert len({item.track for item in first}) == 1
    assert len(first) == 27
    assert sum(item.ttc_s is not None for item in first) >= 23
    assert second
    assert not {item.track for item in first} & {item.track for item in second}
    assert all(item.ttc_s is None for item in second)  # who stands still


@pytest.mark.parametrize("image_size", [320, 416])
def test_in_a_zoom_on_a_street_people_keep_their_tracks(image_size: int) -> None:
    seen = watched(SampleSource(30.0, 1.6), detector_at(image_size))
    assert len({item.track for item in people(seen)}) <= 5
    for items in ([item for frame in seen for item in frame], people(seen)):
        assert sum(item.ttc_s is not None for item in items) > len(items) / 2


def test_before_a_fixed_camera_nothing_changes_its_track(detector: TrackingDetector) -> None:
    photo = SampleSource().read()
    assert photo is not None
    dice, tracks = np.random.default_rng(0), list[set[int]]()
    detector.reset()
    for seq in range(12):
        noise = dice.normal(0.0, 6.0, photo.image.shape)
        image = np.clip(photo.image + noise, 0, 255).astype(np.uint8)
        tracks.append({item.track for item in detector.detect(Frame(image, seq / 15, seq))})
    assert len(set.union(*tracks)) <= len(tracks[0]) + 1
    assert all(tracks[0] <= found for found in tracks)
