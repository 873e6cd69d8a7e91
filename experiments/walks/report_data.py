"""Reads a session's log into the data that the walk report shows. Draws nothing.

The log must be complete: a page made from a truncated log would look like an uneventful walk.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.errors import InputError, message_of
from engine.core.file_parts import parts_of


@dataclass(frozen=True, slots=True)
class LoggedUtterance:
    """An utterance record; times are seconds since the session's start.

    `started_s` is None if it was not heard; `dropped` then says why.
    """

    kind: str
    text: str
    azimuth_deg: float
    queued_s: float
    started_s: float | None
    ended_s: float | None
    dropped: str | None

    @property
    def waited_ms(self) -> float | None:
        """From the queue to its first sound; None if it was not heard."""
        return None if self.started_s is None else 1000 * (self.started_s - self.queued_s)

    @property
    def at_s(self) -> float:
        """When it was heard, else when it was queued."""
        return self.queued_s if self.started_s is None else self.started_s


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """An obstacle record: one track in one frame."""

    time_s: float
    label: str
    distance_m: float
    sigma_m: float
    side: str
    ttc_s: float | None


@dataclass(frozen=True, slots=True)
class TrackHistory:
    """All points of one track, in order of time."""

    number: int
    points: tuple[TrackPoint, ...]

    @property
    def name(self) -> str:
        """The most frequent label and the track's number."""
        ((label, _),) = Counter(s.label for s in self.points).most_common(1)
        return f"{label} {self.number}"

    @property
    def nearest(self) -> TrackPoint:
        return min(self.points, key=lambda s: s.distance_m)

    @property
    def least_ttc_s(self) -> float | None:
        return min((s.ttc_s for s in self.points if s.ttc_s is not None), default=None)


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """A health record."""

    time_s: float
    what: str
    detail: str
    action: str


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """A description record, as far as the page shows it."""

    time_s: float
    tier: str
    score: float
    threshold: float
    reasons: tuple[str, ...]
    text: str
    end_to_end_ms: float | None


@dataclass(frozen=True, slots=True)
class StageLatency:
    """The latency of one stage of a tier, over `n` measurements."""

    tier: str
    name: str
    n: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class SummaryFields:
    """The summary record, as far as the page shows it."""

    frames_seen: int
    frames_processed: int
    frames_dropped: int
    fps: float
    stages: tuple[StageLatency, ...]
    facts: tuple[tuple[str, str], ...]  # name, value


