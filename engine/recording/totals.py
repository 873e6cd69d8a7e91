"""The totals of a session, for its summary, in constant memory. Knows no file and no thread."""

import contextlib
import resource
import sys
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.core.report import Hearing
from engine.recording.latency_sketch import LatencySketch


class Totals:
    """Counts what happens in a session. To be used under its owner's lock."""

    def __init__(self) -> None:
        self.seen = 0  # frames that the source has produced
        self.errors = 0
        self.hearing: Hearing | None = None
        self.utterances = {"spoken": 0, "dropped": 0}
        self.tiers: Counter[str] = Counter()  # of the answers
        self._latency: dict[str, dict[str, LatencySketch]] = defaultdict(
            lambda: defaultdict(LatencySketch)
        )
        self._processed = 0
        self._first_frame_s = self._last_frame_s = 0.0

    def frame(self, now_s: float) -> None:
        """A frame was processed at `now_s`."""
        if self._processed == 0:
            self._first_frame_s = now_s
        self._last_frame_s = now_s
        self._processed += 1

    def latency(self, tier: str, stage: str, value_ms: float) -> None:
        """A stage of this tier, or of "obstacle", took so long."""
        self._latency[tier][stage].add(value_ms)

    def summary(self, peak_gpu_memory_mb: float | None) -> dict[str, Any]:
        """The fields of the summary."""
        length_s = self._last_frame_s - self._first_frame_s
        fps = (self._processed - 1) / length_s if length_s > 0 else 0.0
        answers = self.tiers.total()
        return {
            "frames": {
                "seen": self.seen,
                "processed": self._processed,
                "dropped": max(0, self.seen - self._processed),
            },
            "obstacle_fps": round(fps, 2),
            "latency_ms": {
                tier: {stage: values.spread() for stage, values in stages.items()}
                for tier, stages in self._latency.items()
            },
            "descriptions": answers,
            "escalation_rate": round(self.tiers["full"] / answers, 4) if answers else None,
            "utterances": dict(self.utterances),
            "peak_memory_mb": peak_memory_mb(),
            "peak_gpu_memory_mb": peak_gpu_memory_mb,
            "errors": self.errors,
        } | ({} if self.hearing is None else {"hearing": asdict(self.hearing)})


def peak_memory_mb() -> float:
    """The peak resident memory of this process, in MiB."""
    with contextlib.suppress(OSError):  # on Linux `getrusage` may give the parent's peak instead
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss is in KiB on Linux, in bytes on macOS.
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
