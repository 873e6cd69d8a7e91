"""The links to live glasses, driven with the SDK's own classes as far as those work without glasses.

Settings, callbacks with the SDK's records, the H.265 decoder, the server and failures are real. The
connection itself is scripted.
"""

import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aria import sdk, sdk_gen2
from projectaria_tools.core.sensor_data import (
    AudioData,
    AudioDataRecord,
    ImageData,
    ImageDataRecord,
    MotionData,
    PixelFrame,
)

from engine.core.errors import LinkLost, MissingPart
from engine.devices.aria import gen2 as aria_gen2
from engine.devices.aria import lenses
from engine.devices.aria.gen1 import Gen1Link, calibration_of, status_of
from engine.devices.aria.gen2 import Gen2Link
from engine.devices.aria.live import (
    DeviceStatus,
    LiveGlasses,
)
from engine.devices.aria.receiver import Receiver
from engine.devices.aria.usb import attached, plugged_in
from engine.perception.camera import direction
from tests.fakes import aria as made
from tests.fakes.aria import GEN1, GEN2, red_square
from tests.fakes.command import ROOT
from tests.fakes.glasses import Clock, Link, live

AHEAD, RIGHT = (0.0, 0.0, 1.0), (0.7, 0.0, 1.0)
DEVICE_S = 5000.0  # the glasses' clock when the host's is at 100
VIDEO, RGB8, GREY8, RAW = 4, 4, 1, 1


def image_record(camera: int, time_s: float, number: int) -> ImageDataRecord:
    record = ImageDataRecord()
    record.camera_id = camera
    record.capture_timestamp_ns = round(time_s * 1e9)
    record.frame_number = number
    return record


def motion(calibration: Any, time_s: float, pitch_deg: float) -> MotionData:
    """A sample of the left IMU with the head at rest."""
    imu = calibration.get_imu_calib("imu-left")
    turn = made.sensor_from_head(calibration, imu.get_transform_device_imu())
    data = MotionData()
    data.capture_timestamp_ns = round(time_s * 1e9)
    data.accel_msec2 = [float(v) for v in turn @ np.array(made.acceleration_at_rest(pitch_deg))]
    data.gyro_radsec = [0.0, 0.0, 0.0]
    return data


def audio_records(samples: Any, channels: int) -> tuple[AudioData, AudioDataRecord]:
    """48 kHz sound that ends at DEVICE_S, as the SDK's records."""
    data, record = AudioData(), AudioDataRecord()
    data.data = [int(value) for value in np.repeat(samples, channels)]
    data.max_amplitude = float(2**31 - 1)
    count = len(samples)
    record.capture_timestamps_ns = [
        round((DEVICE_S - (count - 1 - i) / 48_000) * 1e9) for i in range(count)
    ]
    return data, record


def image_data(pixels: made.Pixels) -> ImageData:
    """A raw image as the SDK's decoder returns it."""
    height, width = pixels.shape[:2]
    grey = pixels.ndim == 2
    data = ImageData()
    stride = width * (1 if grey else 3)
    data.pixel_frame = PixelFrame(
        RAW,
        GREY8 if grey else RGB8,
        width,
        height,
        stride,
        0,
        "",
        0,
        0.0,
        0,
        bytearray(pixels.tobytes()),
    )
    return data


# Gen 1


def test_gen1_streams_with_a_queue_of_one_frame() -> None:
    link = Gen1Link(side_cameras=True)
    settings = link.streaming_settings()
    assert isinstance(settings, sdk.StreamingConfig)
    assert settings.profile_name == "profile18"
    assert settings.streaming_interface == sdk.StreamingInterface.Usb
    assert settings.security_options.use_ephemeral_certs
    assert (
        Gen1Link("profile28", "192.168.1.7").streaming_settings().streaming_interface
        == sdk.StreamingInterface.WifiStation
    )
    client = sdk.StreamingClient()
    client.subscription_config = link.subscription(client.subscription_config)
    kept = client.subscription_config
    kinds = sdk.StreamingDataType
    wanted = kinds.Rgb | kinds.Slam | kinds.Imu | kinds.Audio
    assert int(kept.subscriber_data_type.value) == int(wanted.value)
    assert kept.message_queue_size[kinds.Rgb] == 1
    assert kept.message_queue_size[kinds.Slam] == 1
    assert kept.security_options.use_ephemeral_certs


