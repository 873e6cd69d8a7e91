"""Recordings written by tests/fakes/vrs_file.py are read by the official library."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.camera import Fisheye, Frame
from engine.core.errors import FrameSkipped, InputError, MissingPart, SourceLost
from engine.devices.aria import lenses
from engine.devices.aria.vrs import VrsSource
from engine.perception.camera import direction, pixel, ray
from tests.fakes import aria
from tests.fakes.aria import GEN1, GEN2, Generation, red_square
from tests.fakes.vrs_file import Recording

GENERATIONS = pytest.mark.parametrize("generation", [GEN1, GEN2], ids=["gen1", "gen2"])
LEFT, AHEAD, RIGHT = (-0.5, 0.1, 1.0), (0.0, 0.0, 1.0), (0.7, 0.0, 1.0)


def frames(source: VrsSource) -> list[Frame]:
    return list(iter(source.read, None))


@GENERATIONS
@pytest.mark.parametrize("label", ["camera-rgb", "side"])
def test_bearings_of_pixels_match_the_official_calibration(
    generation: Generation, label: str
) -> None:
    """Within 0.25 degrees over the whole image; up in the world is up in the image."""
    calibration = aria.device_calibration(generation)
    label = generation.sides[0] if label == "side" else label
    eye = lenses.calibrated_camera(calibration, label)
    assert eye is not None
    assert eye.fit_error_deg < 0.25
    checked = 0
    for x in np.linspace(-3.0, 3.0, 13):
        for y in np.linspace(-1.5, 1.5, 7):
            at = aria.projected(calibration, label, (float(x), float(y), 1.0))
            if at is None:
                continue
            u, v = float(at[0]), float(at[1])
            down = calibration.get_camera_calib(label).get_image_size()[1]
            for _ in range(eye.quarter_turns):
                u, v, down = down - 1 - v, u, eye.lens.height
            found = direction(u, v, eye.lens)
            assert found.bearing_deg == pytest.approx(math.degrees(math.atan2(x, 1.0)), abs=0.4)
            assert found.drop == pytest.approx(y / math.hypot(x, 1.0), abs=0.01)
            checked += 1
    assert checked >= 8
    assert (
        direction(eye.lens.cx, eye.lens.cy - 40, eye.lens).drop
        < direction(eye.lens.cx, eye.lens.cy + 40, eye.lens).drop
    )


@GENERATIONS
def test_rgb_rotation_follows_from_the_device_geometry(generation: Generation) -> None:
    eye = lenses.calibrated_camera(aria.device_calibration(generation), "camera-rgb")
    assert eye is not None
    assert eye.quarter_turns == generation.quarters


@GENERATIONS
def test_recorded_frames_are_upright_with_right_times_and_bearings(
    generation: Generation, tmp_path: Path
) -> None:
    path = aria.recording(tmp_path / "walk.vrs", generation, [LEFT, AHEAD, RIGHT], pitch_deg=-4.0)
    source = VrsSource(path)
    assert (source.name, source.live, source.fps, len(source)) == ("walk.vrs", False, 10.0, 3)
    got = frames(source)
    assert [frame.seq for frame in got] == [0, 1, 2]
    assert [frame.time_s for frame in got] == pytest.approx([0.0, 0.1, 0.2], abs=1e-6)
    for frame, (x, y, z) in zip(got, (LEFT, AHEAD, RIGHT), strict=True):
        assert frame.image.shape == (352, 352, 3)
        assert not frame.image.flags.writeable
        assert frame.intrinsics is not None
        found = direction(*red_square(frame.image), frame.intrinsics)
        assert found.bearing_deg == pytest.approx(math.degrees(math.atan2(x, z)), abs=0.5)
        assert found.drop == pytest.approx(y / math.hypot(x, z), abs=0.02)
    source.close()
    assert source.read() is None


@GENERATIONS
@pytest.mark.parametrize(("pitch_deg", "right_rad_s"), [(-12.0, 0.0), (7.0, 0.6), (0.0, -0.4)])
def test_frames_carry_the_pose_from_the_imu(
    generation: Generation, pitch_deg: float, right_rad_s: float, tmp_path: Path
) -> None:
    path = aria.recording(tmp_path / "a.vrs", generation, [AHEAD] * 4, pitch_deg, right_rad_s)
    first, *_, last = [frame.pose for frame in frames(VrsSource(path))]
    assert first is not None
    assert last is not None
    assert last.pitch_deg == pytest.approx(pitch_deg, abs=0.5)
    assert last.pitch_sigma_deg < 3.0
    assert last.turning_deg_s == pytest.approx(math.degrees(right_rad_s), abs=0.5)
    turned_deg = last.heading_deg - first.heading_deg
    assert turned_deg == pytest.approx(math.degrees(0.3 * right_rad_s), abs=0.5)
    assert not last.walking


@GENERATIONS
def test_side_cameras_alternate_and_see_to_the_sides(
    generation: Generation, tmp_path: Path
) -> None:
    far_left = (-1.0, 0.0, 0.35)
    path = aria.recording(tmp_path / "a.vrs", generation, [far_left] * 4, sides=True)
    assert all(frame.side is None for frame in frames(VrsSource(path)))
    source = VrsSource(path, side_cameras=True)
    assert source.side_camera_labels == generation.sides
    got = frames(source)
    assert [frame.side.name for frame in got if frame.side] == list(generation.sides) * 2
    left = got[0].side
    assert left is not None
    assert left.intrinsics is not None
    rows, columns = np.nonzero(left.image[..., 0] > 200)
    found = direction(float(columns.mean()), float(rows.mean()), left.intrinsics)
    assert found.bearing_deg == pytest.approx(math.degrees(math.atan2(-1.0, 0.35)), abs=1.0)
    assert {count.name: count.received for count in source.counts()} == {
        "camera-rgb": 4,
        generation.sides[0]: 2,
        generation.sides[1]: 2,
    }


@GENERATIONS
def test_rectified_frames_keep_their_bearings(generation: Generation, tmp_path: Path) -> None:
    path = aria.recording(tmp_path / "a.vrs", generation, [LEFT, AHEAD])
    for frame, (x, y, z) in zip(
        frames(VrsSource(path, undistort=True)), (LEFT, AHEAD), strict=True
    ):
        assert frame.intrinsics is not None
        assert not hasattr(frame.intrinsics, "k1")
        found = direction(*red_square(frame.image), frame.intrinsics)
        assert found.bearing_deg == pytest.approx(math.degrees(math.atan2(x, z)), abs=0.7)
        assert found.drop == pytest.approx(y / math.hypot(x, z), abs=0.02)


def test_dropped_frames_are_counted(tmp_path: Path) -> None:
    calibration = aria.device_calibration(GEN1)
    out = Recording(aria.calibration_json(calibration))
    stream = out.camera(214, 1, 352, 352, 10.0)
    image = aria.picture(calibration, "camera-rgb", AHEAD)
    for number in (7, 8, 11, 12):
        aria.add_image(stream, 1.0 + number / 10, image, number)
    source = VrsSource(out.write(tmp_path / "a.vrs"))
    assert [frame.pose for frame in frames(source)] == [None] * 4
    (count,) = source.counts()
    assert (count.received, count.dropped) == (4, 2)


def test_sound_is_read_as_16_khz_mono(tmp_path: Path) -> None:
    """A tone of 440 Hz, on the first of seven microphones at 48 kHz, comes out at 16 kHz."""
    out = Recording(aria.calibration_json(aria.device_calibration(GEN1)))
    stream = out.camera(214, 1, 352, 352, 10.0)
    aria.add_image(stream, 1.0, aria.picture(aria.device_calibration(GEN1), "camera-rgb", AHEAD), 0)
    sound = out.microphones(7, 48_000)
    for part in range(10):
        at = np.arange(part * 4800, (part + 1) * 4800) / 48_000
        samples = np.zeros((4800, 7), np.int32)
        samples[:, 0] = 0.25 * np.iinfo(np.int32).max * np.sin(2 * np.pi * 440 * at)
        times = [round((1.0 + t) * 1e9) for t in at]
        sound.add(1.0 + part / 10, samples.tobytes(), capture_timestamps_ns=times)
    microphone = VrsSource(out.write(tmp_path / "a.vrs")).microphone()
    assert microphone is not None
    blocks = []
    while (block := microphone.read()) is not None:
        blocks.append(block)
        assert microphone.time_s == pytest.approx(0.032 * len(blocks), abs=0.003)
    assert all(block.shape == (512,) and block.dtype == np.int16 for block in blocks)
    assert 30 <= len(blocks) <= 31  # a second, less what does not fill a block
    heard = np.concatenate(blocks).astype(float) / 32768
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * 16_000 / len(heard) == pytest.approx(440, abs=2)
    assert np.abs(heard[1000:-1000]).max() == pytest.approx(0.25, abs=0.02)


def test_a_recording_without_sound_has_no_microphone(tmp_path: Path) -> None:
    assert VrsSource(aria.recording(tmp_path / "a.vrs", GEN1, [AHEAD])).microphone() is None


# fault → (the damaged bytes, made from a good file's; the message)
DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "0 bytes"),
    "text": (lambda good: b"this is no recording\n" * 9, "got something else"),
    "short": (lambda good: good[:20], "got something else"),
    "head only": (lambda good: good[:80], "got a damaged one"),
    "cut in its description": (lambda good: good[:300], "got a damaged one"),
    "blanked": (lambda good: _blanked(good, b"CameraCalibrations"), "got a damaged one"),
}


def _blanked(good: bytes, mark: bytes) -> bytes:
    at = good.index(mark)
    return good[:at] + bytes(500) + good[at + 500 :]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_one_line(damage: str, tmp_path: Path) -> None:
    good = aria.recording(tmp_path / "good.vrs", GEN1, [AHEAD]).read_bytes()
    change, said = DAMAGED[damage]
    (tmp_path / "bad.vrs").write_bytes(change(good))
    with pytest.raises(InputError) as caught:
        VrsSource(tmp_path / "bad.vrs")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_a_folder_and_no_calibration_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing there"):
        VrsSource(tmp_path / "none.vrs")
    with pytest.raises(InputError, match="got a folder"):
        VrsSource(tmp_path)
    out = Recording(None)
    out.camera(214, 1, 352, 352, 10.0)
    with pytest.raises(InputError, match="expected a calibration"):
        VrsSource(out.write(tmp_path / "a.vrs"))


def test_no_rgb_camera_and_no_frames_are_one_line(tmp_path: Path) -> None:
    text = aria.calibration_json(aria.device_calibration(GEN1))
    out = Recording(text)
    out.imu(1, 200.0)
    with pytest.raises(InputError, match="expected the camera camera-rgb"):
        VrsSource(out.write(tmp_path / "a.vrs"))
    out = Recording(text)
    out.camera(214, 1, 352, 352, 10.0)
    with pytest.raises(InputError, match="expected pictures"):
        VrsSource(out.write(tmp_path / "b.vrs"))
    with pytest.raises(InputError, match="expected side cameras"):
        VrsSource(aria.recording(tmp_path / "c.vrs", GEN1, [AHEAD]), side_cameras=True)


def test_a_truncated_recording_gives_its_frames_and_then_source_lost(tmp_path: Path) -> None:
    good = aria.recording(tmp_path / "good.vrs", GEN1, [AHEAD] * 4).read_bytes()
    (tmp_path / "cut.vrs").write_bytes(good[: int(len(good) * 0.6)])
    source = VrsSource(tmp_path / "cut.vrs")
    got = []
    with pytest.raises(SourceLost, match="breaks off after frame"):
        got += list(iter(source.read, None))
    source = VrsSource(tmp_path / "cut.vrs")
    assert source.read() is not None


def test_a_frame_that_cannot_be_decoded_is_skipped(tmp_path: Path) -> None:
    calibration = aria.device_calibration(GEN1)
    out = Recording(aria.calibration_json(calibration))
    stream = out.camera(214, 1, 352, 352, 10.0, content="+image/jpg")
    whole = _jpeg(aria.picture(calibration, "camera-rgb", AHEAD))
    for number, content in enumerate((whole, b"no jpeg at all", whole)):
        time_s = 1.0 + number / 10
        stream.add(time_s, content, frame_number=number, capture_timestamp_ns=round(time_s * 1e9))
    source = VrsSource(out.write(tmp_path / "a.vrs"))
    first = source.read()
    assert first is not None
    assert first.image.shape == (352, 352, 3)
    with pytest.raises(FrameSkipped, match="record 1"):
        source.read()
    last = source.read()
    assert last is not None
    assert last.seq == 2


def _jpeg(image: aria.Pixels) -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=95)
    return out.getvalue()


def test_without_the_library_the_error_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = aria.recording(tmp_path / "a.vrs", GEN1, [AHEAD])
    monkeypatch.setitem(sys.modules, "projectaria_tools.core.data_provider", None)
    with pytest.raises(MissingPart) as caught:
        VrsSource(path)
    assert lenses.INSTALL in str(caught.value)
    assert "\n" not in str(caught.value)


LENS = Fisheye(300.0, 300.0, 350.0, 358.0, 704, 704, 0.35, -0.04, -1.23, 3.3, -3.33, 1.13)


@given(st.floats(-1.2, 1.2), st.floats(-0.8, 0.8), st.floats(-180, 180), st.floats(-40, 40))
@settings(deadline=None, max_examples=50)
def test_pixel_is_the_inverse_of_ray_for_a_rotated_camera(
    x: float, y: float, yaw: float, pitch: float
) -> None:
    """`pixel` undoes `ray` however a camera is mounted."""
    a, b = math.radians(yaw), math.radians(pitch)
    about_y = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    one, two, three = (tuple(row) for row in (about_y @ about_x).tolist())
    lens = replace(LENS, rotation=(one, two, three))
    u, v = lens.cx + 100 * x, lens.cy + 100 * y
    back = pixel(*ray(u, v, lens), lens)
    assert back is not None
    assert back == pytest.approx((u, v), abs=1e-3)
