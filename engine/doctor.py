"""`python -m engine.doctor`: what this machine has, what is missing, and how to fix it.

Checks libraries and model packs here, and devices with `engine.devices.checks`, all at the same
time. Imports no framework and loads no model. Exits with 1 if the engine cannot run, else with 0.
"""

import json
import platform
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from engine import __version__
from engine.core.arguments import OneLineParser
from engine.core.errors import EngineError, in_one_line
from engine.core.output import to_the_end
from engine.devices import checks
from engine.devices.checks import Finding, State, installed_version

SHOWN: dict[State, str] = {"yes": "yes", "no": "no", "needed": "MISSING"}
WIDTH = 80  # columns at most
LIMIT_S = 4.0  # a device that has not answered by then is left out
# What the everyday session imports; the list of all is in pyproject.toml.
BASE = ("openvino", "numpy", "opencv-python-headless", "av", "tokenizers", "rapidocr", "hydra-core")
RUN = "python -m engine mode=auto"
# What is worth fixing first, once the engine runs.
ADVICE = ("speaker", "voice", "microphone", "hub describer", "hub detector", "Aria glasses")
COMMANDS = ("python ", "pip ", "apt ", "make ")  # how a fix begins that can be typed

Check = Callable[[], Iterable[Finding]]


def all_checks() -> dict[str, Check]:
    """Every check by name, in the order in which a user meets the pieces."""
    single = {
        "libraries": libraries,
        "GPU": checks.graphics_card,
        "torch": checks.torch,
        "camera": checks.camera,
        "voice": checks.voice,
        "microWakeWord": checks.micro_wake_word,
        "Porcupine": checks.porcupine,
        "spoken commands": checks.recogniser,
        "headset buttons": checks.media_keys,
        "Aria glasses": checks.glasses,
        "viewer": checks.viewer,
        "supervisor": checks.supervisor,
    }
    found: dict[str, Check] = {name: _one(check) for name, check in single.items()}
    # One thread for both: an import that fails in two at once gives one of them half a module.
    found["sound devices"] = lambda: (checks.speaker(), checks.microphone())
    return found | {"model packs": packs}


def _one(check: Callable[[], Finding]) -> Check:
    return lambda: (check(),)


def examine(named: dict[str, Check] | None = None, limit_s: float = LIMIT_S) -> list[Finding]:
    """Run the checks side by side; one that fails or hangs is a finding too."""
    named = all_checks() if named is None else named
    found: dict[str, list[Finding]] = {}

    def run(name: str, check: Check) -> None:
        try:
            found[name] = list(check())
        except Exception as error:
            found[name] = [Finding(name, "no", in_one_line(error), "unknown", "report this line")]

    threads = [
        threading.Thread(target=run, args=pair, name=pair[0], daemon=True) for pair in named.items()
    ]
    for thread in threads:
        thread.start()
    until_s = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    late = f"no answer within {limit_s:g} s"
    return [
        finding
        for name in named
        for finding in found.get(name, [Finding(name, "no", late, "unknown", "run this again")])
    ]


def libraries() -> Finding:
    versions = {name: installed_version(name) for name in BASE}
    missing = [name for name, number in versions.items() if number is None]
    if missing:
        return Finding(
            "libraries", "needed", f"no {', '.join(missing)}", "models cannot load", "make setup"
        )
    return Finding(
        "libraries", "yes", f"Python {platform.python_version()}, OpenVINO {versions['openvino']}"
    )


def packs() -> list[Finding]:
    from models.hub import OPTIONAL, TIERS, pull_command

    findings = []
    for tier in TIERS:
        hub = _pack("hub", tier, "no", "the small pocket model is used", pull_command(tier))
        # Without the hub's model, every start needs the pocket model.
        missing: State = "no" if hub.state == "yes" else "needed"
        fix = "git checkout -- models/pocket, or install the package again"
        findings += [_pack("pocket", tier, missing, "this tier cannot answer", fix), hub]
    for tier in OPTIONAL:
        findings.append(_pack("hub", tier, "no", "no metric depth", pull_command(tier)))
    return findings


