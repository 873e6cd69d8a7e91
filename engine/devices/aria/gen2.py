"""The link to Aria Gen 2 glasses, through `aria.sdk_gen2` and `aria.stream_receiver`.

The glasses connect to a server on this host and send H.265, which the SDK decodes. It has never run
with glasses; tests/devices/test_aria_links.py lists the SDK classes that it drives.
"""

import contextlib
import io
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.errors import LinkLost, message_of
from engine.devices.aria import lenses
from engine.devices.aria.gen1 import status_of
from engine.devices.aria.host_address import host_address
from engine.devices.aria.lenses import RGB
from engine.devices.aria.live import DeviceStatus
from engine.devices.aria.receiver import Receiver

PROFILE = "profile9"  # the default of the SDK's own samples
PORT = 6768  # the port that the glasses connect to
IMU = "imu-left"
CALIBRATION_S = 10.0  # timeout for the calibration, the first record of a stream
LABELS = {4: "slam-side-left", 8: "slam-side-right"}
LISTEN_S = 5.0  # timeout for the server to start
# Pause after its start: the SDK crashes or hangs if it is stopped immediately.
STEADY_S = 0.5
CERTIFICATE = Path("~/.aria/streaming-certs/persistent/root_ca.pem")  # root of the trusted glasses
AUTHORISE = "run: python -m engine.doctor aria"


