"""Records both tiers' outputs on every set of `experiments.router.data`, to train and evaluate
routers.

`python -m experiments.router.records` makes the sets and runs the engine on each (`source=dataset
record=FILE`). Complete recordings are kept, so the command can be stopped and run again; other
weights require another --work.
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
from models.hub import TIERS
from models.packs import find_pack


def recording(work: Path, name: str) -> Path:
    """The file of a set's recording."""
    return work / f"{name}.jsonl"


def record(work: Path, name: str, pack: str) -> None:
    """Record one set in a separate process. Raises SystemExit with the engine's exit status."""
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
    """Add the options of every experiment that may have to record."""
    add_arguments(parser)
    add_pack(parser)


def make_recordings(args: argparse.Namespace, names: Iterable[str] | None = None) -> None:
    """Record the sets of `names` (None: all) that have no complete recording. Raises SystemExit
    where existing recordings were made with other weights.
    """
    weights = {tier: dict(find_pack(tier, args.pack).files) for tier in TIERS}
    keep_note(args.work / "weights.json", json.loads(json.dumps(weights)))
    missing = [n for n in names or SETS if not recording(args.work, n).is_file()]
    if not missing:
        return
    prepare(args.data, args.work, args.train, args.judged)
    for name in missing:
        record(args.work, name, args.pack)


def main(arguments: list[str] | None = None) -> None:
    parser = command_parser("experiments.router.records", __doc__)
    add_record_arguments(parser)
    make_recordings(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
