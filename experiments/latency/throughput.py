"""The engine's throughput against that of its network alone, on the same video in one process.

Also the session configuration and the sample's frames that the latency experiments share.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import av
from rich.console import Console

from engine.app.builders.loops import build_batch
from engine.app.console import Screen
from engine.app.session import session
from engine.app.settings_check import check
from engine.config import Config, ModelsConfig, SourceConfig, SpeechConfig, TriggerConfig
from engine.core.camera import Frame
from engine.core.report import ModelCard
from engine.devices.video.sample import SampleSource
from engine.devices.video.video import VideoSource


@dataclass(frozen=True, slots=True)
class Throughput:
    """Milliseconds per frame over the whole video, one value for each repeat."""

    engine_ms: tuple[float, ...]
    predict_ms: tuple[float, ...]
    frames: int
    detector: ModelCard

    @property
    def cost_ms(self) -> float:
        pairs = zip(self.engine_ms, self.predict_ms, strict=True)
        return median(engine - predict for engine, predict in pairs)


def configuration(pack: str, device: str, source: SourceConfig) -> Config:
    """The configuration of a session without descriptions and without sound."""
    return check(
        Config(
            mode="quick",
            models=ModelsConfig(pack=pack, device=device),
            source=source,
            trigger=TriggerConfig(name="once", at_s=3600.0),
            speech=SpeechConfig(sink="silent"),
        )
    )


def quiet_screen() -> Screen:
    """The engine's screen, which renders as in a session but shows nothing."""
    return Screen(Console(quiet=True))


def sample_frames(count: int) -> list[Frame]:
    """The sample's approach in `count` frames."""
    source = SampleSource(fps=count / 6.0)
    return [frame for frame in iter(source.read, None) if frame is not None]


def write_video(path: Path, frames: Sequence[Frame], fps: float) -> Path:
    """The frames as an MP4."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=round(fps))
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="rgb24")))
        container.mux(stream.encode())
    return path


def predict_ms(detector: Any, video: Path) -> float:
    """Milliseconds per frame of the detector's network alone, over frames that are already decoded:
    what the engine would take if it did nothing else."""
    images = [frame.image for frame in iter(VideoSource(video).read, None)]
    begin = time.perf_counter()
    for image in images:
        detector.network.find(image)
    return 1000 * (time.perf_counter() - begin) / len(images)


def throughput(pack: str, device: str, video: Path, repeats: int, folder: Path) -> Throughput:
    """Run the batch loop and the network over the video in turns; the first turn warms up.

    Sessions are written to `folder`. Raises SetupError.
    """
    engine_ms, alone_ms = [], []
    config = configuration(
        pack, device, SourceConfig(name="video", path=str(video), realtime=False)
    )
    for turn in range(repeats + 1):
        with session(config, folder / f"batch{turn}", quiet_screen()) as running:
            loop = build_batch(running)
            begin = time.perf_counter()
            loop.run()
            taken_ms = 1000 * (time.perf_counter() - begin)
            frames = int(running.observers.log.close()["frames"]["processed"])
            if turn:
                engine_ms.append(taken_ms / frames)
            detector = running.perception.detector
            alone = predict_ms(detector, video)
            if turn:
                alone_ms.append(alone)
            card = detector.card
    return Throughput(tuple(engine_ms), tuple(alone_ms), frames, card)