def test_gen1_records_become_an_upright_frame_with_pose_and_sound() -> None:
    """The observer is called with the SDK's own records."""
    clock, link = Clock(), Link(GEN1)
    source = live(link, clock, side_cameras=True)
    observer = Gen1Link(side_cameras=True).observer(link.receiver)
    calibration = link.calibration
    ids = sdk.CameraId
    for i in range(400):
        clock.now_s = 98.0 + i / 200 + 0.02
        sample = motion(calibration, DEVICE_S - 2.0 + i / 200, -9.0)
        observer.on_imu_received([sample], 1)
        observer.on_imu_received([motion(calibration, 1.0, 50.0)], 0)  # the right IMU is ignored
    clock.now_s = 100.06
    left = made.picture(calibration, "camera-slam-left", (-1.0, 0.0, 0.6))
    observer.on_image_received(left, image_record(int(ids.Slam1.value), DEVICE_S, 1))
    raw = made.picture(calibration, "camera-rgb", RIGHT)
    observer.on_image_received(raw, image_record(int(ids.Rgb.value), DEVICE_S, 41))
    observer.on_image_received(raw, image_record(int(ids.EyeTrack.value), DEVICE_S, 1))
    raw[:] = 0  # the SDK reuses its buffer
    observer.on_audio_received(*audio_records(np.full(4800, 2**30), 7))

    frame = source.read()
    assert frame is not None
    assert (frame.seq, frame.image.shape) == (0, (352, 352, 3))
    # the least delay of a record was 20 ms
    assert frame.time_s == pytest.approx(100.02, abs=0.001)
    assert frame.intrinsics is not None
    found = direction(*red_square(frame.image), frame.intrinsics)
    assert found.bearing_deg == pytest.approx(math.degrees(math.atan2(0.7, 1.0)), abs=0.5)
    assert frame.pose is not None
    assert frame.pose.pitch_deg == pytest.approx(-9.0, abs=0.5)
    assert frame.side is not None
    assert frame.side.name == "camera-slam-left"
    block = source.microphone().read()
    assert block is not None
    assert block[300] == pytest.approx(2**14, rel=0.02)
    # a tenth of a second of sound that ended at DEVICE_S, of which the first 32 ms were read
    assert source.microphone().time_s == pytest.approx(100.02 - 0.1 + 0.032, abs=0.003)
    counts = {count.name: count for count in source.counts()}
    assert counts["camera-rgb"].received == 1
    assert counts["imu"].received == 400
    assert counts["camera-rgb"].latency_ms == pytest.approx((40.0,), abs=1.0)


def test_only_the_newest_frame_is_read_and_dropped_frames_are_counted() -> None:
    clock, link = Clock(), Link(GEN1)
    source = live(link, clock)
    observer = Gen1Link().observer(link.receiver)
    raw = made.picture(link.calibration, "camera-rgb", AHEAD)
    for number in (3, 4, 7):  # two were dropped
        clock.now_s += 0.1
        record = image_record(int(sdk.CameraId.Rgb.value), DEVICE_S + clock.now_s, number)
        observer.on_image_received(raw, record)
    frame = source.read()
    assert frame is not None
    assert frame.time_s == pytest.approx(clock.now_s)
    (count,) = source.counts()
    assert (count.received, count.dropped) == (3, 4)


def test_gen1_failures_of_the_sdk_reach_the_engine() -> None:
    """A real client without certificates reports a real error code to the observer."""
    receiver = Receiver(lambda: 0.0)
    link = Gen1Link()
    client = sdk.StreamingClient()
    settings = link.subscription(client.subscription_config)
    settings.security_options.use_ephemeral_certs = False
    options = sdk.StreamingSecurityOptions()
    options.local_certs_root_path = "/nowhere"
    settings.security_options = options
    client.subscription_config = settings
    observer = link.observer(receiver)
    client.set_streaming_client_observer(observer)
    client.subscribe()
    assert receiver.take("camera-rgb", 5.0) is None
    assert receiver.failure is not None
    assert receiver.failure.startswith("FileNotFound: ")


