"""Times a checkout's engine on a video, frame by frame in order, and its detector's network alone.

Run by `experiments.latency.start` as a file, with the checkout in PYTHONPATH, so that it must run
with older versions too: `python batch_probe.py VIDEO REPEATS`. Prints one line of JSON:
`engine_ms` and `network_ms` a frame (medians of runs in turn), the same of processor time, which
other programs disturb less (`engine_cpu_ms`, `network_cpu_ms`), and `image_size`.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

INFERENCES = 60


@contextmanager
def timed(taken: list[list[float]], frames: Callable[[], int]) -> Iterator[None]:
    """Append (milliseconds, milliseconds of processor time) a frame of the block to `taken`."""
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    yield
    spans_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
    taken.append([1000 * span_s / frames() for span_s in spans_s])


def network_of(detector: Any, height: int, width: int) -> tuple[Callable[[], object], int]:
    """(one inference of the detector's OpenVINO network, image size), for a picture of this
    shape."""
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
    return lambda: request.infer({0: pixels}), size


def main(arguments: list[str] | None = None) -> int:
    from experiments.common import command_parser

    parser = command_parser("experiments.latency.batch_probe", __doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("repeats", type=int)
    args = parser.parse_args(arguments)
    import av

    from engine.app.builders.loops import build_batch
    from engine.app.session import session
    from engine.config import SourceConfig
    from experiments.latency.throughput import configuration, quiet_screen

    with av.open(str(args.video)) as container:
        shape = container.streams.video[0]
        height, width = shape.height, shape.width
    source = SourceConfig(name="video", path=str(args.video), realtime=False)
    config = configuration("pocket", "cpu", source)
    config.trigger.name, config.trigger.at_s = "once", 3600.0
    whole: list[list[float]] = []
    alone: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.repeats + 1):  # the first one warms up
            with session(config, Path(folder) / str(turn), quiet_screen()) as running:
                log, loop = running.observers.log, build_batch(running)
                with timed(whole, lambda log=log: log.close()["frames"]["processed"]):  # type: ignore[misc]
                    loop.run()
                infer, size = network_of(running.perception.detector, height, width)
                with timed(alone, lambda: INFERENCES):
                    for _ in range(INFERENCES):
                        infer()
    engine, engine_cpu = map(median, zip(*whole[1:], strict=True))
    network, network_cpu = map(median, zip(*alone[1:], strict=True))
    found = {"engine_ms": engine, "network_ms": network, "image_size": size}
    print(json.dumps(found | {"engine_cpu_ms": engine_cpu, "network_cpu_ms": network_cpu}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