@dataclass(frozen=True, slots=True)
class SessionFields:
    """The session record. A model is (tier, name, pack, device, backend, precision)."""

    models: tuple[tuple[str, ...], ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LoggedSession:
    """A whole session."""

    folder: Path
    session: SessionFields
    summary: SummaryFields
    tracks: tuple[TrackHistory, ...]
    utterances: tuple[LoggedUtterance, ...]
    answers: tuple[LoggedAnswer, ...]
    health: tuple[HealthRecord, ...]
    length_s: float

    @property
    def alerts(self) -> tuple[LoggedUtterance, ...]:
        return tuple(item for item in self.utterances if item.kind == "alert")


@dataclass(slots=True)
class _Collector:
    """Gathers the records of a log, line by line."""

    session: SessionFields | None = None
    summary: SummaryFields | None = None
    points: dict[int, list[TrackPoint]] = field(default_factory=dict)
    utterances: list[LoggedUtterance] = field(default_factory=list)
    answers: list[LoggedAnswer] = field(default_factory=list)
    health: list[HealthRecord] = field(default_factory=list)
    length_s: float = 0.0

    def add(self, record: dict[str, Any]) -> None:
        """Add one record; a type that this version does not know is ignored.

        Raises KeyError, TypeError or ValueError if a field is missing or of another type.
        """
        kind, time_s = record["type"], float(record["t"])
        self.length_s = max(self.length_s, time_s)
        if kind == "session":
            self.session = _session(record)
        elif kind == "summary":
            self.summary = _summary(record)
        elif kind == "obstacle":
            self.points.setdefault(int(record["track"]), []).append(
                TrackPoint(
                    time_s,
                    str(record["label"]),
                    float(record["distance_m"]),
                    float(record["distance_sigma_m"]),
                    str(record["side"]),
                    _optional(record["ttc_s"]),
                )
            )
        elif kind == "utterance":
            self.utterances.append(_utterance(record))
        elif kind == "description":
            self.answers.append(_answer(time_s, record))
        elif kind == "health":
            self.health.append(
                HealthRecord(time_s, *(str(record[key]) for key in ("what", "detail", "action")))
            )


def read_session(folder: Path) -> LoggedSession:
    """The session in `folder`. Raises InputError if its log is missing, cut short or malformed."""
    path = folder / "session.jsonl"
    lines = _lines(folder, path)
    found = _Collector()
    for number, line in enumerate(lines, 1):
        try:
            found.add(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else message_of(error, 120)
            raise InputError(
                f"{path}: line {number} of {len(lines)}: expected a whole record, got {what}; "
                "the log was cut short or changed"
            ) from error
    if found.session is None:
        raise InputError(f"{path}: expected a session record, found none; is it a session's log?")
    if found.summary is None:
        raise InputError(
            f"{path}: expected a summary as the last line, found none after {len(lines)} lines; "
            "the session was cut short or is still running"
        )
    return LoggedSession(
        folder,
        found.session,
        found.summary,
        tuple(TrackHistory(number, tuple(seen)) for number, seen in sorted(found.points.items())),
        tuple(sorted(found.utterances, key=lambda item: item.at_s)),
        tuple(found.answers),
        tuple(found.health),
        found.length_s,
    )


def _lines(folder: Path, path: Path) -> list[str]:
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise InputError(f"{folder}: expected a session's folder, got {got}; check the path")
    try:
        further = list(parts_of(path))[1:]
        texts = [part.read_text(encoding="utf-8") for part in (path, *further)]
        lines = [line for text in texts for line in text.splitlines()]
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: expected a session's folder, found no session.jsonl in it; "
            "give the folder that `written to` names at the end of a session"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a session's log, got '{error}'") from error
    if not lines:
        raise InputError(f"{path}: expected a session's log, got an empty file; walk again")
    return lines


def _session(record: dict[str, Any]) -> SessionFields:
    keys = ("name", "pack", "device", "backend", "precision")
    return SessionFields(
        tuple(
            (str(tier), *(str(card[key]) for key in keys))
            for tier, card in record["models"].items()
        ),
        tuple((key, str(record[key])) for key in ("version", "mode", "language", "source")),
    )


def _summary(record: dict[str, Any]) -> SummaryFields:
    frames, utterances = record["frames"], record["utterances"]
    stages = [
        StageLatency(
            str(tier),
            str(name),
            int(stats["n"]),
            *(float(stats[key]) for key in ("p50", "p95", "max")),
        )
        for tier, named in record["latency_ms"].items()
        for name, stats in named.items()
    ]
    return SummaryFields(
        int(frames["seen"]),
        int(frames["processed"]),
        int(frames["dropped"]),
        float(record["obstacle_fps"]),
        tuple(stages),
        (
            ("utterances", f"{utterances['spoken']} heard, {utterances['dropped']} not"),
            ("peak memory, MB", str(record["peak_memory_mb"])),
            ("errors", str(record["errors"])),
        ),
    )


def _utterance(record: dict[str, Any]) -> LoggedUtterance:
    return LoggedUtterance(
        kind=str(record["kind"]),
        text=str(record["text"]),
        azimuth_deg=float(record["azimuth_deg"]),
        queued_s=float(record["queued_t"]),
        started_s=_optional(record["started_t"]),
        ended_s=_optional(record["ended_t"]),
        dropped=None if record["dropped"] is None else str(record["dropped"]),
    )


def _answer(time_s: float, record: dict[str, Any]) -> LoggedAnswer:
    route = record["route"]
    return LoggedAnswer(
        time_s=time_s,
        tier=str(record["tier"]),
        score=float(route["score"]),
        threshold=float(route["threshold"]),
        reasons=tuple(map(str, route["reasons"])),
        text=str(record["text"]),
        end_to_end_ms=_optional(record["latency_ms"]["end_to_end"]),
    )


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)
