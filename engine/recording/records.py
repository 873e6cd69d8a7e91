"""The JSON records of `session.jsonl`, each made from one of the engine's data types."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from engine.core.answer import Description
from engine.core.glance import Obstacle
from engine.core.report import StreamCount
from engine.core.utterance import Heard
from engine.recording.latency import spread


def description_record(
    description: Description, latency_ms: dict[str, float | None]
) -> dict[str, Any]:
    decision = description.decision
    return {
        "id": description.request.id,
        "frame": description.frame_seq,
        "picture": description.picture or None,
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
        "dropped": [asdict(clause) for clause in description.dropped],
        "latency_ms": latency_ms,
    }


def utterance_record(heard: Heard, since: Callable[[float | None], float | None]) -> dict[str, Any]:
    """`since` converts a time to seconds since the start of the session."""
    said = heard.utterance
    return {
        "id": said.id,
        "kind": said.kind,
        "text": said.text,
        "priority": said.priority,
        "azimuth_deg": round(said.azimuth_deg, 1),
        "queued_t": since(said.queued_s),
        "started_t": since(heard.started_s),
        "ended_t": since(heard.ended_s),
        "dropped": heard.dropped,
        "cut": heard.cut,
        "resumes": said.resumes,
    }


def stream_record(count: StreamCount) -> dict[str, Any]:
    latency_ms = spread(list(count.latency_ms)) if count.latency_ms else None
    return {"received": count.received, "dropped": count.dropped, "latency_ms": latency_ms}


def obstacle_record(seq: int, item: Obstacle) -> dict[str, Any]:
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
