"""The link to Aria Gen 1 glasses, through `aria.sdk` over USB or Wi-Fi.

It has never run with glasses; tests/devices/test_aria_links.py lists the SDK classes it drives.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import LinkLost, message_of
from engine.devices.aria import lenses
from engine.devices.aria.lenses import RGB
from engine.devices.aria.live import DeviceStatus
from engine.devices.aria.receiver import Receiver

# RGB at 10 Hz, side cameras, IMU and audio: the default of the SDK's own samples.
PROFILE = "profile18"
IMU = "imu-left"
IMU_INDEX = 1  # the SDK's number; the right one is 0
AUTHORISE = "run: python -m engine.doctor aria"


class StreamObserver:
    """Callbacks of the SDK, which calls them from its own threads."""

    def __init__(self, receiver: Receiver, cameras: dict[int, str]) -> None:
        self._receiver = receiver
        self._cameras = cameras

    def on_image_received(self, image: NDArray[np.uint8], record: Any) -> None:
        camera = self._cameras.get(int(record.camera_id))
        if camera is not None:
            self._receiver.picture(
                camera, image, int(record.capture_timestamp_ns), int(record.frame_number)
            )

    def on_imu_received(self, samples: Sequence[Any], imu_idx: int) -> None:
        if imu_idx == IMU_INDEX:
            self._receiver.motion(samples)

    def on_audio_received(self, audio_data: Any, record: Any) -> None:
        capture_times_ns = record.capture_timestamps_ns
        if capture_times_ns:
            channels = max(1, len(audio_data.data) // len(capture_times_ns))
            full_scale = float(audio_data.max_amplitude)
            self._receiver.sound(audio_data.data, channels, full_scale, int(capture_times_ns[-1]))

    def on_streaming_client_failure(self, reason: Any, message: str) -> None:
        self._receiver.failed(f"{getattr(reason, 'name', reason)}: {message}")


class Gen1Link:
    """A `Link` to Gen 1. `address` is the glasses' IP address on Wi-Fi; None means USB.

    Raises MissingPart if the SDK is not installed.
    """

    name = "Aria Gen 1"
    imu = IMU

    def __init__(
        self, profile: str | None = None, address: str | None = None, side_cameras: bool = False
    ) -> None:
        self._sdk = sdk()
        self.profile = profile or PROFILE
        self._address = address
        self._side_cameras = side_cameras
        self._client: Any = None
        self._device: Any = None
        self._streaming: Any = None

    def open(self, receiver: Receiver) -> Any:
        try:
            return self._open(receiver)
        except RuntimeError as error:  # the SDK's only error type
            raise LinkLost(
                f"{self.name}: expected a stream, got: {message_of(error)}; {AUTHORISE}"
            ) from error

    def connect(self) -> None:
        """Connect without streaming. Raises the SDK's RuntimeError."""
        self._prepare()
        self._device = self._client.connect()

    def _prepare(self) -> None:
        """Create a client for the glasses' address."""
        self._client = self._sdk.DeviceClient()
        settings = self._sdk.DeviceClientConfig()
        if self._address:
            settings.ip_v4_address = self._address
        self._client.set_client_config(settings)

    def pair(self) -> None:
        """Ask the glasses to trust this host; the wearer accepts on the phone.

        Raises the SDK's RuntimeError.
        """
        self._prepare()
        self._client.authenticate()

    def profiles(self) -> list[str]:
        """The names of the streaming profiles of the connected glasses."""
        return [str(name) for name in self._device.recording_manager.recording_profiles]

    def _open(self, receiver: Receiver) -> Any:
        self.connect()
        manager = self._device.streaming_manager
        manager.streaming_config = self.streaming_settings()
        manager.start_streaming()
        calibration = calibration_of(manager.sensors_calibration())
        self._streaming = manager.streaming_client
        self._streaming.subscription_config = self.subscription(self._streaming.subscription_config)
        self._streaming.set_streaming_client_observer(self.observer(receiver))
        self._streaming.subscribe()
        return calibration

    def streaming_settings(self) -> Any:
        """The settings of the glasses' stream."""
        sdk = self._sdk
        settings = sdk.StreamingConfig()
        settings.profile_name = self.profile
        usb, wifi = sdk.StreamingInterface.Usb, sdk.StreamingInterface.WifiStation
        settings.streaming_interface = wifi if self._address else usb
        # Ephemeral certificates need no installation.
        settings.security_options.use_ephemeral_certs = True
        return settings

    def subscription(self, settings: Any) -> Any:
        """The SDK's subscription: the newest frame only, and only the streams that are used."""
        sdk = self._sdk
        kinds = sdk.StreamingDataType
        wanted = kinds.Rgb | kinds.Imu | kinds.Audio
        if self._side_cameras:
            wanted = wanted | kinds.Slam
            settings.message_queue_size[kinds.Slam] = 1
        settings.subscriber_data_type = wanted
        settings.message_queue_size[kinds.Rgb] = 1
        options = sdk.StreamingSecurityOptions()
        options.use_ephemeral_certs = True
        settings.security_options = options
        return settings

    def observer(self, receiver: Receiver) -> StreamObserver:
        ids = self._sdk.CameraId
        cameras = {int(ids.Rgb.value): RGB}
        if self._side_cameras:
            cameras[int(ids.Slam1.value)] = "camera-slam-left"
            cameras[int(ids.Slam2.value)] = "camera-slam-right"
        return StreamObserver(receiver, cameras)

    def status(self) -> DeviceStatus | None:
        try:
            status = self._device.status
        except RuntimeError:
            return None
        return status_of(status)

    def close(self) -> None:
        streaming, self._streaming = self._streaming, None
        device, self._device = self._device, None
        with contextlib.suppress(RuntimeError):
            if streaming is not None:
                streaming.unsubscribe()
        with contextlib.suppress(RuntimeError):
            if device is not None:
                device.streaming_manager.stop_streaming()
        with contextlib.suppress(RuntimeError):
            if device is not None:
                self._client.disconnect(device)


def status_of(status: Any) -> DeviceStatus:
    """Convert the SDK's status record, of either generation."""
    return DeviceStatus(
        int(status.battery_level),
        bool(status.charging or status.charger_connected),
        float(status.skin_temp_celsius),
        bool(status.thermal_mitigation_triggered),
    )


def calibration_of(text: str) -> Any:
    """Parse a `DeviceCalibration` from JSON. Raises LinkLost if it is invalid."""
    from projectaria_tools.core.calibration import device_calibration_from_json_string

    try:
        calibration = device_calibration_from_json_string(text)
    except RuntimeError:
        calibration = None
    if calibration is None:
        raise LinkLost("Aria Gen 1: expected their calibration, got none that can be read")
    return calibration


def sdk() -> Any:
    """Import `aria.sdk` and disable its log. Raises MissingPart."""
    try:
        import aria.sdk
    except ImportError as error:
        raise lenses.missing("source=aria", error) from error
    aria.sdk.set_log_level(aria.sdk.Level.Disabled)
    return aria.sdk
