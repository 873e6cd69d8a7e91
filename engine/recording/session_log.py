"""The session on disk: every record to `session.jsonl` as it happens, and the sums to `summary.json`.

It knows what is recorded and nothing of how it came about. Two times are kept apart: `t` is the
session's timeline (virtual in a batch), while latencies are always measured on the host's clock.
"""

import contextlib
import json
import resource
import statistics
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from engine.core.answer import Description
from engine.core.errors import InputError
from engine.core.glance import Mark, Obstacle
from engine.core.ports import Clock
from engine.core.report import Answered, Health, Hearing, ModelCard, StreamCount
from engine.core.utterance import Heard, Utterance

# In the order in which they happen. Each lasts from the mark before it (see `latencies`).
STAGES = (
    "wake",
    "capture",
    "classify",
    "route",
    "read",
    "template",
    "describer_first_token",
    "describer_total",
    "speech_first_audio",
    "end_to_end",
)


def latencies(marks: tuple[Mark, ...], first_audio_s: float | None) -> dict[str, float | None]:
    """Milliseconds of each stage, None where it did not run.

    `end_to_end` is the sum of the stages on the way to the first sound: wake, capture, classify,
    route or read, then the template or the describer's first token (whichever was heard first), then
    `speech_first_audio`, which counts from the moment the first words existed. `describer_total`
    runs beside them and is no part of the sum.
    """
    at = {mark.stage: mark.time_s for mark in marks}
    stages: dict[str, float | None] = dict.fromkeys(STAGES)

    def span(stage: str, start: str, end: str) -> None:
        if start in at and end in at:
            stages[stage] = round((at[end] - at[start]) * 1000, 3)

    span("wake", "spoken", "asked")
    span("capture", "asked", "capture")
    span("classify", "capture", "classify")
    span("route", "classify", "route")
    span("read", "capture", "read")
    words_from = next((stage for stage in ("read", "route") if stage in at), "capture")
    span("template", words_from, "template")
    span("describer_first_token", "route", "describer_first_token")
    span("describer_total", "route", "describer_total")
    words_s = at.get("template", at.get("describer_first_token"))
    if first_audio_s is not None and words_s is not None:
        stages["speech_first_audio"] = round((first_audio_s - words_s) * 1000, 3)
        start_s = at.get("spoken", at["asked"])
        stages["end_to_end"] = round((first_audio_s - start_s) * 1000, 3)
    return stages


def spread(values_ms: list[float]) -> dict[str, float]:
    """n, mean, p50, p95 and max. Percentiles are linear between the sorted values."""
    ordered = sorted(values_ms)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    return {
        "n": len(ordered),
        "mean": round(statistics.fmean(ordered), 3),
        "p50": round(at(0.5), 3),
        "p95": round(at(0.95), 3),
        "max": round(ordered[-1], 3),
    }


# what an earlier session in the same folder would leave, to pass for this one's
EARLIER = ("summary.json", "audio.wav", "failure.json", "traceback.txt")


