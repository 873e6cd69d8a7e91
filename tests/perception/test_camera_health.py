"""Camera health: a covered, dark, blurred or stalled camera is detected; a good one is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageFilter

from engine.core.camera import Frame, Image
from engine.devices.video.images import decode_image
from engine.devices.video.sample import sample_photo
from engine.perception.camera_health import (
    FAULT_S,
    RECOVERED_S,
    CameraFault,
    CameraHealth,
    ImageQuality,
    Scanlines,
    fault_of,
    quality_of,
    scanlines_of,
)

PHOTO = decode_image(sample_photo())
GOOD = ImageQuality(120.0, 50.0, 250.0, 0.15)
QUALITIES: dict[CameraFault | None, ImageQuality] = {
    None: GOOD,
    "covered": ImageQuality(3.0, 1.0, 5.0, 1.0),
    "dark": ImageQuality(10.0, 6.0, 30.0, 0.2),
    "blurred": ImageQuality(120.0, 50.0, 250.0, 0.01),
}
TINY = np.zeros((2, 2, 3), np.uint8)


def fault_in(image: Image) -> CameraFault | None:
    return fault_of(quality_of(scanlines_of(image)))


def noisy(image: Image, level: float) -> Image:
    noise = np.random.default_rng(3).normal(0, level, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def blurred(image: Image, share: float) -> Image:
    """With a Gaussian whose sigma is `share` of the width."""
    picture = Pillow.fromarray(image)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(share * picture.width)))


def dimmed(image: Image, factor: float) -> Image:
    return (image * factor).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (PHOTO, None),
        (noisy(PHOTO, 12), None),
        (dimmed(PHOTO, 0.35), None),  # dusk
        (blurred(PHOTO, 0.004), None),  # out of focus, but usable
        (PHOTO[::3, ::3], None),
        (np.zeros_like(PHOTO), "covered"),
        (noisy(np.zeros_like(PHOTO), 6), "covered"),
        (noisy(np.full_like(PHOTO, 90), 6), "covered"),  # a finger in sunlight is bright
        (dimmed(PHOTO, 0.07), "dark"),
        (noisy(dimmed(PHOTO, 0.07), 2), "dark"),
        (blurred(PHOTO, 0.05), "blurred"),
        (noisy(blurred(PHOTO, 0.05), 4), "blurred"),
    ],
)
def test_the_fault_of_an_image(image: Image, fault: CameraFault | None) -> None:
    assert fault_in(image) == fault


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 255))
@settings(deadline=None, max_examples=40)
def test_a_flat_image_of_any_size_is_covered(width: int, height: int, level: int) -> None:
    image = np.full((height, width, 3), level, np.uint8)
    lines = scanlines_of(image)
    assert 1 <= lines.size <= 4 * 48 * 160
    assert fault_in(image) == "covered"


def changes_of(
    health: CameraHealth, phases: list[tuple[CameraFault | None, float]], fps: float = 15.0
) -> list[tuple[float, CameraFault | None]]:
    """(seconds, fault) of each change; a phase is a fault and its length in seconds."""
    changes: list[tuple[float, CameraFault | None]] = []
    seq, end_s = 0, 0.0
    for fault, length_s in phases:
        end_s += length_s
        while seq / fps < end_s:
            current.append(QUALITIES[fault])
            if health.update(Frame(TINY, seq / fps, seq), live=False):
                changes.append((seq / fps, health.fault))
            seq += 1
    return changes


current: list[ImageQuality] = []


def current_quality(_: Scanlines) -> ImageQuality:
    return current[-1]


@pytest.mark.parametrize("fault", ["covered", "dark", "blurred"])
def test_a_fault_starts_and_ends_once_after_debounce(fault: CameraFault) -> None:
    changes = changes_of(CameraHealth(current_quality), [(None, 3.0), (fault, 20.0), (None, 5.0)])
    assert [name for _, name in changes] == [fault, None]
    assert changes[0][0] == pytest.approx(3.0 + FAULT_S, abs=0.1)
    assert changes[1][0] == pytest.approx(23.0 + RECOVERED_S, abs=0.1)


def test_a_short_blur_is_no_fault_and_a_flicker_is_no_recovery() -> None:
    assert changes_of(CameraHealth(current_quality), [(None, 1.0), ("blurred", 1.0)] * 5) == []
    flicker = [("covered", 2.0), *[(None, 0.3), ("covered", 0.3)] * 10]
    assert len(changes_of(CameraHealth(current_quality), flicker)) == 1  # type: ignore[arg-type]


def test_an_image_just_within_the_limits_does_not_end_a_fault() -> None:
    health = CameraHealth(current_quality)
    changes_of(health, [("covered", 3.0)])
    current.append(ImageQuality(30.0, 2.8, 60.0, 1.0))
    for seq in range(60):
        health.update(Frame(TINY, 4.0 + seq / 15, seq), live=False)
    assert health.fault == "covered"


def test_a_repeated_image_is_a_stall_of_a_live_camera_only() -> None:
    live, photo, small = CameraHealth(), CameraHealth(), PHOTO[::5, ::5]
    for seq in range(60):
        frame = Frame(small, seq / 15, seq)
        live.update(frame, live=True)
        photo.update(frame, live=False)
    assert (live.fault, live.is_good) == ("stalled", False)
    assert (photo.fault, photo.is_good) == (None, True)
    for seq in range(60, 90):
        live.update(Frame(noisy(small, 1 + seq % 2), seq / 15, seq), live=True)
    assert live.is_good
    live.reset()
    assert live.fault is None
