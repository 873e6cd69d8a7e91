"""`python -m engine.doctor`: what this machine has, what is missing, and how to fix it.

Checks libraries, GPU and model packs here, and devices with `engine.devices.checks`. Loads no
model. Exits with 0 if the engine can run, else with 1.
"""

import argparse
import os
import platform
import sys

from rich.console import Console
from rich.table import Table

from engine import __version__
from engine.core.errors import EngineError, in_one_line
from engine.devices import checks
from engine.devices.checks import Finding, State, installed_version

SHOWN = {"yes": "[green]yes[/]", "no": "[yellow]no[/]", "needed": "[red]missing[/]"}


def examine() -> list[Finding]:
    """Run every check, in the order in which a user meets the pieces."""
    return [
        libraries(),
        gpu(),
        *packs(),
        checks.camera(),
        checks.speaker(),
        checks.voice(),
        checks.microphone(),
        checks.micro_wake_word(),
        checks.porcupine(),
        checks.recogniser(),
        checks.media_keys(),
        checks.glasses(),
        checks.viewer(),
    ]


def libraries() -> Finding:
    names = ("torch", "torchvision", "transformers", "timm", "ultralytics", "openvino", "rapidocr")
    versions = {name: installed_version(name) for name in names}
    # Two distributions ship the same package; setup installs the one without a window toolkit.
    versions["ultralytics"] = (
        installed_version("ultralytics-opencv-headless") or versions["ultralytics"]
    )
    missing = [name for name, number in versions.items() if number is None]
    if missing:
        return Finding(
            "libraries", "needed", f"no {', '.join(missing)}", "models cannot load", "make setup"
        )
    installed = ", ".join(f"{name} {number}" for name, number in versions.items())
    return Finding("libraries", "yes", f"Python {platform.python_version()}, {installed}")


def gpu() -> Finding:
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
        "an NVIDIA driver; models.device=auto then takes the GPU",
    )


def packs() -> list[Finding]:
    from models.hub import OPTIONAL, TIERS

    findings = []
    for tier in TIERS:
        findings.append(
            _pack("pocket", tier, "this tier cannot answer", "git checkout -- models/pocket")
        )
        findings.append(_hub_pack(tier, "the small pocket model is used"))
    return findings + [_hub_pack(tier, "no metric depth") for tier in OPTIONAL]


def _hub_pack(tier: str, costs: str) -> Finding:
    from models.hub import pull_command

    return _pack("hub", tier, costs, pull_command(tier))


def _pack(pack: str, tier: str, costs: str, fix: str) -> Finding:
    """A pack's files for one tier. The pocket pack is needed: every tier falls back on it."""
    from models.packs import find_pack

    name = f"{pack} {tier}"
    try:
        files = find_pack(tier, pack)
        damage = files.damage()
    except EngineError as error:
        damage = str(error)
    if damage:
        state: State = "needed" if pack == "pocket" else "no"
        return Finding(name, state, damage.split(";")[0], costs, fix)
    detail = f"{files.settings().get('name', tier)}, {files.bytes() / 2**20:.1f} MiB"
    return Finding(name, "yes", detail)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.doctor",
        description="Report what this machine has, what each missing piece costs, how to fix it",
    )
    parser.add_argument("what", nargs="?", choices=["aria"], help="aria: each step to the glasses")
    parser.add_argument("--glasses", choices=["auto", "gen1", "gen2"], default="auto")
    parser.add_argument("--pair", action="store_true", help="ask the glasses to trust this host")
    parser.add_argument("--address", help="of glasses on Wi-Fi; without, USB")
    args = parser.parse_args()
    if args.what == "aria":
        from engine.devices.aria.doctor import main as check_glasses

        return check_glasses(args.glasses, args.address, args.pair)
    console = Console(highlight=False)
    findings = examine()
    table = Table(title=f"Scene Aria {__version__} on {platform.platform(terse=True)}")
    for column in ("piece", "here", "found", "without it", "fix"):
        table.add_column(column, overflow="fold")
    for item in findings:
        fix = "" if item.state == "yes" else item.fix
        costs = "" if item.state == "yes" else item.costs
        table.add_row(item.piece, SHOWN[item.state], item.detail, costs, fix)
    console.print(table)
    needed = [item.piece for item in findings if item.state == "needed"]
    if needed:
        console.print(f"[red]cannot run:[/] {', '.join(needed)}")
        return 1
    console.print("ready: python -m engine mode=auto")
    return 0


if __name__ == "__main__":
    sys.exit(main())
