"""A headset's buttons, read from a pipe by the real evdev library."""

import os
import queue
import struct
import sys
from typing import Any

import pytest

from engine.core.answer import Command
from engine.core.errors import MissingPart
from engine.core.report import Health
from engine.devices.input.media_keys import BUTTONS, MediaKeys, find_media_keys

evdev = pytest.importorskip("evdev", reason="a Linux library")
CODES: dict[str, int] = evdev.ecodes.ecodes
DOWN, UP, HELD = 1, 0, 2


def headset() -> tuple[Any, int]:
    """A device of the library that reads from a pipe, and the pipe's writing end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    device = evdev.InputDevice.__new__(evdev.InputDevice)
    device.fd = reading
    device.path = "a pipe"
    return device, writing


def press(writing: int, name: str, value: int = DOWN, kind: str = "EV_KEY") -> None:
    """Write the kernel's `struct input_event`: seconds, microseconds, type, code, value."""
    os.write(writing, struct.pack("llHHi", 1, 2, CODES[kind], CODES[name], value))


def test_evdev_knows_every_button() -> None:
    assert set(BUTTONS) <= CODES.keys()


def test_a_press_gives_one_command() -> None:
    device, writing = headset()
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    keys = MediaKeys([device], lambda _: None)
    keys.start(commands.put)
    for name, value in (("KEY_PLAYPAUSE", DOWN), ("KEY_PLAYPAUSE", HELD), ("KEY_PLAYPAUSE", UP)):
        press(writing, name, value)
    press(writing, "KEY_A")
    press(writing, "SYN_REPORT", 0, "EV_SYN")
    press(writing, "KEY_NEXTSONG")
    press(writing, "KEY_PREVIOUSSONG")
    press(writing, "KEY_STOPCD")
    names = [commands.get(timeout=5.0).name for _ in range(4)]
    assert names == ["describe", "more", "repeat", "stop"]
    keys.close()
    assert commands.empty()
    os.close(writing)


def test_a_lost_headset_is_reported() -> None:
    device, writing = headset()
    health: queue.SimpleQueue[Health] = queue.SimpleQueue()

    def gone() -> list[Any]:
        raise OSError(19, "No such device")

    device.read = gone
    keys = MediaKeys([device], health.put)
    keys.start(lambda _: None)
    press(writing, "KEY_PLAY")
    assert "No such device" in health.get(timeout=5.0).detail
    keys.close()
    os.close(writing)


def test_a_missing_headset_or_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evdev, "list_devices", list)
    with pytest.raises(MissingPart, match="expected an input device with media keys"):
        find_media_keys()
    monkeypatch.setitem(sys.modules, "evdev", None)
    with pytest.raises(MissingPart, match=r"pip install -e '\.\[keys\]'"):
        find_media_keys()