def test_gen1_calibration_is_parsed_from_the_glasses_json() -> None:
    parsed = calibration_of(made.calibration_json(made.device_calibration(GEN1)))
    assert lenses.calibrated_camera(parsed, "camera-rgb") is not None
    for nonsense in ("", "{}", "not json"):
        with pytest.raises(LinkLost, match="expected their calibration"):
            calibration_of(nonsense)


def test_the_status_is_read_from_the_sdks_status() -> None:
    """An SDK status cannot be filled without glasses: this checks that every field exists."""
    status = sdk.DeviceStatus()
    found = status_of(status)
    assert found == DeviceStatus(
        status.battery_level,
        status.charging or status.charger_connected,
        status.skin_temp_celsius,
        status.thermal_mitigation_triggered,
    )


# Gen 2


@pytest.fixture
def gen2() -> tuple[Gen2Link, Any, Link, LiveGlasses, Clock]:
    clock, link = Clock(), Link(GEN2)
    source = live(link, clock, side_cameras=True)
    made_link = Gen2Link(side_cameras=True, encrypted=False, port=0)
    return made_link, made_link.receiver(link.receiver), link, source, clock


def test_gen2_streams_with_a_queue_of_one_frame_a_camera(
    gen2: tuple[Gen2Link, Any, Link, LiveGlasses, Clock],
) -> None:
    link, server, *_ = gen2
    settings = link.streaming_settings()
    assert isinstance(settings, sdk_gen2.HttpStreamingConfig)
    assert settings.profile_name == "profile9"
    assert settings.streaming_interface == sdk_gen2.StreamingInterface.USB_NCM
    wifi = Gen2Link(address="10.0.0.3").streaming_settings()
    assert wifi.streaming_interface == sdk_gen2.StreamingInterface.WIFI_STA
    handler = server._setup_stream_handler()  # private: only a connection of glasses makes one
    assert isinstance(handler, sdk_gen2.StreamDataInterface)
    assert handler.get_rgb_queue_size() == 1
    assert handler.get_slam_queue_size() == 2
    handler.clear_callbacks()


def test_gen2_frames_are_decoded_by_the_sdk_and_not_rotated(
    gen2: tuple[Gen2Link, Any, Link, LiveGlasses, Clock],
) -> None:
    """H.265 goes through the SDK's receiver and decoder. Its entry is private: there is no other."""
    _, server, link, source, clock = gen2
    raw = made.picture(link.calibration, "camera-rgb", RIGHT, half=12)
    record = image_record(64, DEVICE_S, 5)
    clock.now_s = 100.03
    server._decode_rgb_callback(_coded(raw), record)
    frame = source.read()
    assert frame is not None
    assert frame.image.shape == raw.shape
    assert frame.intrinsics is not None
    found = direction(*red_square(frame.image), frame.intrinsics)
    assert found.bearing_deg == pytest.approx(math.degrees(math.atan2(0.7, 1.0)), abs=0.7)
    server._decode_rgb_callback(_coded(raw, broken=True), image_record(64, DEVICE_S + 0.1, 6))
    counts = {count.name: count.received for count in source.counts()}
    assert counts == {"camera-rgb": 1}


