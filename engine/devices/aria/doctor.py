"""`python -m engine.doctor aria`: the steps to streaming glasses, and the command to run next.

It changes nothing, except that `--pair` asks the glasses to trust this host, which the wearer
accepts in the phone's app. The other steps are fixed by commands of Aria's own tools.
"""

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, Protocol

from engine.core.errors import message_of
from engine.devices.aria import usb
from engine.devices.aria.gen2 import CERTIFICATE
from engine.devices.aria.lenses import INSTALL, silenced
from engine.devices.aria.live import HOT_C, LOW_PERCENT, DeviceStatus

RULES = Path("/etc/udev/rules.d/52-aria.rules")  # as `aria_doctor` writes it
PAIR = "python -m engine.doctor aria --pair, and accept it in the Aria app on the phone"
TOOLS = {"gen1": "aria", "gen2": "aria_gen2"}
NAMES = {"gen1": "Gen 1", "gen2": "Gen 2"}


@dataclass(frozen=True, slots=True)
class SetupStep:
    """One step of the setup.

    `done` is None if an earlier step must be done first. `next` is the command to run.
    """

    name: str
    done: bool | None
    seen: str
    next: str = ""


class ReachableGlasses(Protocol):
    """The part of a link that inspects the glasses without streaming."""

    profile: str

    def connect(self) -> None: ...

    def pair(self) -> None: ...

    def profiles(self) -> list[str]: ...

    def status(self) -> DeviceStatus | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HostPaths:
    """The paths that are inspected; tests use their own."""

    rules: Path = RULES
    devices: Path = usb.DEVICES
    certificate: Path = CERTIFICATE
    linux: bool = sys.platform.startswith("linux")


def steps(
    generation: Literal["gen1", "gen2"],
    address: str | None,
    link: Callable[[], ReachableGlasses],
    machine: HostPaths | None = None,
    pair: bool = False,
) -> list[SetupStep]:
    """Check every step for glasses of `generation`, over Wi-Fi if there is an `address`.

    With `pair`, ask the glasses to trust this host.
    """
    machine = machine or HostPaths()
    tool = TOOLS[generation]
    installed = _sdk()
    found = [installed, *_usb(machine, address)]
    found.append(_certificates(generation, machine, tool))
    if not installed.done:
        return [*found, SetupStep("pairing", None, "the SDK comes first")]
    return [*found, *_glasses(link, pair)]


def _sdk() -> SetupStep:
    try:
        sdk, tools = version("projectaria-client-sdk"), version("projectaria-tools")
    except PackageNotFoundError as error:
        python = platform.python_version()
        return SetupStep("SDK", False, f"no {error.name} (Python {python})", INSTALL)
    return SetupStep("SDK", True, f"projectaria-client-sdk {sdk}, projectaria-tools {tools}")


def _usb(machine: HostPaths, address: str | None) -> list[SetupStep]:
    if address is not None:
        return [SetupStep("Wi-Fi", True, f"the glasses are expected at {address}")]
    found = []
    if machine.linux:
        try:
            rules = usb.VENDOR in machine.rules.read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            rules = False
        seen = f"{machine.rules} lets every user open them" if rules else f"no {machine.rules}"
        found.append(SetupStep("USB rules", rules, seen, "" if rules else "aria_doctor"))
        plugged = usb.attached(machine.devices)
        found.append(
            SetupStep(
                "USB",
                plugged,
                "glasses are plugged in" if plugged else "no glasses are plugged in",
                "" if plugged else "plug them in, or run python -m engine.doctor aria --address IP",
            )
        )
    return found


def _certificates(generation: str, machine: HostPaths, tool: str) -> SetupStep:
    if generation == "gen1":
        return SetupStep("certificates", True, "created for each stream")
    there = machine.certificate.expanduser().is_file()
    seen = f"{machine.certificate} is there" if there else f"no {machine.certificate}"
    return SetupStep(
        "certificates", there, seen, "" if there else f"{tool} streaming install-certs"
    )


def _glasses(link: Callable[[], ReachableGlasses], pair: bool) -> list[SetupStep]:
    """The steps that need a connection to the glasses."""
    reached = link()
    try:
        with silenced():
            if pair:
                reached.pair()
            reached.connect()
    except RuntimeError as error:
        reason = message_of(error)
        return [
            SetupStep("pairing", False, f"they do not answer: {reason}", PAIR),
            *(
                SetupStep(name, None, "pairing comes first")
                for name in ("profile", "battery", "heat")
            ),
        ]
    try:
        with silenced():
            profiles, status = reached.profiles(), reached.status()
    except RuntimeError as error:
        reason = message_of(error)
        return [SetupStep("pairing", False, f"they answer only in part: {reason}", PAIR)]
    finally:
        reached.close()
    has = reached.profile in profiles
    return [
        SetupStep("pairing", True, "this host is paired with the glasses"),
        SetupStep(
            "profile",
            has,
            f"{reached.profile} is {'' if has else 'not '}among their {len(profiles)}",
            "" if has else f"choose one with source.profile=NAME: {', '.join(profiles)}",
        ),
        *_condition(status),
    ]


def _condition(found: DeviceStatus | None) -> list[SetupStep]:
    if found is None:
        return [
            SetupStep(name, None, "the glasses do not report it") for name in ("battery", "heat")
        ]
    charged = found.charging or found.battery_percent > LOW_PERCENT
    cool = not found.throttled and found.skin_c < HOT_C
    return [
        SetupStep(
            "battery",
            charged,
            f"{found.battery_percent} %{', charging' if found.charging else ''}",
            "" if charged else "charge them",
        ),
        SetupStep(
            "heat",
            cool,
            f"{found.skin_c:.0f} degrees at the skin{', slowed down' if found.throttled else ''}",
            "" if cool else "take them off and let them cool",
        ),
    ]


def report_lines(found: list[SetupStep]) -> list[str]:
    """One line per step, and what to do next."""
    words = {True: "done", False: "to do", None: "unknown"}
    lines = [f"{step.name}: {words[step.done]}; {step.seen}" for step in found]
    todo = [step for step in found if step.done is False]
    if todo:
        lines.append(f"next ({todo[0].name}): {todo[0].next}")
    elif any(step.done is None for step in found):
        lines.append("next: python -m engine source=aria; it will show what is unknown")
    else:
        lines.append("next: python -m engine source=aria")
    return lines


def main(generation: str, address: str | None, pair: bool = False) -> int:
    """Check, print, and return the exit status: 0 if nothing is left to do."""
    which: Literal["gen1", "gen2"] = "gen2" if generation == "gen2" else "gen1"
    if generation == "auto":
        which = usb.plugged_in() or "gen1"
    print(f"Aria {NAMES[which]}" + ("" if generation != "auto" else " (override with --glasses)"))

    def link() -> ReachableGlasses:
        if which == "gen2":
            from engine.devices.aria.gen2 import Gen2Link

            return Gen2Link(address=address)
        from engine.devices.aria.gen1 import Gen1Link

        return Gen1Link(address=address)

    found = steps(which, address, link, pair=pair)
    print("\n".join(report_lines(found)))
    return 1 if any(step.done is False for step in found) else 0
