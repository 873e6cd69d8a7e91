"""The estimate of the camera's motion: right where it is used, and not used where it explains nothing."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.core.camera import Camera, Fisheye, Frame, Image, Intrinsics, Pose
from engine.devices.video.images import decode_image
from engine.devices.video.sample import sample_photo
from engine.perception.camera import pinhole
from models.runtime.camera_motion import CameraMotion
from models.runtime.pose_shift import pose_shift

NO_BOXES = np.empty((0, 4))
PHOTO = decode_image(sample_photo())
WINDOW = (640, 480)


def view(
    x: float = 90.0, y: float = 300.0, zoom: float = 1.0, roll_deg: float = 0.0, noise: int = 0
) -> Image:
    """A window of the street photo with its corner at (x, y), turned and zoomed about its centre."""
    middle = (WINDOW[0] / 2, WINDOW[1] / 2)
    turn = cv2.getRotationMatrix2D(middle, roll_deg, zoom)
    turn[:, 2] -= turn[:, :2] @ np.array([x, y])
    image = cv2.warpAffine(PHOTO, turn, WINDOW, flags=cv2.INTER_LINEAR)
    if noise:
        image = image + np.random.default_rng(noise).normal(0.0, 6.0, image.shape)
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def moved(
    *images: Image, boxes: NDArray[np.float64] = NO_BOXES
) -> list[NDArray[np.float64] | None]:
    """What is estimated for each image after the first."""
    motion = CameraMotion()
    return [motion.update(Frame(image, n / 15, n), boxes) for n, image in enumerate(images)][1:]


def centre_of(transform: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """How far the picture's centre was moved."""
    assert transform is not None
    middle = np.array(WINDOW) / 2
    return np.asarray(transform[:, :2] @ middle + transform[:, 2] - middle)


@pytest.mark.parametrize("shift", [(15, 0), (-40, 10), (0, 30), (80, -20), (-160, 0)])
def test_a_pan_is_followed(shift: tuple[int, int]) -> None:
    [found] = moved(view(170, 250), view(170 + shift[0], 250 + shift[1]))
    assert centre_of(found) == pytest.approx([-shift[0], -shift[1]], abs=3.0)


@pytest.mark.parametrize(("zoom", "roll_deg"), [(1.06, 0.0), (0.95, 0.0), (1.0, 4.0), (1.04, -3.0)])
def test_a_zoom_and_a_roll_are_followed(zoom: float, roll_deg: float) -> None:
    [found] = moved(view(), view(zoom=zoom, roll_deg=roll_deg))
    assert found is not None
    assert math.hypot(found[0, 0], found[1, 0]) == pytest.approx(zoom, abs=0.01)
    assert -math.degrees(math.atan2(found[1, 0], found[0, 0])) == pytest.approx(roll_deg, abs=0.7)


def test_a_fixed_camera_with_noise_does_not_move() -> None:
    assert moved(*(view(noise=n + 1) for n in range(20))) == [None] * 19


def test_someone_who_walks_before_a_fixed_camera_moves_nothing() -> None:
    views = []
    for n in range(12):
        image = view(noise=n + 1)
        image[100:460, 60 + 30 * n : 200 + 30 * n] = PHOTO[400:760, 40:180]  # not detected
        views.append(image)
    assert moved(*views) == [None] * 11


def test_before_a_plain_wall_nothing_is_estimated() -> None:
    views = []
    for n in range(12):
        image = np.full((480, 640, 3), 150, np.uint8)
        image[100 - 4 * n : 400, 250:330] = cv2.resize(PHOTO[400:900, 40:250], (80, 300 + 4 * n))
        views.append(image)
    assert moved(*views) == [None] * 11


@pytest.mark.parametrize(
    "other", [np.zeros((480, 640, 3), np.uint8), PHOTO[:480, :640][::-1, ::-1]]
)
def test_between_unrelated_pictures_nothing_is_estimated(other: Image) -> None:
    assert moved(view(), np.ascontiguousarray(other)) == [None]


def test_a_picture_of_another_size_begins_anew() -> None:
    first, second, third = moved(view(), view()[:, :480], view(120)[:, :480], view(140)[:, :480])
    assert first is None
    assert second is not None
    assert third is not None


