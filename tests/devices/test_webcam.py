"""The webcam: timestamped frames, reopening after a failure, and the errors of a missing camera."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from engine.core.camera import Frame, Image
from engine.core.errors import InputError, SourceLost
from engine.devices.video import webcam
from engine.devices.video.webcam import REOPENINGS, WebcamSource, webcam_present
from tests.fakes.media import quadrants


class FakeCapture:
    """Replaces cv2.VideoCapture. `script` holds, for each opening, how many grabs succeed; None for a
    camera that does not open."""

    script: list[int | None]
    picture: Image
    opened: list["FakeCapture"]

    def __init__(self, index: int) -> None:
        self.index = index
        self.set_to: dict[int, float] = {}
        self.released = 0
        plan = self.script[min(len(self.opened), len(self.script) - 1)]
        self.left = plan or 0
        self.is_open = plan is not None
        self.opened.append(self)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's own name
        return self.is_open

    def set(self, key: int, value: float) -> bool:
        self.set_to[key] = value
        return True

    def get(self, key: int) -> float:
        return 0.0

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, Image]:
        return True, self.picture

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeCapture]:
    class Capture(FakeCapture):
        pass

    Capture.script = [1000]
    Capture.picture = quadrants()[:, :, ::-1]  # OpenCV gives BGR
    Capture.opened = []
    monkeypatch.setattr("cv2.VideoCapture", Capture)
    monkeypatch.setattr(webcam, "DEVICE", str(tmp_path / "video{}"))
    (tmp_path / "video0").touch()
    return Capture


def plug(script: list[int | None], capture: type[FakeCapture]) -> tuple[WebcamSource, list[float]]:
    capture.script = script
    slept: list[float] = []
    ticks = iter(range(100, 10_000))
    return WebcamSource(0, now=lambda: float(next(ticks)), sleep=slept.append), slept


def test_a_webcam_gives_timestamped_rgb(capture: type[FakeCapture]) -> None:
    import cv2

    source, _ = plug([1000], capture)
    frames = [source.read(), source.read()]
    assert all(isinstance(frame, Frame) for frame in frames)
    for number, frame in enumerate(frames):
        assert frame is not None
        assert (frame.seq, frame.time_s) == (number, 100.0 + number)
        assert np.array_equal(frame.image, quadrants())
        assert frame.image.flags.c_contiguous
        assert not frame.image.flags.writeable
    assert (source.live, source.fps, len(source), source.truth(0)) == (True, 30.0, 0, None)
    assert (
        capture.opened[0].set_to[cv2.CAP_PROP_BUFFERSIZE] == 1
    )  # so that the newest frame is read
    source.close()
    source.close()
    assert capture.opened[0].released == 1
    assert source.read() is None


def test_a_gray_webcam_gives_rgb(capture: type[FakeCapture]) -> None:
    capture.picture = np.full((48, 64), 9, np.uint8)
    frame = plug([1000], capture)[0].read()
    assert frame is not None
    assert frame.image.shape == (48, 64, 3)


def test_a_webcam_that_comes_back_continues(capture: type[FakeCapture]) -> None:
    # each opening takes one grab; the first camera gives one more, the second never opens
    source, slept = plug([2, None, 1000], capture)
    frames = [source.read(), source.read()]
    assert [frame.seq for frame in frames if frame] == [0, 1]
    assert len(slept) == 2
    assert [one.released > 0 for one in capture.opened] == [True, True, False]


@pytest.mark.parametrize("after", [None, 0, 1])
def test_a_webcam_that_stays_away_is_lost_after_a_few_attempts(
    capture: type[FakeCapture], after: int | None
) -> None:
    source, slept = plug([2, after], capture)
    assert source.read() is not None
    with pytest.raises(SourceLost, match="webcam 0"):
        source.read()
    assert len(slept) == REOPENINGS
    assert len(capture.opened) == 1 + REOPENINGS
    source.close()


def test_an_unplugged_webcam_is_lost_even_if_opencv_could_open_it(
    capture: type[FakeCapture], tmp_path: Path
) -> None:
    source, _ = plug([1], capture)
    (tmp_path / "video0").unlink()
    if sys.platform.startswith("linux"):
        with pytest.raises(SourceLost):
            source.read()


@pytest.mark.parametrize("script", [[None], [0]])
def test_a_missing_webcam_is_refused_in_one_line(
    capture: type[FakeCapture], script: list[int | None]
) -> None:
    with pytest.raises(InputError, match="expected a camera") as caught:
        plug(script, capture)
    assert "\n" not in str(caught.value)
    assert capture.opened[0].released == 1
    assert not webcam_present(0)


def test_a_webcam_that_gives_frames_is_present(capture: type[FakeCapture]) -> None:
    assert webcam_present(0)
    assert capture.opened[0].released == 1


def test_a_driver_that_hangs_does_not_hang_the_engine(
    capture: type[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    never = threading.Event()

    def hang(index: int) -> None:
        never.wait(20)
        raise cv2.error("too late")

    monkeypatch.setattr("cv2.VideoCapture", hang)
    monkeypatch.setattr(webcam, "OPEN_TIMEOUT_S", 0.01)
    with pytest.raises(InputError, match="within"):
        WebcamSource(0)
    never.set()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has device files")
def test_a_missing_device_file_is_refused_without_opencv(
    capture: type[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="video7"):
        WebcamSource(7)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match="usermod"):
        WebcamSource(0)
    assert capture.opened == []


def test_opencv_prints_nothing_about_a_missing_camera(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(webcam, "DEVICE", str(tmp_path / "video{}"))
    (tmp_path / "video63").touch()  # passes the check of the device file
    assert not webcam_present(63)
    assert capfd.readouterr() == ("", "")