class SessionLog:
    """Writes a session. Safe to call from any thread.

    A full disk must not end the walk: the first failed write is reported through `on_full`, the
    counting goes on in memory, and the summary is still returned by `close`.
    """

    def __init__(self, folder: Path, timeline: Clock, wall: Clock) -> None:
        self.folder = folder
        self.path = folder / "session.jsonl"
        self._timeline = timeline
        self._wall = wall
        self._start_s = timeline.now()
        self._lock = threading.RLock()
        self._latency: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._waiting: dict[int, Description] = {}
        self._heard_first: dict[int, float] = {}  # request id → host time of its first sample
        self._silent: set[int] = set()  # requests whose speech was dropped before it began
        self._tiers: list[str] = []
        self._hearing: Hearing | None = None
        self._counts = {"spoken": 0, "dropped": 0}
        self._closed: dict[str, Any] | None = None
        self._seen = self._processed = self._errors = 0
        self._first_frame_s = self._last_frame_s = 0.0
        self.on_answered: Callable[[Answered], None] = lambda _: None
        self.on_full: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in EARLIER:
                (folder / name).unlink(missing_ok=True)
            self._file: TextIO | None = self.path.open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"hydra.run.dir: expected a folder that can be written, got {folder} "
                f"({error.strerror}); choose another with hydra.run.dir=DIR"
            ) from error

    def start(self) -> None:
        """Times count from now: the sound begins."""
        self._start_s = self._timeline.now()

    def elapsed_s(self) -> float:
        """Seconds since the session began, on its timeline."""
        return self.since(self._timeline.now())

    def since(self, time_s: float) -> float:
        """Seconds from the session's start to `time_s`, a moment of its timeline."""
        return time_s - self._start_s

    # records

    def session(
        self, version: str, mode: str, language: str, source: str, models: dict[str, ModelCard]
    ) -> None:
        """The first record: what runs, with which models."""
        cards = {tier: asdict(card) for tier, card in models.items()}
        self._write(
            "session",
            {"version": version, "mode": mode, "language": language, "source": source}
            | {"models": cards},
        )

    def frame(self, seq: int, obstacles: tuple[Obstacle, ...], stages_ms: dict[str, float]) -> None:
        """A frame was looked at; one `obstacle` record for each thing in it."""
        with self._lock:
            now_s = self._timeline.now()
            if self._processed == 0:
                self._first_frame_s = now_s
            self._last_frame_s = now_s
            self._processed += 1
            for stage, value_ms in stages_ms.items():
                self._latency["obstacle"][stage].append(value_ms)
            for item in obstacles:
                self._write("obstacle", _obstacle(seq, item))

    def seen(self, count: int) -> None:
        """The source has produced `count` frames in all."""
        with self._lock:
            self._seen = count

    def description(self, description: Description) -> None:
        """An answer is worded. Its record is written when its first sound is heard, or dropped."""
        with self._lock:
            self._tiers.append(description.tier)
            key = description.request.id
            if key in self._heard_first:
                self._write_description(description, self._heard_first[key])
            elif key in self._silent:
                self._write_description(description, None)
            else:
                self._waiting[key] = description

    def started(self, utterance: Utterance, _time_s: float) -> None:
        """The first sample of `utterance` was handed to the sink, now."""
        if utterance.answer is None:
            return
        with self._lock:
            first_s = self._heard_first.setdefault(utterance.answer, self._wall.now())
            description = self._waiting.pop(utterance.answer, None)
            if description is not None:
                self._write_description(description, first_s)

    def heard(self, heard: Heard) -> None:
        """What became of an utterance."""
        said = heard.utterance
        with self._lock:
            self._counts["dropped" if heard.dropped and heard.started_s is None else "spoken"] += 1
            if said.answer is not None and heard.started_s is None:
                description = self._waiting.pop(said.answer, None)
                if description is not None:
                    self._write_description(description, None)
                elif said.answer not in self._heard_first:
                    self._silent.add(said.answer)
            self._write(
                "utterance",
                {
                    "id": said.id,
                    "kind": said.kind,
                    "text": said.text,
                    "priority": said.priority,
                    "azimuth_deg": round(said.azimuth_deg, 1),
                    "queued_t": self._since(said.queued_s),
                    "started_t": self._since(heard.started_s),
                    "ended_t": self._since(heard.ended_s),
                    "dropped": heard.dropped,
                    "cut": heard.cut,
                    "resumes": said.resumes,
                },
            )

    def hearing(self, hearing: Hearing) -> None:
        """What the ear has met."""
        with self._lock:
            self._hearing = hearing

    def health(self, health: Health) -> None:
        """Something went wrong; the session goes on or ends, but the log says what happened."""
        with self._lock:
            self._errors += 1
            self._write("health", asdict(health))

    def close(
        self,
        quality: dict[str, Any] | None = None,
        peak_gpu_memory_mb: float | None = None,
        streams: tuple[StreamCount, ...] = (),
    ) -> dict[str, Any]:
        """Write what still waits, the summary as the last line, and the same in `summary.json`;
        return it. `streams` are the counts of a source's sensors, where it has them.
        A second call returns the same summary."""
        with self._lock:
            if self._closed is not None:
                return self._closed
            for description in list(self._waiting.values()):
                self._write_description(description, None)
            self._waiting.clear()
            head = {"type": "summary", "t": self._since(self._timeline.now())}
            summary = self._closed = head | self._summary(peak_gpu_memory_mb)
            if quality is not None:
                summary["quality"] = quality
            if streams:
                summary["streams"] = {item.name: _stream(item) for item in streams}
            self._write("summary", summary)
            if self._file is not None:
                self._file.close()
                self._file = None
            path = self.folder / "summary.json"
            try:
                text = json.dumps(summary, indent=2, ensure_ascii=False)
                path.write_text(text + "\n", encoding="utf-8")
            except OSError as error:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)  # half a summary is worse than none
                self.on_full(f"{path}: could not be written ({error.strerror}); free some space")
            return summary

    # inside

    def _since(self, time_s: float | None) -> float | None:
        return None if time_s is None else round(self.since(time_s), 4)

    def _write(self, kind: str, fields: dict[str, Any]) -> None:
        with self._lock:
            if self._file is None:
                return
            record = {"type": kind, "t": self._since(self._timeline.now())} | fields
            try:
                self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
                self._file.flush()
            except OSError as error:
                self._file = None
                self._errors += 1
                self.on_full(
                    f"{self.path}: the log could not be written ({error.strerror}); "
                    "the session goes on without it; free some space"
                )

    def _write_description(self, description: Description, first_audio_s: float | None) -> None:
        stages = latencies(description.marks, first_audio_s)
        for stage, value_ms in stages.items():
            if value_ms is not None:
                self._latency[description.tier][stage].append(value_ms)
        decision = description.decision
        self._write(
            "description",
            {
                "id": description.request.id,
                "frame": description.frame_seq,
                "trigger": description.request.trigger,
                "wish": description.request.wish,
                "mode": description.mode,
                "tier": description.tier,
                "route": {
                    "score": round(decision.score, 4),
                    "threshold": decision.threshold,
                    "reasons": list(decision.reasons),
                },
                "scene": {
                    "label": description.scene.label,
                    "probability": round(description.scene.probability, 4),
                },
                "text": description.text,
                "beats": [asdict(beat) for beat in description.beats],
                "unsupported": list(description.unsupported),
                "latency_ms": stages,
            },
        )
        ran = tuple((stage, value_ms) for stage, value_ms in stages.items() if value_ms is not None)
        self.on_answered(Answered(description, ran))

    def _summary(self, peak_gpu_memory_mb: float | None) -> dict[str, Any]:
        length_s = self._last_frame_s - self._first_frame_s
        fps = (self._processed - 1) / length_s if length_s > 0 else 0.0
        full = sum(tier == "full" for tier in self._tiers)
        return {
            "frames": {
                "seen": self._seen,
                "processed": self._processed,
                "dropped": max(0, self._seen - self._processed),
            },
            "obstacle_fps": round(fps, 2),
            "latency_ms": {
                tier: {stage: spread(values) for stage, values in stages.items()}
                for tier, stages in self._latency.items()
            },
            "descriptions": len(self._tiers),
            "escalation_rate": round(full / len(self._tiers), 4) if self._tiers else None,
            "utterances": dict(self._counts),
            "peak_memory_mb": peak_memory_mb(),
            "peak_gpu_memory_mb": peak_gpu_memory_mb,
            "errors": self._errors,
        } | ({} if self._hearing is None else {"hearing": asdict(self._hearing)})


def peak_memory_mb() -> float:
    """The most resident memory this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


def _stream(count: StreamCount) -> dict[str, Any]:
    latency_ms = spread(list(count.latency_ms)) if count.latency_ms else None
    return {"received": count.received, "dropped": count.dropped, "latency_ms": latency_ms}


def _obstacle(seq: int, item: Obstacle) -> dict[str, Any]:
    box = item.box
    return {
        "frame": seq,
        "track": item.track,
        "label": item.label,
        "score": round(item.score, 3),
        "box": [round(v, 1) for v in (box.x1, box.y1, box.x2, box.y2)],
        "distance_m": round(item.distance_m, 2),
        "distance_sigma_m": round(item.distance_sigma_m, 2),
        "bearing_deg": round(item.bearing_deg, 2),
        "side": item.side,
        "ttc_s": None if item.ttc_s is None else round(item.ttc_s, 2),
        "ttc_sigma_s": None if item.ttc_sigma_s is None else round(item.ttc_sigma_s, 2),
        "priority": round(item.priority, 2),
    } | ({"camera": item.camera} if item.camera else {})
