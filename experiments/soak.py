"""Whether a walk of hours costs more at its end than at its beginning: memory, latency, threads,
open files.

`python -m experiments.soak --minutes 60` walks past the sample's people again and again,
with an answer every ten seconds (mode=auto, both tiers) and all that is heard in a WAV file, in real
time. With `--virtual`, the same walk runs in virtual time at three frames a second, as fast as the
machine can: ten times real time on two idle cores. The loops, models, log and mixer are a session's.

The walk is divided into windows. The last line is JSON: of memory (resident set), of the time that
the detector takes, and of the processor time of a frame (which another program on the machine
changes little), the change from the windows of the second fifth of the walk to those of the last
fifth, in per cent; of threads and open files, the least and the most after the first fifth.
The first fifth is not counted: models, caches and the text reader settle in it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from engine.app.builders.loops import build_batch, build_live
from engine.app.session import session
from engine.app.settings_check import check
from engine.config import Config, ModelsConfig, SourceConfig, SpeechConfig, TriggerConfig
from engine.core.camera import Frame
from engine.core.glance import Detection, Truth
from engine.core.ports import Clock, Detector
from experiments.common import (
    add_pack,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from experiments.latency.throughput import quiet_screen, sample_frames

LIVE_FPS, VIRTUAL_FPS = 15.0, 3.0
LAP_S = 6.0  # the sample's approach
ASK_S = 10.0
WINDOWS = 50  # of the walk; a fifth of them is compared with another
AIMS = {"memory_percent": 2.0, "detect_percent": 5.0}


@dataclass(frozen=True, slots=True)
class Window:
    """What one window of the walk took."""

    memory_mb: float
    detect_ms: float  # median
    cpu_ms: float  # of the whole process, for each frame
    threads: int
    files: int


@dataclass
class Probe:
    """Times the detector, and takes a window's figures when it is over."""

    frames: int  # in a window
    windows: list[Window] = field(default_factory=list)
    _took_ms: list[float] = field(default_factory=list)
    _process: psutil.Process = field(default_factory=psutil.Process)
    _cpu_s: float = 0.0

    def add(self, took_ms: float) -> None:
        self._took_ms.append(took_ms)
        if len(self._took_ms) == self.frames:
            cpu = self._process.cpu_times()
            before_s, self._cpu_s = self._cpu_s, cpu.user + cpu.system
            self.windows.append(
                Window(
                    self._process.memory_info().rss / 2**20,
                    median(self._took_ms),
                    1000 * (self._cpu_s - before_s) / self.frames,
                    self._process.num_threads(),
                    self._process.num_fds(),
                )
            )
            self._took_ms.clear()


class ProbedDetector:
    """The session's detector, timed."""

    def __init__(self, inner: Detector, probe: Probe) -> None:
        self.card, self.labels = inner.card, inner.labels
        self._inner = inner
        self._probe = probe

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        begin_s = time.perf_counter()
        found = self._inner.detect(frame)
        self._probe.add(1000 * (time.perf_counter() - begin_s))
        return found

    def expect(self, frame: Frame) -> None:
        """Not passed on: `detect` would only wait for a part of the work."""

    def reset(self) -> None:
        self._inner.reset()


class Laps:
    """The sample's frames again and again: `count` frames, `fps` a second, in the time of `clock`,
    or without waiting if it is None."""

    name = "laps"
    live = False

    def __init__(self, fps: float, count: int, clock: Clock | None) -> None:
        self.fps = fps
        self._frames = sample_frames(round(LAP_S * fps))
        self._count = count
        self._clock = clock
        self._start_s: float | None = None
        self._seq = 0

    def read(self) -> Frame | None:
        if self._seq >= self._count:
            return None
        seq, self._seq = self._seq, self._seq + 1
        time_s = seq / self.fps
        if self._clock is not None:
            if self._start_s is None:
                self._start_s = self._clock.now()
            time_s += self._start_s
            self._clock.sleep(max(0.0, time_s - self._clock.now()))
        frame = self._frames[seq % len(self._frames)]
        return replace(frame, time_s=time_s, seq=seq)

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return self._count

    def close(self) -> None: ...


