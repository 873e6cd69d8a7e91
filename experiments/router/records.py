"""Both tiers' outputs on every set of `experiments.router.data`: what routers learn from and are
judged by.

`python -m experiments.router.records` (options: --help) makes the sets and runs, for each, the
engine itself (`source=dataset record=FILE`). A set whose recording is whole is passed over, so that
the command can be stopped and run again; other weights need another --work.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from experiments.common import add_pack, command_parser
from experiments.router.data import SETS, add_arguments, keep_note, prepare
from models.packs import TIERS, find_pack


def recording(work: Path, name: str) -> Path:
    """Where a set's recording is."""
    return work / f"{name}.jsonl"


def record(work: Path, name: str, pack: str) -> None:
    """Record one set, in a process of its own. Raises SystemExit with the engine's status."""
    command = [
        sys.executable, "-m", "engine", "mode=auto", "router=rules", f"models={pack}",
        "source=dataset", f"source.path={work / name}", f"record={recording(work, name)}",
        f"hydra.run.dir={work / 'sessions' / name}",
    ]  # fmt: skip
    begin_s = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    print(f"{recording(work, name)}: {time.monotonic() - begin_s:.0f} s", flush=True)


def add_record_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every experiment that may have to record."""
    add_arguments(parser)
    add_pack(parser)


def make_recordings(args: argparse.Namespace, names: Iterable[str] | None = None) -> None:
    """Record what sets of `names` (None: all) have no whole recording yet. Raises SystemExit where
    what is there was recorded with other weights."""
    weights = {tier: dict(find_pack(tier, args.pack).files) for tier in TIERS}
    keep_note(args.work / "weights.json", json.loads(json.dumps(weights)))
    missing = [n for n in names or SETS if not recording(args.work, n).is_file()]
    if not missing:
        return
    prepare(args.data, args.work, args.train, args.judged)
    for name in missing:
        record(args.work, name, args.pack)


def main() -> None:
    parser = command_parser("experiments.router.records", __doc__)
    add_record_arguments(parser)
    make_recordings(parser.parse_args())


if __name__ == "__main__":
    main()
