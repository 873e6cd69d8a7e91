"""`python -m models`: lists the packs; `pull` downloads the hub pack, `build` and `export` make forms
for other runtimes, `seal` writes the pocket pack's manifest. Loads no weights itself.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from engine.core.arguments import OneLineParser
from engine.core.errors import EngineError, MissingPart
from engine.core.output import to_the_end
from models.build.command import add_build, build
from models.fastvlm.export.command import add_export, export
from models.hub import HUB, OPTIONAL, TIERS, hub_home
from models.packs import POCKET, find_pack, write_manifest

EXAMPLES = """examples:
  python -m models list                   the packs on this machine
  python -m models pull                   download the hub pack (about 1.5 GB)
  python -m models pull detector          download one model of it
  python -m models pull depth             download both metric depth models (198 MB), for obstacles.depth
  python -m models build --pack hub       make the hub pack's forms for OpenVINO, after `pull`
  python -m models export                 export the describer for OpenVINO
"""


def show_packs(console: Console) -> None:
    """Print one line for each tier and pack: name, size, and whether it is ready."""
    table = Table("tier", "pack", "name", "size", "status", box=None, pad_edge=False)
    rows = [(tier, pack) for tier in TIERS for pack in ("hub", "pocket")]
    for tier, pack in rows + [(tier, "hub") for tier in OPTIONAL]:
        table.add_row(tier, pack, *_state(tier, pack))
    console.print(table)
    for line in (
        f"hub pack: {hub_home()}; download or repair it: python -m models pull",
        f"pocket pack: {POCKET}; repair it: git checkout models/pocket",
    ):
        console.print(line, soft_wrap=True, highlight=False)


def _state(tier: str, pack: str) -> tuple[str, str, str]:
    name = HUB[tier].name if pack == "hub" else f"{tier}-pocket"
    try:
        files = find_pack(tier, pack)
        name = str(files.settings()["name"])
    except MissingPart:
        if pack == "hub" and not (hub_home() / tier).exists():
            return (name, f"{HUB[tier].megabytes} MB", "not pulled")
        return name, "", "missing or damaged"
    damage = files.damage()
    size = f"{files.bytes() / 1e6:.1f} MB"
    return name, size, f"damaged: {damage}" if damage else "ready"


def _tiers_of(name: str | None) -> Sequence[str]:
    """The tiers selected by a name on the command line. Without a name, the whole hub pack except
    depth, which is optional."""
    if name is None:
        return TIERS
    return OPTIONAL if name == "depth" else (name,)


def pull(tiers: Sequence[str], console: Console) -> None:
    """Download the tiers and print their licences. Raises MissingPart for the first one that fails."""
    from models.pull import pull_tier

    for tier in tiers:
        console.print(pull_tier(tier, hub_home()), soft_wrap=True, highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 done; 2 failed, with one line on stderr; 130
    interrupted."""
    parser = OneLineParser(
        prog="python -m models",
        description="Lists the packs of weights, downloads the hub pack, or exports the describer for "
        "other runtimes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="list the packs (the default)")
    puller = commands.add_parser(
        "pull",
        help="download YOLO11n, FastViT-T8 and FastVLM-0.5B once, and verify their checksums",
        description="Downloads the hub pack, or one model of it. No other command uses the network.",
    )
    names = (*TIERS, "depth", *OPTIONAL)
    puller.add_argument("name", nargs="?", choices=names, help="download only this")
    puller.add_argument("--only", choices=names, help="the same")
    add_build(commands)
    add_export(commands)
    sealer = commands.add_parser(
        "seal", help="after training: write models/pocket/manifest.json again"
    )
    sealer.add_argument("--version", required=True, help="version of the pocket pack")
    args = parser.parse_args(argv)
    console = Console()
    try:
        if args.command == "pull":
            pull(_tiers_of(args.name or args.only), console)
        elif args.command == "build":
            build(args, lambda line: console.print(line, soft_wrap=True, highlight=False))
        elif args.command == "export":
            export(args, console)
        elif args.command == "seal":
            write_manifest(POCKET, args.version)
        else:
            show_packs(console)
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(to_the_end(main))