def test_what_moves_in_a_box_does_not_count() -> None:
    """A bus fills most of the picture and passes; around it the street stands still."""
    views = []
    for n in range(6):
        image = view(noise=n + 1)
        image[60:420, 40:600] = PHOTO[260:620, 20 * n : 560 + 20 * n]
        views.append(image)
    assert moved(*views, boxes=np.array([[40.0, 60.0, 600.0, 420.0]])) == [None] * 5


def test_after_a_reset_nothing_is_known_of_the_last_frame() -> None:
    motion = CameraMotion()
    motion.update(Frame(view(), 0.0, 0), NO_BOXES)
    motion.reset()
    assert motion.update(Frame(view(130), 0.1, 1), NO_BOXES) is None


def posed(image: Image, time_s: float, heading_deg: float, pitch_deg: float = 0.0) -> Frame:
    pose = Pose(pitch_deg, 1.0, heading_deg, 0.0, True)
    return Frame(image, time_s, 0, pinhole(640, 480, 70), pose=pose)


def test_in_the_dark_the_measured_turn_moves_the_picture() -> None:
    black, motion = np.zeros((480, 640, 3), np.uint8), CameraMotion()
    motion.update(posed(black, 0.0, 0.0), NO_BOXES)
    found = motion.update(posed(black, 0.1, 10.0), NO_BOXES)
    assert centre_of(found) == pytest.approx([-457.0 * math.tan(math.radians(10)), 0.0], abs=1.0)


def test_an_estimate_that_contradicts_the_measured_pose_is_not_used() -> None:
    """A train passes before the whole picture; the head is still."""
    motion = CameraMotion()
    motion.update(posed(view(170), 0.0, 0.0), NO_BOXES)
    found = motion.update(posed(view(230), 0.1, 0.0), NO_BOXES)
    assert centre_of(found) == pytest.approx([0.0, 0.0])


def test_an_estimate_that_agrees_with_the_pose_is_preferred_to_it() -> None:
    motion, turn_deg = CameraMotion(), math.degrees(math.atan(60 / 457))
    motion.update(posed(view(170), 0.0, 0.0), NO_BOXES)
    found = motion.update(posed(view(230), 0.1, turn_deg + 1.0), NO_BOXES)
    assert centre_of(found) == pytest.approx([-60.0, 0.0], abs=2.0)


FISHEYE = Fisheye(240.0, 240.0, 320.0, 240.0, 640, 480)
SIDEWAYS = Intrinsics(  # looks to the head's right
    400.0, 400.0, 320.0, 240.0, 640, 480, ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
)


@pytest.mark.parametrize(
    ("camera", "turn_deg", "nod_deg", "shift"),
    [
        (pinhole(640, 480, 70), 5.0, 0.0, (-40.0, 0.0)),
        (pinhole(640, 480, 70), 0.0, 5.0, (0.0, 40.0)),
        (FISHEYE, 30.0, 0.0, (-240.0 * math.radians(30), 0.0)),
        (SIDEWAYS, 5.0, 0.0, (-400.0 * math.tan(math.radians(5)), 0.0)),
        (SIDEWAYS, 0.0, 5.0, (0.0, 0.0)),  # the picture rolls
        (pinhole(640, 480, 70), 170.0, 0.0, None),
    ],
)
def test_a_turn_shifts_the_picture(
    camera: Camera, turn_deg: float, nod_deg: float, shift: tuple[float, float] | None
) -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    poses = (Pose(0.0, 1.0, 20.0, 0.0, False), Pose(nod_deg, 1.0, 20.0 + turn_deg, 0.0, False))
    last, frame = (Frame(image, n / 10, n, camera, pose=pose) for n, pose in enumerate(poses))
    found = pose_shift(last, frame)
    assert (found is None) if shift is None else found == pytest.approx(shift, abs=0.1)


def test_without_a_pose_a_camera_or_soon_enough_nothing_is_known() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    first = posed(image, 0.0, 0.0)
    assert pose_shift(first, Frame(image, 0.1, 1, first.intrinsics)) is None
    assert pose_shift(Frame(image, 0.0, 1, first.intrinsics), posed(image, 0.1, 5.0)) is None
    assert pose_shift(first, posed(image, 3.0, 5.0)) is None
    assert pose_shift(first, posed(image, -0.1, 5.0)) is None
