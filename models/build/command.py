"""`python -m models build`: makes the forms of the detector and the scenes for OpenVINO, once."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart, in_one_line
from models.packs import FORMS, PackFiles, find_pack, read_manifest, write_manifest

BUILT = ("detector", "scenes")


def add_build(commands: Any) -> None:
    """Add the command `build` to the subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "build",
        help="make the detector's and the scenes' forms for OpenVINO, once; needs torch",
        description="Makes the forms for OpenVINO of a pack's detector and scenes from their "
        "checkpoints, after training or after `pull`, and writes the pack's manifest again.",
    )
    parser.add_argument("tier", nargs="?", choices=BUILT, help="build only this")
    parser.add_argument(
        "--pack", choices=("pocket", "hub"), default="pocket", help="default: pocket"
    )


def build(args: argparse.Namespace, say: Any) -> None:
    """Build the forms, and report each with `say`. Raises MissingPart for a checkpoint that is
    missing or damaged."""
    for tier in [args.tier] if args.tier else BUILT:
        files = find_pack(tier, args.pack)
        folder = files.root / FORMS[args.pack][tier]["openvino"]
        _build(tier, files, folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        say(f"{folder}: {size / 1e6:.1f} MB")
        known = read_manifest(files.root)
        more = {name: value for name, value in known.items() if name not in ("version", "files")}
        write_manifest(files.root, str(known["version"]), more)


def _build(tier: str, files: PackFiles, folder: Path) -> None:
    """Replace the form in `folder` by one of the pack's checkpoint, or leave it as it is."""
    checkpoint = files.open(FORMS[files.pack][tier]["torch"])
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        if tier == "detector":
            from models.build.detector import build_detector

            build_detector(checkpoint, partial, share=True)
        else:
            from models.build.scenes import build_scenes
            from models.scenes import hub_settings

            settings = files.settings()
            if files.pack == "hub":
                settings |= hub_settings(files, checkpoint)
            build_scenes(checkpoint, settings, partial, share=True)
    except ImportError as error:
        raise MissingPart(f"{error.name}: not installed; run: pip install -e '.[torch]'") from None
    except Exception as error:  # each library has errors of its own
        raise MissingPart(
            f"{files.pack} {tier}: {checkpoint}: expected a checkpoint, got {in_one_line(error)}; "
            f"to repair it: {files.remedy}"
        ) from None
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
