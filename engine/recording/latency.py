"""Latency statistics: the duration of each stage of an answer, and the spread of many durations."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads this module at every start, and needs no numpy
    from engine.core.glance import Mark

# In order. `latencies` defines where each stage begins and ends.
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
    """The duration of each stage in milliseconds, None if it did not run.

    `end_to_end` is the sum of the stages up to the first sound: wake, capture, classify, route or
    read, then the template or the describer's first token, whichever was heard first, then
    `speech_first_audio`, which starts when the first words were ready. `describer_total` runs in
    parallel and is not part of the sum.
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
    """n, mean, p50, p95 and max. Percentiles are interpolated linearly."""
    ordered = sorted(values_ms)

    def at(share: float) -> float:
        position = share * (len(ordered) - 1)
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (position - low)

    return {
        "n": len(ordered),
        "mean": round(statistics.fmean(ordered), 3),
        "p50": round(at(0.5), 3),
        "p95": round(at(0.95), 3),
        "max": round(ordered[-1], 3),
    }
