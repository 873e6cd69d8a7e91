"""`python -m engine.doctor`: what is installed and connected, what each missing part costs, the fix.

Loads no model pack and records nothing. Exits with 0 if the engine can run. Each check returns a
Finding and never raises, so that the doctor also runs on a broken installation.
"""

import argparse
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from rich.console import Console
from rich.table import Table

from engine import __version__
from engine.core.errors import EngineError, in_one_line

State = Literal["yes", "no", "needed"]
SHOWN = {"yes": "[green]yes[/]", "no": "[yellow]no[/]", "needed": "[red]missing[/]"}


@dataclass(frozen=True)
class Finding:
    """The result of one check. The engine cannot run if `state` is `needed`."""

    piece: str
    state: State
    detail: str
    costs: str = ""
    mend: str = ""


def examine() -> list[Finding]:
    """Run every check, in the order of the table."""
    return [
        check_libraries(),
        check_gpu(),
        *check_packs(),
        check_camera(),
        check_audio("speaker"),
        check_voice(),
        check_audio("microphone"),
        check_micro_wake_word(),
        check_porcupine(),
        check_recogniser(),
        check_media_keys(),
        check_glasses(),
        check_viewer(),
    ]


def check_libraries() -> Finding:
    names = ("torch", "torchvision", "transformers", "timm", "ultralytics", "openvino", "rapidocr")
    versions = {name: installed_version(name) for name in names}
    missing = [name for name, found in versions.items() if found is None]
    if missing:
        return Finding(
            "libraries", "needed", f"no {', '.join(missing)}", "models cannot load", "make setup"
        )
    found = ", ".join(f"{name} {number}" for name, number in versions.items())
    return Finding("libraries", "yes", f"Python {platform.python_version()}, {found}")


