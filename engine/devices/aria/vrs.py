"""The `vrs` source: a recording of Aria glasses, read by projectaria-tools.

Frames are upright and carry their capture time, the calibrated lens and the head's pose from the
IMU. This module must not know the pace of playback.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from engine.core.errors import FrameSkipped, InputError, SourceLost, message_of
from engine.core.glance import Truth
from engine.core.ports import Blocks
from engine.core.report import StreamCount
from engine.devices.aria import lenses
from engine.devices.aria.lenses import RGB, CalibratedCamera, RectifiedCamera
from engine.devices.aria.streams import MicrophoneBlocks, StreamCounter
from engine.devices.video.images import check_file, check_size
from engine.perception.head_pose import HeadTracker

MAGIC = b"VisionRe"
INDEX_AT = 24  # offset in the header of the index's position
IMUS = ("imu-left", "imu-right")
MICROPHONE = "mic"
FALLBACK_FPS = 10.0
AGAIN = "copy it again"


class VrsSource:
    """A `Source` of the RGB camera's frames; `time_s` counts from the first frame.

    With `side_cameras`, each frame also carries the newest frame of one side camera, in turn.

    Raises InputError if the file is missing, empty, not a VRS recording, not of Aria glasses or
    without calibration; MissingPart without projectaria-tools. `read` raises FrameSkipped for a
    record that cannot be decoded, and SourceLost if the recording is truncated.
    """

    live = False

    def __init__(self, path: Path, side_cameras: bool = False, undistort: bool = False) -> None:
        self.name = path.name
        self._path = path
        self._complete = _check(path)
        self._provider = opened(path)
        self._calibration = self._require(self._provider.get_device_calibration(), "a calibration")
        self._eye, self._stream = self._camera(RGB)
        self._picture: CalibratedCamera | RectifiedCamera = self._eye
        if undistort:
            self._picture = lenses.rectified(self._eye)
        self._count = int(self._provider.get_num_data(self._stream))
        if self._count == 0:
            raise InputError(f"{path}: expected pictures of {RGB}, got none; {AGAIN}")
        rate_hz = float(self._provider.get_nominal_rate_hz(self._stream))
        self.fps = rate_hz if 0.1 <= rate_hz <= 240.0 else FALLBACK_FPS
        self._seq = 0
        self._start_ns = capture_times_ns(self._provider, self._stream)[0]
        self._time_ns = -1
        self._head = HeadTracker()
        self._motion = self._inertial()
        self.side_camera_labels = tuple(self._recorded_side_labels()) if side_cameras else ()
        self._sides = [
            SideCamera(self._provider, *self._camera(label)) for label in self.side_camera_labels
        ]
        self._counter = StreamCounter(RGB)
        check_size(path, self._eye.lens.width, self._eye.lens.height)

    def _require(self, value: Any, what: str) -> Any:
        if value is None:
            raise InputError(
                f"{self._path}: expected {what}, got a recording without it; use Aria glasses"
            )
        return value

    def _camera(self, label: str) -> tuple[CalibratedCamera, Any]:
        stream = self._provider.get_stream_id_from_label(label)
        if stream is not None and not self._provider.check_stream_is_active(stream):
            stream = None
        self._require(stream, f"the camera {label}")
        return self._require(
            lenses.calibrated_camera(self._calibration, label), f"{label} calibrated"
        ), stream

    def _recorded_side_labels(self) -> list[str]:
        """The labels of the recorded side cameras. Raises InputError if there are none."""
        labels = [
            label
            for label in lenses.side_labels(self._calibration)
            if (stream := self._provider.get_stream_id_from_label(label)) is not None
            and self._provider.check_stream_is_active(stream)
        ]
        if not labels:
            raise InputError(
                f"{self._path}: source.side_cameras=true: expected side cameras, got a recording "
                "without any; set source.side_cameras=false"
            )
        return labels

    def _inertial(self) -> "Iterator[Any] | None":
        """The samples of the first IMU that is recorded and calibrated; None without one."""
        for label in IMUS:
            stream = self._provider.get_stream_id_from_label(label)
            convert = lenses.to_imu_sample(self._calibration, label)
            if convert is None or stream is None:
                continue
            if not self._provider.check_stream_is_active(stream):
                continue
            count = self._provider.get_num_data(stream)
            provider = self._provider
            return (convert(provider.get_imu_data_by_index(stream, i)) for i in range(count))
        return None

    def read(self) -> Frame | None:
        if self._seq >= self._count:
            if not self._complete:
                raise SourceLost(
                    f"{self._path}: expected more, but the recording breaks off after frame "
                    f"{self._seq}; copy it again"
                )
            return None
        seq = self._seq
        self._seq += 1
        try:
            image, record = self._provider.get_image_data_by_index(self._stream, seq)
            if not image.is_valid():
                raise ValueError("no picture in the record")
            pixels = np.asarray(image.to_numpy_array(), np.uint8)
        except (RuntimeError, ValueError) as error:
            raise FrameSkipped(
                f"{self._path}: expected a picture in record {seq}, got one that cannot be decoded "
                f"({message_of(error, 120)})"
            ) from error
        time_ns = max(self._time_ns + 1, int(record.capture_timestamp_ns))
        self._time_ns = time_ns
        self._counter.take(int(record.frame_number))
        self._track_head(time_ns * 1e-9)
        return self._picture.frame(
            pixels,
            (time_ns - self._start_ns) * 1e-9,
            seq,
            self._head.pose(),
            self._side(seq, time_ns),
        )

    def _track_head(self, until_s: float) -> None:
        """Update the head's pose up to a time of the device's clock.

        The first sample beyond it is included, since it is less than 2 ms later. After an
        unreadable record the pose is unknown.
        """
        try:
            for sample in self._motion or ():
                self._head.add(sample)
                if sample.time_s >= until_s:
                    return
        except RuntimeError:
            self._motion, self._head = None, HeadTracker()

    def _side(self, seq: int, time_ns: int) -> Frame | None:
        if not self._sides:
            return None
        return self._sides[seq % len(self._sides)].newest(time_ns, self._start_ns)

    def microphone(self) -> Blocks | None:
        """The recorded sound from the first frame on, in blocks; None if none was recorded."""
        stream = self._provider.get_stream_id_from_label(MICROPHONE)
        if stream is None or not self._provider.check_stream_is_active(stream):
            return None
        # A second provider, because one may be used from one thread only.
        return VrsMicrophone(opened(self._path), stream, self._start_ns)

    def counts(self) -> tuple[StreamCount, ...]:
        return (self._counter.count(), *(side.counter.count() for side in self._sides))

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        self._seq, self._complete = self._count, True


class SideCamera:
    """A recorded side camera: gives each newest frame once."""

    def __init__(self, provider: Any, calibrated_camera: CalibratedCamera, stream: Any) -> None:
        self._provider = provider
        self._eye = calibrated_camera
        self._stream = stream
        self._times_ns = np.array(capture_times_ns(provider, stream))
        self._last = -1
        self.counter = StreamCounter(calibrated_camera.label)

    def newest(self, time_ns: int, start_ns: int) -> Frame | None:
        index = int(np.searchsorted(self._times_ns, time_ns, side="right")) - 1
        if index <= self._last:
            return None
        self._last = index
        try:
            image, record = self._provider.get_image_data_by_index(self._stream, index)
            if not image.is_valid():
                return None
            pixels = np.asarray(image.to_numpy_array(), np.uint8)
        except (RuntimeError, ValueError):  # the next record may be intact
            return None
        self.counter.take(int(record.frame_number))
        return self._eye.frame(pixels, (self._times_ns[index] - start_ns) * 1e-9, index)


class VrsMicrophone:
    """The sound of a recording: `read` gives a block of 16 kHz mono int16, None at the end.

    Sound from before the first frame, at `start_ns`, is skipped.
    """

    def __init__(self, provider: Any, stream: Any, start_ns: int) -> None:
        self._provider = provider
        self._stream = stream
        self._count = int(provider.get_num_data(stream))
        settings = provider.get_audio_configuration(stream)
        self._channels = int(settings.num_channels)
        self._blocks = MicrophoneBlocks(int(settings.sample_rate))
        self._next = 0
        self._start_ns = start_ns

    def read(self) -> NDArray[np.int16] | None:
        while (block := self._blocks.read()) is None:
            if self._next >= self._count:
                return None
            data, record = self._provider.get_audio_data_by_index(self._stream, self._next)
            self._next += 1
            if not record.capture_timestamps_ns:
                continue
            until_s = (record.capture_timestamps_ns[-1] - self._start_ns) * 1e-9
            if until_s < 0.0:
                continue
            self._blocks.hear(data.data, self._channels, float(data.max_amplitude), until_s)
        return block

    @property
    def time_s(self) -> float:
        """Capture time of the last sample of the last block read, counted from the first frame."""
        return self._blocks.time_s


def opened(path: Path) -> Any:
    """Open a recording with the official library. Raises InputError, MissingPart."""
    try:
        from projectaria_tools.core.data_provider import create_vrs_data_provider
    except ImportError as error:
        raise lenses.missing("source=vrs", error) from error
    try:
        with lenses.silenced():
            provider = create_vrs_data_provider(str(path.absolute()))
    except RuntimeError as error:
        raise InputError(
            f"{path}: expected a whole recording of Aria glasses, got a damaged one "
            f"({message_of(error, 120)}); {AGAIN}"
        ) from error
    if provider is None:
        raise InputError(
            f"{path}: expected a VRS recording, got one with an unreadable header; {AGAIN}"
        )
    return provider


def capture_times_ns(provider: Any, stream: Any) -> list[int]:
    """Capture times of a stream's records on the device's clock, in nanoseconds."""
    from projectaria_tools.core.sensor_data import TimeDomain

    return [int(time) for time in provider.get_timestamps_ns(stream, TimeDomain.DEVICE_TIME)]


def _check(path: Path) -> bool:
    """Whether the file includes the index its header points to. Raises InputError if not VRS."""
    check_file(path, "a VRS recording")
    with path.open("rb") as file:
        head = file.read(INDEX_AT + 8)
    if not head.startswith(MAGIC) or len(head) < INDEX_AT + 8:
        raise InputError(
            f"{path}: expected a VRS recording, got something else; give a .vrs file of Aria glasses, "
            "or use source=video"
        )
    (index_at,) = struct.unpack_from("<q", head, INDEX_AT)
    return bool(0 < index_at < path.stat().st_size)