def walk(pack: str, minutes: float, virtual: bool, folder: Path) -> tuple[Probe, dict[str, Any]]:
    """Walk for that many minutes of the session's time; return the windows and the summary.
    Raises SetupError."""
    fps = VIRTUAL_FPS if virtual else LIVE_FPS
    count = round(60 * minutes * fps)
    config = check(
        Config(
            mode="auto",
            models=ModelsConfig(pack=pack),
            source=SourceConfig(name="sample", realtime=not virtual),
            trigger=TriggerConfig(name="interval", interval_s=ASK_S),
            speech=SpeechConfig(sink="wav"),
        )
    )
    with session(config, folder, quiet_screen()) as running:
        probe = Probe(max(1, count // WINDOWS))
        perception = running.perception
        running = replace(
            running,
            feed=replace(
                running.feed, source=Laps(fps, count, None if virtual else running.clocks.timeline)
            ),
            perception=replace(perception, detector=ProbedDetector(perception.detector, probe)),
            keys=replace(running.keys, keyboard=False),
        )
        (build_batch if virtual else build_live)(running).run()
        return probe, running.observers.log.close()


def figures(windows: Sequence[Window]) -> dict[str, Any]:
    """The changes from the second fifth of the walk to the last, and the range of what must stay."""
    fifth = max(1, len(windows) // 5)
    early, late, settled = windows[fifth : 2 * fifth], windows[-fifth:], windows[fifth:]

    def change(values: Sequence[float], later: Sequence[float]) -> float:
        return round(100 * (median(later) / median(values) - 1), 2)

    return {
        "memory_mb": round(median(w.memory_mb for w in early), 1),
        "memory_percent": change([w.memory_mb for w in early], [w.memory_mb for w in late]),
        "detect_ms": round(median(w.detect_ms for w in early), 2),
        "detect_percent": change([w.detect_ms for w in early], [w.detect_ms for w in late]),
        "cpu_percent": change([w.cpu_ms for w in early], [w.cpu_ms for w in late]),
        "threads": [min(w.threads for w in settled), max(w.threads for w in settled)],
        "files": [min(w.files for w in settled), max(w.files for w in settled)],
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Walk and print the windows."""
    print(hardware_line())
    with tempfile.TemporaryDirectory() as folder:
        begin_s = time.monotonic()
        probe, summary = walk(args.pack, args.minutes, args.virtual, Path(folder) / "session")
        took_s = time.monotonic() - begin_s
        written_mb = sum(file.stat().st_size for file in Path(folder).rglob("*.*")) / 1e6
    table = table_of(
        "windows", "from", "memory MB", "detect ms", "CPU ms a frame", "threads", "files"
    )
    step = max(1, len(probe.windows) // 10)
    for number, window in enumerate(probe.windows[::step]):
        table.add_row(
            f"{number * step * args.minutes / WINDOWS:.1f} min",
            f"{window.memory_mb:.1f}",
            f"{window.detect_ms:.2f}",
            f"{window.cpu_ms:.1f}",
            str(window.threads),
            str(window.files),
        )
    from rich.console import Console

    Console().print(table)
    found = figures(probe.windows)
    return {
        **hardware(),
        "minutes": args.minutes,
        "times_real_time": round(60 * args.minutes / took_s, 1),
        **found,
        "answers": summary["descriptions"],
        "errors": summary["errors"],
        "written_mb": round(written_mb, 1),
        "aims_met": all(found[name] <= most for name, most in AIMS.items()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_parser("experiments.soak", __doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the session's time")
    parser.add_argument("--virtual", action="store_true", help="as fast as the machine can")
    add_pack(parser)
    args = parser.parse_args(argv)
    return last_line("soak", lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())
