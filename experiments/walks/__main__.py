"""How accurate distances and times are, and whether alerts come in time, on synthetic walks.

`python -m experiments.walks` plays the scripted walks and `--walks` random ones (`--seed`) through
the engine's Localizer, AlertPolicy and sound scheduler in virtual time. The engine does not know
the camera's height or pitch, except in the rows that state it. Depth is simulated. The figures are
the same on every machine.
"""

import argparse
import sys
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.progress import track

from engine.perception.camera import Mount
from experiments.common import add_seed, command_parser, figures_table, hardware, last_line
from experiments.walks.depth import DepthNoise
from experiments.walks.detector import NONE, Noise
from experiments.walks.figures import by_distance, figures
from experiments.walks.measure import Played, play
from experiments.walks.scenes import drawn, scripted
from experiments.walks.world import Walk

# A pitch too uncertain for ground distances.
SIZE_ONLY = Mount(pitch_sigma_deg=30.0)


def measured(walk: Walk, sigma_deg: float) -> Mount:
    """The mount that a wearer would configure after measuring the camera's height and pitch."""
    return Mount(walk.height_m, walk.pitch_deg, sigma_deg, 0.05)


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Play every row of walks and print the figures; return what the last line says."""
    walks = drawn(args.walks, args.seed)

    def run(
        name: str,
        chosen: tuple[Walk, ...],
        mount: Mount | None,
        noise: Noise,
        depth: DepthNoise | None = None,
    ) -> list[Played]:
        return [
            play(walk, mount or measured(walk, 3.0), noise, args.rate_wpm, args.seed, depth)
            for walk in track(chosen, name, console=console, transient=True)
        ]

    lens_known = tuple(replace(walk, known_camera=walk.camera) for walk in walks)
    rows = {
        "scripted": run("scripted", scripted(), Mount(), Noise()),
        "drawn": run("drawn", walks, Mount(), Noise()),
        "drawn, simulated depth": run("depth", walks, Mount(), Noise(), DepthNoise()),
        "drawn, by size alone": run("by size alone", walks, SIZE_ONLY, Noise()),
        "drawn, pitch known to 3 degrees": run("pitch known", walks, None, Noise()),
        "drawn, lens and pitch known, no noise": run("no noise", lens_known, None, NONE),
    }
    found = {name: figures(played) for name, played in rows.items()}
    console.print(figures_table("all", found))
    console.print(figures_table("drawn, by true distance", by_distance(rows["drawn"])))
    return hardware() | {"seed": args.seed, "rate_wpm": args.rate_wpm} | found


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.walks", __doc__)
    parser.add_argument("--walks", type=int, default=30, help="how many are drawn")
    add_seed(parser, 1)
    parser.add_argument("--rate-wpm", type=int, default=190)
    args = parser.parse_args(arguments)
    console = Console(highlight=False, width=140)
    return last_line("experiments.walks", lambda: report(args, console))


if __name__ == "__main__":
    sys.exit(main())
