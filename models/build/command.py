"""`python -m models build`: makes the forms of a pack's tiers for OpenVINO, once."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart, in_one_line
from engine.core.extras import pip_install
from models.hub import OPTIONAL, hub_home
from models.packs import FORMS, PackFiles, find_pack, read_manifest, write_manifest

# The hub's describer is not in its pack's form: `python -m models export` chooses its precision.
BUILT = {
    "pocket": ("detector", "scenes", "describer"),
    "hub": ("detector", "scenes", *OPTIONAL),
}


def add_build(commands: Any) -> None:
    """Add the command `build` to the subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "build",
        help="make a pack's forms for OpenVINO, once; needs torch",
        description="Makes the forms for OpenVINO of a pack's tiers from their checkpoints, after "
        "training or after `pull`, and writes the pack's manifest again.",
    )
    names = dict.fromkeys(tier for tiers in BUILT.values() for tier in tiers)
    parser.add_argument("tier", nargs="?", choices=names, help="build only this")
    parser.add_argument(
        "--pack", choices=("pocket", "hub"), default="pocket", help="default: pocket"
    )


def build(args: argparse.Namespace, say: Any) -> None:
    """Build the forms, and report each with `say`. Raises MissingPart for a checkpoint that is
    missing or damaged, and for a tier that is not built."""
    known = BUILT[args.pack]
    if args.tier not in (None, *known):
        raise MissingPart(
            f"the {args.pack} pack's {args.tier}: expected one of {', '.join(known)}; for the hub's "
            "describer run: python -m models export --pack hub"
        )
    pulled = [tier for tier in known if tier not in OPTIONAL or (hub_home() / tier).is_dir()]
    for tier in [args.tier] if args.tier else pulled:
        files = find_pack(tier, args.pack)
        for folder in _build(tier, files):
            say(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f} MB")
        manifest = read_manifest(files.root)
        more = {key: value for key, value in manifest.items() if key not in ("version", "files")}
        write_manifest(files.root, str(manifest["version"]), more)


def _build(tier: str, files: PackFiles) -> list[Path]:
    """Replace the forms of a tier by those of the pack's checkpoint, or leave them as they are;
    returns their folders."""
    checkpoint = files.open(FORMS[files.pack][tier]["torch"])
    try:
        if tier == "describer":
            from models.build.describer import build_describer

            return build_describer(checkpoint)
        folder = files.root / FORMS[files.pack][tier]["openvino"]
        partial = folder.with_name(f".{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        if tier in OPTIONAL:
            from models.build.depth import build_depth

            build_depth(checkpoint, partial, share=True)
        elif tier == "detector":
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
        raise MissingPart(f"{error.name}: not installed; run: {pip_install('torch')}") from None
    except Exception as error:  # each library has errors of its own
        raise MissingPart(
            f"{files.pack} {tier}: {checkpoint}: expected a checkpoint, got {in_one_line(error)}; "
            f"to repair it: {files.remedy}"
        ) from None
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return [folder]
