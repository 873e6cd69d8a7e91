"""The `webcam` source: the newest frame of a camera that OpenCV can open.

A camera that is missing raises at once. One that is unplugged is reopened a few times before it
counts as lost. Must not know what the frames are used for.
"""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.core.camera import Frame, Image
from engine.core.errors import InputError, SetupError, SourceLost
from engine.core.glance import Truth
from engine.devices.video.images import MIN_SIDE_PX, frozen
from engine.devices.video.opencv import quiet_cv2

if TYPE_CHECKING:
    from cv2 import VideoCapture

DEVICE = "/dev/video{}"  # on Linux
OPEN_TIMEOUT_S = 8.0  # USB cameras take 1 to 3 s; some backends never return
FIRST_READS = 5  # a camera may fail the first ones while it starts
REOPENINGS = 3
REOPEN_AFTER_S = 1.0  # times the number of the attempt
FPS_BOUNDS = (1.0, 240.0)


class WebcamSource:
    """Camera `index`, live: `time_s` is the host's monotonic clock when the frame was grabbed.

    Raises InputError if there is no such camera or it gives no frame, MissingPart without
    OpenCV. `read` raises SourceLost when the camera is gone and reopening it failed.
    """

    live = True

    def __init__(
        self,
        index: int = 0,
        fps: float = 30.0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = f"webcam {index}"
        self._index = index
        self._wanted_fps = fps
        self._now = now
        self._sleep = sleep
        self._seq = 0
        self._closed = False
        _check_device(index)
        self._cv2 = quiet_cv2("source=webcam")
        self._capture = self._open()
        stated = self._capture.get(self._cv2.CAP_PROP_FPS)
        self.fps = stated if FPS_BOUNDS[0] <= stated <= FPS_BOUNDS[1] else fps

    def _open(self) -> "VideoCapture":
        """A capture that has given a frame within OPEN_TIMEOUT_S. Raises InputError."""
        opened: queue.SimpleQueue[VideoCapture | None] = queue.SimpleQueue()

        def open_camera() -> None:
            opened.put(self._started())

        # in a thread, because opening can hang inside the driver; a capture that comes too late is
        # freed together with the queue
        threading.Thread(target=open_camera, name="webcam-open", daemon=True).start()
        try:
            capture = opened.get(timeout=OPEN_TIMEOUT_S)
        except queue.Empty:
            capture = None
        if capture is None:
            raise InputError(
                f"source.index={self._index}: expected a camera, got none that gives a picture "
                f"within {OPEN_TIMEOUT_S:g} s; plug it in again, close programs that use it, or "
                "choose another index"
            )
        return capture

    def _started(self) -> "VideoCapture | None":
        """A capture that gives frames, or None."""
        cv2 = self._cv2
        try:
            capture: VideoCapture = cv2.VideoCapture(self._index)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            capture.set(cv2.CAP_PROP_FPS, self._wanted_fps)
            if capture.isOpened() and any(capture.grab() for _ in range(FIRST_READS)):
                return capture
            capture.release()
        except cv2.error:
            pass
        return None

    def read(self) -> Frame | None:
        """Wait for the newest frame; None once closed."""
        if self._closed:
            return None
        grabbed = self._grab()
        for attempt in range(1, REOPENINGS + 1):
            if grabbed is not None:
                break
            self._capture.release()
            self._sleep(REOPEN_AFTER_S * attempt)
            try:
                _check_device(self._index)
                self._capture = self._open()
            except InputError:
                continue
            grabbed = self._grab()
        if grabbed is None:
            raise SourceLost(
                f"{self.name}: expected a picture, got none after opening the camera again "
                f"{REOPENINGS} times; plug it in and start again"
            )
        image, time_s = grabbed
        frame = Frame(image, time_s, self._seq)
        self._seq += 1
        return frame

    def _grab(self) -> tuple[Image, float] | None:
        """An image and its grab time, or None if the camera gives none."""
        cv2 = self._cv2
        try:
            if not self._capture.grab():
                return None
            time_s = self._now()
            decoded, pixels = self._capture.retrieve()
            if not decoded or pixels is None or min(pixels.shape[:2]) < MIN_SIDE_PX:
                return None
            conversion = cv2.COLOR_GRAY2RGB if pixels.ndim == 2 else cv2.COLOR_BGR2RGB
            return frozen(cv2.cvtColor(pixels, conversion)), time_s
        except cv2.error:
            return None

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return 0

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._capture.release()


def webcam_present(index: int = 0) -> bool:
    """Whether camera `index` opens and gives a frame. Takes up to OPEN_TIMEOUT_S; on Linux it
    returns at once when no camera is plugged in."""
    try:
        WebcamSource(index).close()
    except SetupError:
        return False
    return True


def _check_device(index: int) -> None:
    """On Linux, check the device file before OpenCV tries it. Raises InputError."""
    if not sys.platform.startswith("linux"):
        return
    device = DEVICE.format(index)
    if not os.path.exists(device):
        raise InputError(
            f"source.index={index}: expected a camera at {device}, found none; plug one in, or use "
            "source=sample"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise InputError(
            f"source.index={index}: expected {device} to be readable, but it is not; run: "
            "sudo usermod -aG video $USER, and log in again"
        )
