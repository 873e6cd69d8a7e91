"""Media keys of a headset, as reported by Linux input devices (evdev).

Knows which button gives which command, not what a command does.
"""

import contextlib
import select
import threading
from collections.abc import Callable, Sequence
from typing import Any

from engine.core.answer import Command, Control, Wish
from engine.core.errors import MissingPart
from engine.core.extras import pip_install
from engine.core.report import Health

# evdev's names. The single button of a Bluetooth headset sends play and pause alternately. The
# volume buttons are left to the system.
BUTTONS: dict[str, Wish | Control] = {
    "KEY_PLAYPAUSE": "describe",
    "KEY_PLAYCD": "describe",
    "KEY_PAUSECD": "describe",
    "KEY_PLAY": "describe",
    "KEY_PAUSE": "describe",
    "KEY_MEDIA": "describe",
    "KEY_VOICECOMMAND": "describe",
    "KEY_NEXTSONG": "more",
    "KEY_PREVIOUSSONG": "repeat",
    "KEY_STOPCD": "stop",
    "KEY_STOP": "stop",
}
KEY_DOWN = 1  # value of a key event; 0 is up, 2 is held
POLL_S = 0.2


class MediaKeys:
    """Reads the buttons of `devices` in a background thread."""

    def __init__(self, devices: Sequence[Any], report: Callable[[Health], None]) -> None:
        import evdev.ecodes  # type: ignore[import-untyped, unused-ignore]

        codes: dict[str, int] = evdev.ecodes.ecodes
        self._commands = {codes[name]: command for name, command in BUTTONS.items()}
        self._key_event = codes["EV_KEY"]
        self._devices = list(devices)
        self._report = report
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, on_command: Callable[[Command], None]) -> None:
        """Call `on_command` once per button press, until `close`."""
        self._thread = threading.Thread(
            target=self._run, args=(on_command,), name="media keys", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        for device in self._devices:
            with contextlib.suppress(OSError):
                device.close()
        self._devices = []

    def _run(self, on_command: Callable[[Command], None]) -> None:
        while self._devices and not self._stop.is_set():
            ready, _, _ = select.select(self._devices, [], [], POLL_S)
            for device in ready:
                for command in self._read(device):
                    on_command(command)

    def _read(self, device: Any) -> list[Command]:
        try:
            events = list(device.read())
        except OSError as error:
            self._devices.remove(device)
            self._report(
                Health("media keys", f"a headset's buttons are gone ({error.strerror})", "went on")
            )
            return []
        return [
            Command(self._commands[event.code])
            for event in events
            if event.type == self._key_event
            and event.value == KEY_DOWN
            and event.code in self._commands
        ]


def find_media_keys() -> list[Any]:
    """The readable input devices with one of the buttons. Raises MissingPart if there is none."""
    try:
        import evdev
    except ImportError as error:
        raise MissingPart(
            "trigger.media_keys: expected the evdev library (Linux only), got none; install it with "
            f"`{pip_install('keys')}`, or use trigger.media_keys=false"
        ) from error
    codes: dict[str, int] = evdev.ecodes.ecodes
    wanted = {codes[name] for name in BUTTONS}
    found = []
    for path in evdev.list_devices():
        with contextlib.suppress(OSError):
            device = evdev.InputDevice(path)
            if wanted & set(device.capabilities().get(codes["EV_KEY"], [])):
                found.append(device)
            else:
                device.close()
    if not found:
        raise MissingPart(
            "trigger.media_keys: expected an input device with media keys, got none that can be read; "
            "connect the headset and join the group `input`, or use trigger.media_keys=false"
        )
    return found
