"""What the engine's describer costs on a CPU: time to open, memory, time of an answer.

`python -m experiments.fastvlm.describer` opens the describer in this process as a session does, and
describes the sample photo. Without --checkpoint, it is the pocket pack's. The last line has MiB,
seconds and tokens a second, and says whether a training framework was imported.
"""

import argparse
import statistics
import sys
import time
from typing import Any

from experiments.common import command_parser, last_line
from experiments.fastvlm.memory import peak_mb
from models.devices import memory_bytes

FRAMEWORKS = ("torch", "transformers", "timm", "ultralytics")


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.fastvlm.describer", __doc__)
    parser.add_argument("--checkpoint", help="a FastVLM checkpoint whose forms are exported")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args(arguments)
    return last_line("experiments.fastvlm.describer", lambda: measure(args))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Open, describe, measure. Raises EngineError."""
    import numpy as np
    from PIL import Image

    from engine.core.camera import Frame
    from engine.devices.video.sample import sample_photo
    from models.describer import FastVlmDescriber
    from models.fastvlm.custom_checkpoint import find_checkpoint
    from models.fastvlm.selection import DescriberOptions

    frame = Frame(np.array(Image.open(sample_photo()).convert("RGB")), 0.0, 0)
    before_mb = memory_bytes("cpu")["resident"] >> 20
    began_s = time.perf_counter()
    describer = FastVlmDescriber(
        find_checkpoint("pocket", args.checkpoint),
        "cpu",
        image_size=args.image_size,
        options=DescriberOptions(precision=args.precision),
    )
    opened_s = time.perf_counter() - began_s
    firsts_s, token_s = [], []
    for _ in range(args.runs):
        began_s = time.perf_counter()
        known_s = [time.perf_counter() - began_s for _ in describer.tokens(frame)]
        firsts_s.append(known_s[0])
        token_s.append((known_s[-1] - known_s[0]) / max(1, len(known_s) - 1))
    return {
        "describer": describer.card.name,
        "backend": describer.card.backend,
        "precision": describer.card.precision,
        "open_s": round(opened_s, 2),
        "first_token_s": round(statistics.median(firsts_s), 3),
        "tokens_per_s": round(1 / statistics.median(token_s), 1),
        "resident_before": before_mb,
        "resident": memory_bytes("cpu")["resident"] >> 20,
        "resident_peak": peak_mb(),
        "frameworks": [name for name in FRAMEWORKS if name in sys.modules],
    }


if __name__ == "__main__":
    sys.exit(main())