def check_gpu() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        return Finding("GPU", "no", in_one_line(error), "models cannot load", "make setup")
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return Finding("GPU", "yes", f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
    return Finding(
        "GPU",
        "no",
        f"{os.cpu_count()} CPU cores",
        "models run on the CPU; the pocket pack is made for that",
        "an NVIDIA driver, then nothing else: models.device=auto takes it",
    )


def check_packs() -> list[Finding]:
    from models.hub import OPTIONAL, TIERS, pull_command
    from models.packs import find_pack

    findings = []
    for tier in (*TIERS, *OPTIONAL):
        for pack in ("hub",) if tier in OPTIONAL else ("pocket", "hub"):
            needed = pack == "pocket"
            fallback = "no metric depth" if tier in OPTIONAL else "the small pocket model serves"
            name = f"{pack} {tier}"
            try:
                files = find_pack(tier, pack)
                damage = files.damage()
            except EngineError as error:
                damage, detail = str(error), ""
            else:
                detail = f"{files.settings().get('name', tier)}, {files.bytes() / 2**20:.1f} MiB"
            if not damage:
                findings.append(Finding(name, "yes", detail))
                continue
            findings.append(
                Finding(
                    name,
                    "needed" if needed else "no",
                    damage.split(";")[0],
                    "this tier cannot answer" if needed else fallback,
                    "git checkout -- models/pocket" if needed else pull_command(tier),
                )
            )
    return findings


def check_camera() -> Finding:
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


def check_audio(kind: Literal["microphone", "speaker"]) -> Finding:
    costs, mend = {
        "speaker": (
            "speech goes to audio.wav",
            "a sound device; on Debian: apt install libportaudio2",
        ),
        "microphone": ("no wake word; keys and timers ask", "a sound device, as for the speaker"),
    }[kind]
    channels = "max_output_channels" if kind == "speaker" else "max_input_channels"
    try:
        import sounddevice

        devices = [d["name"] for d in sounddevice.query_devices() if d[channels] > 0]
    # The library, PortAudio or the sound server may be missing; each raises its own type.
    except Exception as error:
        return Finding(kind, "no", in_one_line(error), costs, mend)
    if devices:
        return Finding(kind, "yes", str(devices[0]))
    return Finding(kind, "no", f"no {kind} among the sound devices", costs, mend)


def check_voice() -> Finding:
    from engine.devices.sound.voice import Pyttsx3Voice

    try:
        voice = Pyttsx3Voice("en", 190)
        try:
            samples = voice.synthesise("Ready.")
        finally:
            voice.close()
    except EngineError as error:
        return Finding("voice", "needed", str(error), "nothing can be said", "make setup")
    length_s = len(samples) / voice.sample_rate_hz
    return Finding("voice", "yes", f"espeak-ng through pyttsx3 says 'Ready.' in {length_s:.1f} s")


def check_micro_wake_word() -> Finding:
    from engine.devices.sound.microwakeword import DELAY_S, MicroWakeWord

    try:
        MicroWakeWord().close()
    except Exception as error:  # a library built for another processor raises various types
        return Finding(
            "microWakeWord",
            "no",
            in_one_line(error),
            "no wake word without a key",
            "pip install 'pymicro-wakeword>=2.4,<3'",
        )
    return Finding("microWakeWord", "yes", f"hears {', '.join(DELAY_S)}; trigger=wake")


def check_porcupine() -> Finding:
    from engine.devices.sound.porcupine import KEY

    costs = "only microWakeWord's phrases wake it"
    found = installed_version("pvporcupine")
    if found is None:
        return Finding(
            "Porcupine", "no", "not installed", costs, "pip install 'pvporcupine>=4,<5', and a key"
        )
    detail = f"pvporcupine {found}"
    if os.environ.get(KEY):
        return Finding("Porcupine", "yes", f"{detail}, {KEY} is set; trigger.wake.engine=porcupine")
    return Finding(
        "Porcupine",
        "no",
        f"{detail}, {KEY} is not set",
        costs,
        f"a key from console.picovoice.ai in {KEY}",
    )


def check_recogniser() -> Finding:
    found = installed_version("pocketsphinx")
    if found is None:
        return Finding(
            "spoken commands",
            "no",
            "pocketsphinx is not installed",
            "commands by key only",
            "pip install 'pocketsphinx>=5.0.4,<6'",
        )
    return Finding("spoken commands", "yes", f"pocketsphinx {found}, in English; Spanish by key")


def check_media_keys() -> Finding:
    from engine.devices.input.media_keys import find_media_keys

    try:
        devices = find_media_keys()
    except EngineError as error:
        detail, _, mend = str(error).removeprefix("trigger.media_keys: ").partition("; ")
        return Finding("headset buttons", "no", detail, "keys and words ask", mend)
    names = ", ".join(str(device.name) for device in devices)
    for device in devices:
        device.close()
    return Finding("headset buttons", "yes", f"{names}; trigger.media_keys=true")


def check_glasses() -> Finding:
    from engine.devices.aria.usb import plugged_in

    sdk_version = installed_version("projectaria-client-sdk")
    if sdk_version is None:
        return Finding(
            "Aria glasses",
            "no",
            "projectaria-client-sdk is not installed",
            "no glasses (source=aria) and no recordings of them (source=vrs)",
            "pip install -e '.[aria]'",
        )
    sdk = f"projectaria-client-sdk {sdk_version}"
    generation = plugged_in()
    if generation is not None:
        return Finding("Aria glasses", "yes", f"{sdk}; {generation} is plugged in")
    return Finding(
        "Aria glasses",
        "no",
        f"{sdk}; none is plugged in",
        "source=vrs plays recordings; source=aria source.address=IP takes them over Wi-Fi",
        "python -m engine.doctor aria",
    )


def check_viewer() -> Finding:
    found = installed_version("rerun-sdk")
    if found is not None:
        return Finding("viewer", "yes", f"rerun-sdk {found}, for view=rerun")
    return Finding(
        "viewer",
        "no",
        "rerun-sdk is not installed",
        "no recording for a sighted helper (view=rerun)",
        "pip install 'rerun-sdk>=0.23,<0.42'",
    )


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, None where there is none. Does not import it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.doctor",
        description="Say what this machine has, what each missing piece costs, and what mends it.",
    )
    parser.add_argument("what", nargs="?", choices=["aria"], help="aria: each step to the glasses")
    parser.add_argument("--glasses", choices=["auto", "gen1", "gen2"], default="auto")
    parser.add_argument("--pair", action="store_true", help="ask the glasses to trust this host")
    parser.add_argument("--address", help="of glasses on Wi-Fi; without, USB")
    args = parser.parse_args()
    if args.what == "aria":
        from engine.devices.aria.doctor import main as check_each_step

        return check_each_step(args.glasses, args.address, args.pair)
    console = Console(highlight=False)
    findings = examine()
    table = Table(title=f"Scene Aria {__version__} on {platform.platform(terse=True)}")
    for column in ("piece", "here", "found", "without it", "mended by"):
        table.add_column(column, overflow="fold")
    for item in findings:
        mend = "" if item.state == "yes" else item.mend
        costs = "" if item.state == "yes" else item.costs
        table.add_row(item.piece, SHOWN[item.state], item.detail, costs, mend)
    console.print(table)
    needed = [item.piece for item in findings if item.state == "needed"]
    if needed:
        console.print(f"[red]cannot run:[/] {', '.join(needed)}")
        return 1
    console.print("ready: python -m engine mode=auto")
    return 0


if __name__ == "__main__":
    sys.exit(main())