class Gen2Link:
    """A `Link` to Gen 2. `address` is the glasses' IP address on Wi-Fi; None means USB.

    Glasses always stream encrypted; tests set `encrypted` to False. Raises MissingPart if the SDK
    is not installed.
    """

    name = "Aria Gen 2"
    imu = IMU

    def __init__(
        self,
        profile: str | None = None,
        address: str | None = None,
        side_cameras: bool = False,
        port: int = PORT,
        encrypted: bool = True,
    ) -> None:
        self._sdk, self._receiving = sdk()
        self.profile = profile or PROFILE
        self._address = address
        self._side_cameras = side_cameras
        self._port = port
        self._encrypted = encrypted
        self._client: Any = None
        self._device: Any = None
        self._server: Any = None
        self._calibrated = threading.Event()
        self._calibration: Any = None

    def open(self, receiver: Receiver) -> Any:
        self._calibrated.clear()
        try:
            with quiet():
                self.connect()
                self._device.set_streaming_config(self.streaming_settings())
                self.listen(receiver)
                self._device.start_streaming()
        except RuntimeError as error:  # the SDK's only error type
            raise LinkLost(
                f"{self.name}: expected a stream, got: {message_of(error)}; {AUTHORISE}"
            ) from error
        if not self._calibrated.wait(CALIBRATION_S):
            raise LinkLost(
                f"{self.name}: expected their calibration within {CALIBRATION_S:g} s, got none; "
                f"open TCP port {self._port} of this host to the glasses"
            )
        return self._calibration

    def connect(self) -> None:
        """Connect without streaming. Raises the SDK's RuntimeError."""
        self._prepare()
        self._device = self._client.connect(self._target())

    def _prepare(self) -> None:
        """Create a client."""
        self._client = self._sdk.DeviceClient()
        self._client.set_client_config(self._sdk.DeviceClientConfig())

    def _target(self) -> Any:
        return self._sdk.DeviceTarget(ip=self._address or "")

    def pair(self) -> None:
        """Ask the glasses to trust this host; the wearer accepts on the phone.

        Raises the SDK's RuntimeError.
        """
        self._prepare()
        self._client.authenticate(self._target())

    def profiles(self) -> list[str]:
        """The names of the streaming profiles of the connected glasses."""
        lists = self._device.device_profiles().values()
        return [str(profile.name) for each in lists for profile in each.profiles]

    def streaming_settings(self) -> Any:
        """The settings of the glasses' stream."""
        settings = self._sdk.HttpStreamingConfig()
        settings.profile_name = self.profile
        ways = self._sdk.StreamingInterface
        settings.streaming_interface = ways.WIFI_STA if self._address else ways.USB_NCM
        return settings

    def listen(self, receiver: Receiver) -> Any:
        """Start the server, on the interface to the glasses only; return the SDK's receiver.

        Raises LinkLost if no certificate is installed: without one the SDK ends the whole process
        from one of its threads.
        """
        settings = self._sdk.HttpServerConfig()
        settings.port = self._port
        settings.use_ssl = self._encrypted
        if self._encrypted and not CERTIFICATE.expanduser().is_file():
            raise LinkLost(
                f"{self.name}: expected streaming certificates ({CERTIFICATE}), found none; run: "
                "aria_gen2 streaming install-certs"
            )
        settings.address = host_address(self._address)
        server = self.receiver(receiver)
        server.set_server_config(settings)
        server.start_server()
        if not _answers(settings.address, self._port):
            raise LinkLost(
                f"{self.name}: expected to listen on TCP port {self._port}, but nothing answers there; "
                "close the program that uses it"
            )
        self._server = server
        return server

    def receiver(self, receiver: Receiver) -> Any:
        """The SDK's receiver with its callbacks, set to keep the newest frame only."""
        with quiet():
            server = self._receiving.StreamReceiver(enable_image_decoding=True)

        def rgb(image_data: Any, image_record: Any) -> None:
            _picture(receiver, RGB, image_data, image_record)

        def slam(image_data: Any, image_record: Any) -> None:
            label = LABELS.get(int(image_record.camera_id))
            if label is not None:
                _picture(receiver, label, image_data, image_record)

        def imu(motion_data: Any, sensor_label: str) -> None:
            if sensor_label == IMU:
                receiver.motion([motion_data])

        def audio(audio_data: Any, audio_record: Any, num_channels: int) -> None:
            capture_times_ns = audio_record.capture_timestamps_ns
            if capture_times_ns:
                full_scale = float(audio_data.max_amplitude)
                receiver.sound(
                    audio_data.data, int(num_channels), full_scale, int(capture_times_ns[-1])
                )

        def calibration(device_calib: Any) -> None:
            self._calibration = device_calib
            self._calibrated.set()

        server.register_rgb_callback(rgb)
        server.set_rgb_queue_size(1)
        if self._side_cameras:
            server.register_slam_callback(slam)
            server.set_slam_queue_size(len(LABELS))
        server.register_imu_callback(imu)
        server.register_audio_callback(audio)
        server.register_device_calib_callback(calibration)
        return server

    def status(self) -> DeviceStatus | None:
        try:
            return status_of(self._device.status())
        except RuntimeError:
            return None

    def close(self) -> None:
        device, self._device = self._device, None
        server, self._server = self._server, None
        with quiet():
            with contextlib.suppress(RuntimeError):
                if device is not None:
                    device.stop_streaming()
            with contextlib.suppress(RuntimeError):
                if server is not None:
                    server.stop_server()
            with contextlib.suppress(RuntimeError):
                if device is not None:
                    self._client.disconnect(device)


def _answers(address: str, port: int) -> bool:
    """Whether the server is listening, checked by trying to bind its port; then wait STEADY_S."""
    until_s = time.monotonic() + LISTEN_S
    while time.monotonic() < until_s:
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:  # in use: it is up. A connection would look like glasses
                time.sleep(STEADY_S)
                return True
        time.sleep(0.02)
    return False


def _picture(receiver: Receiver, label: str, image_data: Any, image_record: Any) -> None:
    pixels = np.asarray(image_data.to_numpy_array(), np.uint8)
    receiver.picture(
        label,
        pixels,
        int(image_record.capture_timestamp_ns),
        int(image_record.frame_number),
    )


def quiet() -> contextlib.AbstractContextManager[Any]:
    """Silence the prints of the SDK's Python code."""
    return contextlib.redirect_stdout(io.StringIO())


def sdk() -> tuple[Any, Any]:
    """Import `aria.sdk_gen2` and `aria.stream_receiver`; disable their log. Raises MissingPart."""
    try:
        import aria.sdk_gen2
        import aria.stream_receiver
    except ImportError as error:
        raise lenses.missing("source=aria", error) from error
    aria.sdk_gen2.set_log_level(aria.sdk_gen2.Level.Disabled)
    return aria.sdk_gen2, aria.stream_receiver
