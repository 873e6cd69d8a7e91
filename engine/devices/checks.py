"""Checks of the devices on this machine, for `python -m engine.doctor`.

A check opens a device at most for a moment, records nothing, and never raises: a device or library
that is missing or broken is a Finding.
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from engine.core.errors import EngineError, in_one_line
from engine.core.extras import pip_install

DEBIAN = os.path.exists("/etc/debian_version")
CPU = "models run on the CPU; the pocket pack is made for that"
State = Literal["yes", "no", "needed"]


@dataclass(frozen=True)
class Finding:
    """What a check found. `needed`: the piece is missing and the engine cannot run without it."""

    piece: str
    state: State
    detail: str
    costs: str = ""  # what the user has to do without
    fix: str = ""  # the command or setting that fixes it


UNIT = Path.home() / ".config/systemd/user/scene-aria.service"  # engine/app/scene-aria.service


def camera() -> Finding:
    from engine.devices.video.webcam import webcam_present

    if webcam_present(0):
        return Finding("camera", "yes", "webcam 0 is there")
    return Finding(
        "camera",
        "no",
        "no webcam at index 0",
        "source=auto plays the sample; video, image and folder work",
        "plug one in, or source.index=N",
    )


def graphics_card() -> Finding:
    """By NVIDIA's driver, since importing torch takes seconds."""
    name = _nvidia_card()
    if name is None:
        return Finding(
            "GPU",
            "no",
            f"{os.cpu_count()} CPU cores",
            CPU,
            "an NVIDIA driver; models.device=auto then takes the GPU",
        )
    if installed_version("torch") is None:
        return Finding("GPU", "no", f"{name}; torch is not installed", CPU, pip_install("torch"))
    return Finding("GPU", "yes", f"{name}; models.device=auto takes it")


def _nvidia_card() -> str | None:
    """The name of the first card, by CUDA's driver API; its functions return 0 for success."""
    name, card = ctypes.create_string_buffer(100), ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(card), 0):
            return None
        if driver.cuDeviceGetName(name, len(name), card):
            return None
    except (OSError, AttributeError):
        return None
    return name.value.decode(errors="replace")


def torch() -> Finding:
    installed = installed_version("torch")
    if installed is not None:
        return Finding("torch", "yes", f"torch {installed}, for models.backend=torch and CUDA")
    return Finding(
        "torch", "no", "not installed", "no checkpoints, CUDA, training", pip_install("torch")
    )


def speaker() -> Finding:
    return _sound_device(
        "speaker",
        "max_output_channels",
        "speech goes to audio.wav",
        "apt install libportaudio2" if DEBIAN and not _has_portaudio() else "a sound device",
    )


def microphone() -> Finding:
    return _sound_device(
        "microphone",
        "max_input_channels",
        "no wake word; ask by key or timer",
        "a sound device, as for the speaker",
    )


def _has_portaudio() -> bool:
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def _sound_device(kind: str, channels_key: str, costs: str, fix: str) -> Finding:
    try:
        import sounddevice

        devices = [d["name"] for d in sounddevice.query_devices() if d[channels_key] > 0]
    except OSError as error:  # the library has no PortAudio
        return Finding(kind, "no", str(error), costs, fix)
    except Exception as error:  # without the library or a sound server, it varies
        return Finding(kind, "no", in_one_line(error), costs, fix)
    if devices:
        return Finding(kind, "yes", str(devices[0]))
    return Finding(kind, "no", f"no {kind} among the sound devices", costs, fix)


def voice() -> Finding:
    from engine.devices.sound.voice import Pyttsx3Voice

    try:
        english = Pyttsx3Voice("en", 190)
        samples = english.synthesise("Ready.")
    except EngineError as error:
        return Finding("voice", "needed", str(error), "nothing can be said", "make setup")
    length_s = len(samples) / english.sample_rate_hz
    return Finding("voice", "yes", f"espeak-ng through pyttsx3 says 'Ready.' in {length_s:.1f} s")


def micro_wake_word() -> Finding:
    from engine.devices.sound.microwakeword import DELAY_S, MicroWakeWord

    try:
        MicroWakeWord().close()
    except Exception as error:  # a wheel for another processor raises errors of other types
        return Finding(
            "microWakeWord",
            "no",
            in_one_line(error),
            "no wake word without a key",
            "pip install 'pymicro-wakeword>=2.4,<3'",
        )
    return Finding("microWakeWord", "yes", f"hears {', '.join(DELAY_S)}; trigger=wake")


def porcupine() -> Finding:
    from engine.devices.sound.porcupine import KEY

    costs = "only microWakeWord's wake words"
    installed = installed_version("pvporcupine")
    if installed is None:
        return Finding(
            "Porcupine", "no", "not installed", costs, "pip install 'pvporcupine>=4,<5', and a key"
        )
    detail = f"pvporcupine {installed}"
    if os.environ.get(KEY):
        return Finding("Porcupine", "yes", f"{detail}, {KEY} is set; trigger.wake.engine=porcupine")
    return Finding(
        "Porcupine",
        "no",
        f"{detail}, {KEY} is not set",
        costs,
        f"a key from console.picovoice.ai in {KEY}",
    )


def recogniser() -> Finding:
    installed = installed_version("pocketsphinx")
    if installed is None:
        return Finding(
            "spoken commands",
            "no",
            "pocketsphinx is not installed",
            "commands by key only",
            "pip install 'pocketsphinx>=5.0.4,<6'",
        )
    return Finding(
        "spoken commands", "yes", f"pocketsphinx {installed}, in English; Spanish by key"
    )


def media_keys() -> Finding:
    from engine.devices.input.media_keys import find_media_keys

    try:
        devices = find_media_keys()
    except EngineError as error:
        detail, _, fix = str(error).removeprefix("trigger.media_keys: ").partition("; ")
        return Finding("headset buttons", "no", detail, "ask by key or voice", fix)
    names = ", ".join(str(device.name) for device in devices)
    for device in devices:
        device.close()
    return Finding("headset buttons", "yes", f"{names}; trigger.media_keys=true")


def glasses() -> Finding:
    from engine.devices.aria.usb import plugged_in

    installed = installed_version("projectaria-client-sdk")
    if installed is None:
        return Finding(
            "Aria glasses",
            "no",
            "projectaria-client-sdk is not installed",
            "no glasses (source=aria) and no recordings of them (source=vrs)",
            pip_install("aria"),
        )
    sdk = f"projectaria-client-sdk {installed}"
    generation = plugged_in()
    if generation is not None:
        return Finding("Aria glasses", "yes", f"{sdk}; {generation} is plugged in")
    return Finding(
        "Aria glasses",
        "no",
        f"{sdk}; none is plugged in",
        "source=vrs plays recordings; source=aria source.address=IP connects over Wi-Fi",
        "python -m engine.doctor aria",
    )


def supervisor(unit: Path = UNIT) -> Finding:
    """Whether something starts the engine again after a failure."""
    if unit.exists():
        return Finding("supervisor", "yes", "scene-aria.service starts the engine again")
    return Finding(
        "supervisor",
        "no",
        "nothing starts the engine again after a failure",
        "no warnings after a crash",
        "python -m engine --supervised mode=auto",
    )


def viewer() -> Finding:
    installed = installed_version("rerun-sdk")
    if installed is not None:
        return Finding("viewer", "yes", f"rerun-sdk {installed}, for view=rerun")
    return Finding(
        "viewer",
        "no",
        "rerun-sdk is not installed",
        "no recording for a sighted helper (view=rerun)",
        pip_install("view"),
    )


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution; None if it is not installed. Imports nothing."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