def _pack(pack: str, tier: str, missing: State, costs: str, fix: str) -> Finding:
    """A pack's files for one tier."""
    from models.packs import find_pack

    name = f"{pack} {tier}"
    try:
        files = find_pack(tier, pack)
        damage = files.damage()
    except EngineError as error:
        damage = str(error)
    if damage:
        return Finding(name, missing, damage.split(";")[0], costs, fix)
    detail = f"{files.settings().get('name', tier)}, {files.bytes() / 2**20:.1f} MiB"
    return Finding(name, "yes", detail)


def next_commands(findings: Sequence[Finding]) -> list[str]:
    """The two most useful commands now."""
    needed = [item.fix for item in findings if item.state == "needed"]
    if needed:
        return [*dict.fromkeys(needed), "python -m engine.doctor"][:2]
    lacking = {item.piece: item.fix for item in findings if item.state == "no"}
    fixes = [lacking[piece] for piece in ADVICE if piece in lacking]
    command = next((fix for fix in fixes if fix.startswith(COMMANDS)), "python -m engine PHOTO")
    return [RUN, command]


# The forms of the report.


def report(findings: Sequence[Finding], width: int = WIDTH) -> str:
    """A list with its words wrapped at `width` columns."""
    lines = [title(), ""]
    piece_width = max(len(item.piece) for item in findings)
    indent = " " * (piece_width + 12)
    for item in findings:
        head = f"  {item.piece:<{piece_width}}  {SHOWN[item.state]:<8}"
        texts = [item.detail]
        if item.state != "yes":
            texts += [f"without it: {item.costs}", f"fix: {item.fix}"]
        lines += _wrapped(texts[0], width, head, indent)
        for text in texts[1:]:
            lines += _wrapped(text, width, indent, indent + "  ")
    return "\n".join([*lines, "", *closing(findings)])


def _wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def plain(findings: Sequence[Finding]) -> str:
    """One line a piece, for screen readers."""
    lines = [title()]
    for item in findings:
        line = f"{item.piece}: {SHOWN[item.state]}. {item.detail}."
        if item.state != "yes":
            line += f" Without it: {item.costs}. Fix: {item.fix}."
        lines.append(line)
    return "\n".join([*lines, *closing(findings)])


def as_json(findings: Sequence[Finding]) -> str:
    return json.dumps(
        {
            "version": __version__,
            "platform": platform.platform(terse=True),
            "ready": not _needed(findings),
            "findings": [asdict(item) for item in findings],
            "next": next_commands(findings),
        },
        ensure_ascii=False,
    )


def title() -> str:
    return f"Scene Aria {__version__} on {platform.platform(terse=True)}"


def closing(findings: Sequence[Finding]) -> list[str]:
    """The verdict and the next commands, one a line."""
    needed = _needed(findings)
    verdict = f"The engine cannot run: {', '.join(needed)}." if needed else "The engine can run."
    return [verdict, *(f"next: {command}" for command in next_commands(findings))]


def _needed(findings: Sequence[Finding]) -> list[str]:
    return [item.piece for item in findings if item.state == "needed"]


def main() -> int:
    """Run the command line; return the exit status."""
    return to_the_end(_main)


def _main() -> int:
    parser = OneLineParser(
        prog="python -m engine.doctor",
        description="Report what this machine has, what each missing piece costs, how to fix it",
    )
    parser.add_argument("what", nargs="?", choices=["aria"], help="aria: each step to the glasses")
    parser.add_argument("--glasses", choices=["auto", "gen1", "gen2"], default="auto")
    parser.add_argument("--pair", action="store_true", help="ask the glasses to trust this host")
    parser.add_argument("--address", help="of glasses on Wi-Fi; without, USB")
    parser.add_argument("--plain", action="store_true", help="one line a piece")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    if args.what == "aria":
        from engine.devices.aria.doctor import main as check_glasses

        return check_glasses(args.glasses, args.address, args.pair)
    findings = examine()
    if args.json:
        print(as_json(findings))
    elif args.plain:
        print(plain(findings))
    else:
        print(report(findings, min(WIDTH, shutil.get_terminal_size().columns)))
    return 1 if _needed(findings) else 0


if __name__ == "__main__":
    sys.exit(main())
