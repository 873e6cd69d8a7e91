"""Writes VRS recordings as Aria glasses do: known images, times, calibration, IMU and sound.

The official Python writer (`vrs` 1.2.2) has none of Aria's streams, so this module writes the
published file format (version 1: header, description, records, index), uncompressed. Data layouts
are those that projectaria-tools states. Its official reader reads the files back.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CONFIGURATION, DATA = 2, 3  # record types
LAYOUT_VERSION = 2
INDEX_TYPE, DESCRIPTION_TYPE = 1, 2
LAST_TIME = 1.7976931348623157e308  # the time in headers of records without one
RECORD_HEADER = struct.Struct("<IIiIdHBBI")
RGB8, GREY8 = 4, 1
S32_LE = 13
SIZES = {  # struct format characters
    "Bool": "B",
    "uint8_t": "B",
    "uint32_t": "I",
    "uint64_t": "Q",
    "int64_t": "q",
    "double": "d",
    "float": "f",
}

Value = str | float | int | Sequence[float] | Sequence[int]


@dataclass(frozen=True)
class DataPiece:
    """One field of a data layout; `kind` is string, value:TYPE, array:TYPE:COUNT or vector:TYPE."""

    name: str
    kind: str

    @property
    def variable_size(self) -> bool:
        return self.kind == "string" or self.kind.startswith("vector")

    def packed(self, value: Value) -> bytes:
        if self.kind == "string":
            return str(value).encode()
        values = list(value) if isinstance(value, Sequence) else [value]
        return struct.pack(f"<{len(values)}{SIZES[self.kind.split(':')[1]]}", *values)

    def described(self, offset: int, index: int) -> dict[str, str | int]:
        form, _, rest = self.kind.partition(":")
        kind, _, count = rest.partition(":")
        if form == "string":
            return {"name": self.name, "type": "DataPieceString", "index": index}
        if form == "vector":
            return {"name": self.name, "type": f"DataPieceVector<{kind}>", "index": index}
        if form == "array":
            named: dict[str, str | int] = {
                "name": self.name,
                "type": f"DataPieceArray<{kind}>",
                "offset": offset,
            }
            return {**named, "size": int(count)}
        return {"name": self.name, "type": f"DataPieceValue<{kind}>", "offset": offset}


Layout = tuple[DataPiece, ...]


def layout(**kinds: str) -> Layout:
    return tuple(DataPiece(name.replace("__", "."), kind) for name, kind in kinds.items())


DEVICE = {"device_type": "string", "device_version": "string", "device_serial": "string"}
CALIBRATION = dict.fromkeys(("factory_calibration", "online_calibration", "description"), "string")
IMAGE_CONFIGURATION = layout(
    **DEVICE,
    camera_id="value:uint32_t",
    sensor_model="string",
    sensor_serial="string",
    nominal_rate="value:double",
    image_width="value:uint32_t",
    image_height="value:uint32_t",
    image_stride="value:uint32_t",
    image_pixel_format="value:uint32_t",
    exposure_duration__min="value:double",
    exposure_duration__max="value:double",
    gain__min="value:double",
    gain__max="value:double",
    gamma_factor="value:double",
    **CALIBRATION,
)
IMAGE_DATA = layout(
    group_id="value:uint64_t",
    group_mask="value:uint64_t",
    frame_number="value:uint64_t",
    exposure_duration_s="value:double",
    gain="value:double",
    capture_timestamp_ns="value:int64_t",
    arrival_timestamp_ns="value:int64_t",
    temperature_deg_c="value:double",
)
MOTION_CONFIGURATION = layout(
    stream_index="value:uint32_t",
    **DEVICE,
    device_id="value:uint64_t",
    sensor_model="string",
    nominal_rate="value:double",
    has_accelerometer="value:Bool",
    has_gyroscope="value:Bool",
    has_magnetometer="value:Bool",
    **CALIBRATION,
)
MOTION_DATA = layout(
    accelerometer_valid="value:Bool",
    gyroscope_valid="value:Bool",
    magnetometer_valid="value:Bool",
    temperature_deg_c="value:double",
    capture_timestamp_ns="value:int64_t",
    arrival_timestamp_ns="value:int64_t",
    accelerometer="array:float:3",
    gyroscope="array:float:3",
    magnetometer="array:float:3",
)
AUDIO_CONFIGURATION = layout(
    stream_id="value:uint32_t",
    audio_channel_count="value:uint8_t",
    audio_sample_rate="value:uint32_t",
    audio_sample_format="value:uint8_t",
)
AUDIO_DATA = layout(capture_timestamps_ns="vector:int64_t", audio_muted="value:uint8_t")


def layout_bytes(pieces: Layout, values: Mapping[str, Value]) -> bytes:
    """The bytes of a layout: fixed-size fields, then offsets of the others, then the others."""
    fixed, places, rest = b"", b"", b""
    for piece in pieces:
        form = piece.kind.partition(":")[0]
        blank: Value = "" if form == "string" else [] if form == "vector" else 0
        packed = piece.packed(values.get(piece.name, [0] * 3 if form == "array" else blank))
        if piece.variable_size:
            places += struct.pack("<II", len(rest), len(packed))
            rest += packed
        else:
            fixed += packed
    return fixed + places + rest


def layout_json(pieces: Layout) -> str:
    offset = index = 0
    fields = []
    for piece in pieces:
        fields.append(piece.described(offset, index))
        if piece.variable_size:
            index += 1
        else:
            offset += len(piece.packed([0] * 3 if piece.kind.startswith("array") else 0))
    return json.dumps({"data_layout": fields})


@dataclass
class Stream:
    """One sensor: type `number`, its `instance`, and the `content` that follows a data layout."""

    number: int
    instance: int
    configuration: Layout
    data: Layout
    content: str = ""
    records: list[tuple[float, int, bytes]] = field(default_factory=list)

    def tags(self) -> dict[str, str]:
        version = LAYOUT_VERSION
        return {
            f"DL:Configuration:{version}:0": layout_json(self.configuration),
            f"DL:Data:{version}:0": layout_json(self.data),
            f"RF:Configuration:{version}": "data_layout",
            f"RF:Data:{version}": f"data_layout{self.content}",
            "VRS_Original_Recordable_Name": f"stream {self.number}",
        }

    def configure(self, **values: Value) -> None:
        values = {name.replace("__", "."): value for name, value in values.items()}
        self.records.append((0.0, CONFIGURATION, layout_bytes(self.configuration, values)))

    def add(self, time_s: float, content: bytes = b"", **values: Value) -> None:
        self.records.append((time_s, DATA, layout_bytes(self.data, values) + content))


class Recording:
    """Collects streams and writes them as one VRS file."""

    def __init__(self, calibration: str | None = None, device: str = "Aria") -> None:
        self._tags = {"device_type": device}
        if calibration is not None:
            self._tags["calib_json"] = calibration
        self._streams: list[Stream] = []

    def camera(
        self,
        number: int,
        instance: int,
        width: int,
        height: int,
        rate_hz: float,
        grey: bool = False,
        content: str = "+image/raw",
    ) -> Stream:
        """A camera; `content` +image/jpg takes whole JPEG files."""
        stream = Stream(number, instance, IMAGE_CONFIGURATION, IMAGE_DATA, content)
        stream.configure(
            camera_id=instance,
            nominal_rate=rate_hz,
            image_width=width,
            image_height=height,
            image_stride=width * (1 if grey else 3),
            image_pixel_format=GREY8 if grey else RGB8,
        )
        self._streams.append(stream)
        return stream

    def imu(self, instance: int, rate_hz: float) -> Stream:
        stream = Stream(1202, instance, MOTION_CONFIGURATION, MOTION_DATA)
        stream.configure(nominal_rate=rate_hz, has_accelerometer=1, has_gyroscope=1)
        self._streams.append(stream)
        return stream

    def microphones(self, channels: int, rate_hz: int) -> Stream:
        stream = Stream(231, 1, AUDIO_CONFIGURATION, AUDIO_DATA, "+audio/pcm")
        stream.configure(
            audio_channel_count=channels, audio_sample_rate=rate_hz, audio_sample_format=S32_LE
        )
        self._streams.append(stream)
        return stream

    def write(self, path: Path) -> Path:
        records = sorted(
            (
                (time_s, kind != CONFIGURATION, stream.number, stream.instance, kind, body)
                for stream in self._streams
                for time_s, kind, body in stream.records
            ),
            key=lambda item: item[:4],
        )
        head = 80
        out = _record(DESCRIPTION_TYPE, 0, LAST_TIME, 0, self._description(), 2, 0)
        index, size = b"", len(out)
        for time_s, _, number, instance, kind, body in records:
            record = _record(number, instance, time_s, kind, body, LAYOUT_VERSION, size)
            size = len(record)
            index += struct.pack("<dIBiH", time_s, size, kind, number, instance)
            out += record
        ids = struct.pack("<I", len(self._streams))
        for stream in self._streams:
            ids += struct.pack("<iH", stream.number, stream.instance)
        index = ids + struct.pack("<I", len(records)) + index
        index_at = head + len(out)
        out += _record(INDEX_TYPE, 0, LAST_TIME, 0, index, 2, size)
        header = struct.pack("<4s4sQIIqqqQQQ4s4s", b"Visi", b"onRe", 1, head, RECORD_HEADER.size,
            index_at, head, 0, 0, 0, 0, b"cord", b"VRS1")  # fmt: skip
        path.write_bytes(header + out)
        return path

    def _description(self) -> bytes:
        out = struct.pack("<I", len(self._streams))
        for stream in self._streams:
            out += struct.pack("<iH", stream.number, stream.instance)
            out += _map({}) + _map(stream.tags())
        return out + _map(self._tags)


def _record(
    number: int, instance: int, time_s: float, kind: int, body: bytes, version: int, before: int
) -> bytes:
    size = RECORD_HEADER.size + len(body)
    kind = kind or DATA
    return RECORD_HEADER.pack(size, before, number, version, time_s, instance, kind, 0, 0) + body


def _map(pairs: Mapping[str, str]) -> bytes:
    texts = [text.encode() for pair in sorted(pairs.items()) for text in pair]
    return struct.pack("<I", len(pairs)) + b"".join(
        struct.pack("<I", len(text)) + text for text in texts
    )


def pixels(image: NDArray[np.uint8]) -> bytes:
    return np.ascontiguousarray(image).tobytes()
