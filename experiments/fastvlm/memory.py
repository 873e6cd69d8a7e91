"""How much memory one recipe of the latency table holds on a CPU, in a separate process.

`python -m experiments.fastvlm.memory --checkpoint DIR --recipe NAME` opens the recipe and generates
one answer. The last line has `resident_peak`, MiB at most including loading, and `resident`, MiB
at the end.
"""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from engine.core.errors import InputError
from experiments.common import command_parser, last_line
from experiments.fastvlm.bench import Bench, release
from experiments.fastvlm.recipes import BACKENDS, recipes
from models.devices import limit_threads, memory_bytes


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.fastvlm.memory", __doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--image-size", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(arguments)
    return last_line("experiments.fastvlm.memory", lambda: measure(args))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Open the recipe and answer once; MiB. Raises EngineError."""
    limit_threads(args.threads)
    bench = Bench(args.checkpoint, "cpu", args.threads, args.tokens)
    named = {recipe.name: recipe for recipe in recipes("cpu", BACKENDS, compile_static=False)}
    if args.recipe not in named:
        raise InputError(f"--recipe: expected one of {', '.join(named)}, got {args.recipe}")
    question = bench.question(args.image_size)
    opened = named[args.recipe].open(bench)
    opened.prepare(question)
    opened.answer(question, args.tokens)
    release("cpu")
    return {"resident_peak": peak_mb(), "resident": memory_bytes("cpu")["resident"] >> 20}


def peak_mb() -> int:
    """The peak resident memory in MiB; 0 if the system does not tell. Not getrusage's, which
    starts from the parent process's memory.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) >> 10  # from KiB
    return 0


if __name__ == "__main__":
    sys.exit(main())