def test_gen2_callbacks_accept_the_sdks_records(
    gen2: tuple[Gen2Link, Any, Link, LiveGlasses, Clock],
) -> None:
    _, server, link, source, clock = gen2
    calibration = link.calibration
    for i in range(300):
        clock.now_s = 98.5 + i / 200
        sample = motion(calibration, DEVICE_S - 1.5 + i / 200, 6.0)
        server.imu_callback(sample, "imu-left")
        server.imu_callback(motion(calibration, 1.0, 50.0), "imu-right")
    side = made.picture(calibration, GEN2.sides[0], (-1.0, 0.0, 0.2))
    server.slam_callback(image_data(side), image_record(4, DEVICE_S, 1))
    server.slam_callback(image_data(side), image_record(1, DEVICE_S, 1))  # a front camera: not used
    server.audio_callback(*audio_records(np.full(4800, 2**30), 8), 8)
    server.rgb_callback(
        image_data(made.picture(calibration, "camera-rgb", AHEAD)), image_record(64, DEVICE_S, 1)
    )
    frame = source.read()
    assert frame is not None
    assert frame.pose is not None
    assert frame.pose.pitch_deg == pytest.approx(6.0, abs=0.5)
    assert frame.side is not None
    assert frame.side.name == "slam-side-left"
    assert source.microphone().read() is not None
    assert {count.name for count in source.counts()} == {
        "imu", "slam-side-left", "mic", "camera-rgb",
    }  # fmt: skip


@pytest.mark.command
def test_gen2_server_starts_and_stops() -> None:
    """In a separate process, because a failure in the SDK's server ends the whole process. On a
    free port and with generous waits, so that neither another test run nor a busy machine
    matters."""
    program = (
        "import socket\n"
        "from engine.devices.aria import gen2\n"
        "from engine.devices.aria.gen2 import Gen2Link\n"
        "from engine.devices.aria.receiver import Receiver\n"
        "gen2.LISTEN_S, gen2.STEADY_S = 60.0, 1.5\n"
        "with socket.socket() as probe:\n"
        "    probe.bind(('127.0.0.1', 0))\n"
        "    port = probe.getsockname()[1]\n"
        "link = Gen2Link(address='127.0.0.1', encrypted=False, port=port)\n"
        "server = link.listen(Receiver(lambda: 0.0))\n"
        "assert server.server.connections() == []\n"
        "with socket.socket() as probe:\n"
        "    probe.bind(('127.0.0.2', port))  # another interface: nobody listens there\n"
        "link.close()\n"
        "assert server.server is None\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0


def test_gen2_without_certificates_names_the_command_to_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without this check the SDK would end the process."""
    monkeypatch.setattr(aria_gen2, "CERTIFICATE", tmp_path / "root_ca.pem")
    with pytest.raises(LinkLost, match="aria_gen2 streaming install-certs"):
        Gen2Link(port=16768).listen(Receiver(lambda: 0.0))


def _coded(raw: made.Pixels, broken: bool = False) -> ImageData:
    """One image as H.265."""
    height, width = raw.shape[:2]
    encoder = av.CodecContext.create("libx265", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, 10)
    encoder.options = {"x265-params": "log-level=none:keyint=1", "preset": "ultrafast", "crf": "10"}
    frame = av.VideoFrame.from_ndarray(raw, "rgb24").reformat(format="yuv420p")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    stream = b"".join(bytes(packet) for packet in packets)
    if broken:
        stream = stream[:20] + bytes(len(stream) - 20)
    data = ImageData()
    data.pixel_frame = PixelFrame(
        VIDEO, RGB8, width, height, 0, 0, "H.265", 0, 0.0, 0, bytearray(stream)
    )
    return data


def test_without_the_sdk_the_error_names_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aria.sdk", None)
    monkeypatch.setitem(sys.modules, "aria.sdk_gen2", None)
    for link in (Gen1Link, Gen2Link):
        with pytest.raises(MissingPart) as caught:
            link()
        assert lenses.INSTALL in str(caught.value)


def test_the_generation_of_plugged_in_glasses_is_detected(tmp_path: Path) -> None:
    assert plugged_in(tmp_path / "none") is None
    for name, product, found in (("1-1", "0300", "gen1"), ("1-0", "9001", "gen2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "idVendor").write_text("2833\n")
        (tmp_path / name / "idProduct").write_text(f"{product}\n")
        assert plugged_in(tmp_path) == found
    (tmp_path / "1-0" / "idVendor").write_text("1d6b\n")
    assert plugged_in(tmp_path) == "gen1"
    assert attached(tmp_path)
