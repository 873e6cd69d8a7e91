"""Wired: a headset's buttons, as the real evdev library reads them from a pipe."""

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
    """(the library's own device class reading from a pipe, where to write): no hardware is here."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    device = evdev.InputDevice.__new__(evdev.InputDevice)
    device.fd = reading
    device.path = "a pipe"
    return device, writing


def press(writing: int, name: str, value: int = DOWN, kind: str = "EV_KEY") -> None:
    """A kernel's `struct input_event`: seconds, microseconds, type, code, value."""
    os.write(writing, struct.pack("llHHi", 1, 2, CODES[kind], CODES[name], value))


def test_every_button_is_a_key_of_the_library() -> None:
    assert set(BUTTONS) <= CODES.keys()


def test_a_press_is_a_command_once() -> None:
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


def test_a_headset_that_goes_is_said_and_ends_nothing() -> None:
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


def test_without_a_headset_or_the_library_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evdev, "list_devices", list)
    with pytest.raises(MissingPart, match="expected an input device with media keys"):
        find_media_keys()
    monkeypatch.setitem(sys.modules, "evdev", None)
    with pytest.raises(MissingPart, match=r"pip install -e '\.\[keys\]'"):
        find_media_keys()
