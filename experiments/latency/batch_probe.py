"""Times a checkout's engine on a video, frame by frame in order, and its detector's network alone.

Run by `experiments.latency.start` as a file, with the checkout in PYTHONPATH, so that it must run
with older versions too: `python batch_probe.py VIDEO REPEATS`. Prints one line of JSON:
`engine_ms` and `network_ms` a frame (medians), and `image_size`.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any


def network_ms(detector: Any, height: int, width: int, repeats: int) -> tuple[float, int]:
    """(milliseconds of one inference of the detector's OpenVINO network, image size), for a picture
    of this shape."""
    import numpy as np

    if hasattr(detector, "network"):
        size, request = detector.card.image_size, detector.network._request
    else:  # up to version 0.2, within Ultralytics
        backend = detector.model.predictor.model.backend
        size, request = detector._image_size, backend.ov_compiled_model.create_infer_request()
    scale = size / max(height, width)
    sides = [-(-round(side * scale) // 32) * 32 for side in (height, width)]
    pixels = np.full((1, 3, *sides), 0.5, np.float32)
    request.infer({0: pixels})
    spans = []
    for _ in range(30 * repeats):
        begin = time.perf_counter()
        request.infer({0: pixels})
        spans.append(1000 * (time.perf_counter() - begin))
    return median(spans), size


def main(arguments: list[str] | None = None) -> int:
    from experiments.common import command_parser

    parser = command_parser("experiments.latency.batch_probe", __doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("repeats", type=int)
    args = parser.parse_args(arguments)
    video, repeats = args.video, args.repeats
    from engine.app.builders.loops import build_batch
    from engine.app.session import session
    from engine.config import SourceConfig
    from experiments.latency.throughput import configuration, quiet_screen

    source = SourceConfig(name="video", path=str(video), realtime=False)
    config = configuration("pocket", "cpu", source)
    config.trigger.name, config.trigger.at_s = "once", 3600.0
    spans = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats + 1):  # the first one warms up
            with session(config, Path(folder) / str(turn), quiet_screen()) as running:
                loop = build_batch(running)
                begin = time.perf_counter()
                loop.run()
                taken_ms = 1000 * (time.perf_counter() - begin)
                frames = running.observers.log.close()["frames"]["processed"]
                detector = running.perception.detector
            spans.append(taken_ms / frames)
    import av

    with av.open(str(video)) as container:
        shape = container.streams.video[0]
        alone_ms, size = network_ms(detector, shape.height, shape.width, repeats)
    print(json.dumps({"engine_ms": median(spans[1:]), "network_ms": alone_ms, "image_size": size}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
