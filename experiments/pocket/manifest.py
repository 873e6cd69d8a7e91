"""Writes or checks `models/pocket/manifest.json`: size and sha256 of every shipped weight file."""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

VERSION = "0"
NAME = "manifest.json"
LEFT_OUT_NAMES = {NAME, "README.md"}
LEFT_OUT_SUFFIXES = {".png", ".py", ".pyc"}


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Relative path to sha256 and bytes, of every shipped file, in alphabetical order."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not path.is_file() or hidden:
            continue
        if path.name in LEFT_OUT_NAMES or path.suffix in LEFT_OUT_SUFFIXES:
            continue
        content = path.read_bytes()
        found[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return found


def differences(folder: Path) -> list[str]:
    """One line for each file that is missing, unlisted or changed."""
    listed = json.loads((folder / NAME).read_text(encoding="utf-8"))["files"]
    found = entries(folder)
    lines = [f"missing: {name}" for name in sorted(listed.keys() - found.keys())]
    lines += [f"not listed: {name}" for name in sorted(found.keys() - listed.keys())]
    both = sorted(listed.keys() & found.keys())
    return lines + [f"changed: {name}" for name in both if listed[name] != found[name]]


def main() -> int:
    """Command line; returns 1 where `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="experiments.pocket.manifest", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/pocket"))
    parser.add_argument("--check", action="store_true", help="verify and change nothing")
    args = parser.parse_args()
    path = args.out / NAME
    if args.check:
        if not path.is_file():
            print(f"error: no {NAME} in {args.out}", file=sys.stderr)
            return 2
        lines = differences(args.out)
        print("\n".join(lines) or f"{NAME}: every file is as listed")
        return int(bool(lines))
    files = entries(args.out)
    manifest = {"version": VERSION, "files": files}
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    total = sum(entry["bytes"] for entry in files.values()) / 1e6
    print(f"{len(files)} files, {total:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
