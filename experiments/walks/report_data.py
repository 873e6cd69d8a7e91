"""A session's folder as data: what `walk_report` shows. Draws nothing.

Reads `session.jsonl` whole and strictly, because a page made from half a walk would look like a
quiet walk.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.errors import InputError
from engine.devices.video.images import one_line


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance, in seconds since the session's start; `started_s` is None where it was not
    heard, and `dropped` then says why."""

    kind: str
    text: str
    azimuth_deg: float
    queued_s: float
    started_s: float | None
    ended_s: float | None
    dropped: str | None

    @property
    def waited_ms(self) -> float | None:
        """From when it was queued to its first sound."""
        return None if self.started_s is None else 1000 * (self.started_s - self.queued_s)

    @property
    def at_s(self) -> float:
        """When it was heard, else when it was queued."""
        return self.queued_s if self.started_s is None else self.started_s


@dataclass(frozen=True, slots=True)
class Sighting:
    time_s: float
    label: str
    distance_m: float
    sigma_m: float
    side: str
    ttc_s: float | None


@dataclass(frozen=True, slots=True)
class Track:
    """What was seen under one track's number, in order."""

    number: int
    sightings: tuple[Sighting, ...]

    @property
    def name(self) -> str:
        """Its most frequent label, with its number."""
        ((label, _),) = Counter(s.label for s in self.sightings).most_common(1)
        return f"{label} {self.number}"

    @property
    def nearest(self) -> Sighting:
        return min(self.sightings, key=lambda s: s.distance_m)

    @property
    def least_ttc_s(self) -> float | None:
        return min((s.ttc_s for s in self.sightings if s.ttc_s is not None), default=None)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A health record."""

    time_s: float
    what: str
    detail: str
    action: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A description record, as far as the page shows it."""

    time_s: float
    tier: str
    score: float
    threshold: float
    reasons: tuple[str, ...]
    text: str
    end_to_end_ms: float | None


@dataclass(frozen=True, slots=True)
class Stage:
    """How long a stage of a tier took, in milliseconds over `n` times."""

    tier: str
    name: str
    n: int
    p50: float
    p95: float
    most: float


@dataclass(frozen=True, slots=True)
class Sums:
    """What the summary record says, as far as the page shows it."""

    frames_seen: int
    frames_processed: int
    frames_dropped: int
    fps: float
    stages: tuple[Stage, ...]
    facts: tuple[tuple[str, str], ...]  # name, value


@dataclass(frozen=True, slots=True)
class Meta:
    """What the session record says. A model is tier, name, pack, device, backend, precision."""

    models: tuple[tuple[str, ...], ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """A whole session."""

    folder: Path
    meta: Meta
    sums: Sums
    tracks: tuple[Track, ...]
    said: tuple[Said, ...]
    answers: tuple[Answer, ...]
    troubles: tuple[Trouble, ...]
    length_s: float

    @property
    def alerts(self) -> tuple[Said, ...]:
        return tuple(said for said in self.said if said.kind == "alert")


@dataclass(slots=True)
class _Collected:
    """What the lines read so far hold."""

    meta: Meta | None = None
    sums: Sums | None = None
    sightings: dict[int, list[Sighting]] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    length_s: float = 0.0

    def add(self, record: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError where a field is missing or of another type.
        Types of records that this version does not know are passed over."""
        kind, time_s = record["type"], float(record["t"])
        self.length_s = max(self.length_s, time_s)
        if kind == "session":
            self.meta = _meta(record)
        elif kind == "summary":
            self.sums = _sums(record)
        elif kind == "obstacle":
            self.sightings.setdefault(int(record["track"]), []).append(
                Sighting(
                    time_s,
                    str(record["label"]),
                    float(record["distance_m"]),
                    float(record["distance_sigma_m"]),
                    str(record["side"]),
                    _optional(record["ttc_s"]),
                )
            )
        elif kind == "utterance":
            self.said.append(_said(record))
        elif kind == "description":
            self.answers.append(_answer(time_s, record))
        elif kind == "health":
            self.troubles.append(
                Trouble(time_s, *(str(record[key]) for key in ("what", "detail", "action")))
            )


def read_walk(folder: Path) -> Walk:
    """The session in `folder`. Raises InputError where it is missing, empty, cut short or broken."""
    path = folder / "session.jsonl"
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise InputError(f"{folder}: expected a session's folder, got {got}; check the path")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: expected a session's folder, found no session.jsonl in it; "
            "give the folder that `written to` names at the end of a session"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a session's log, got '{error}'") from error
    lines = text.splitlines()
    if not lines:
        raise InputError(f"{path}: expected a session's log, got an empty file; walk again")
    found = _Collected()
    for number, line in enumerate(lines, 1):
        try:
            found.add(json.loads(line))
        except (KeyError, TypeError, ValueError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else one_line(error)
            raise InputError(
                f"{path}: line {number} of {len(lines)}: expected a whole record, got {what}; "
                "the log was cut short or changed"
            ) from error
    if found.meta is None:
        raise InputError(f"{path}: expected a session record, found none; is it a session's log?")
    if found.sums is None:
        raise InputError(
            f"{path}: expected a summary as the last line, found none after {len(lines)} lines; "
            "the session was cut short or is still running"
        )
    return Walk(
        folder,
        found.meta,
        found.sums,
        tuple(Track(number, tuple(seen)) for number, seen in sorted(found.sightings.items())),
        tuple(sorted(found.said, key=lambda said: said.at_s)),
        tuple(found.answers),
        tuple(found.troubles),
        found.length_s,
    )


def _meta(record: dict[str, Any]) -> Meta:
    keys = ("name", "pack", "device", "backend", "precision")
    return Meta(
        tuple(
            (str(tier), *(str(card[key]) for key in keys))
            for tier, card in record["models"].items()
        ),
        tuple((key, str(record[key])) for key in ("version", "mode", "language", "source")),
    )


def _sums(record: dict[str, Any]) -> Sums:
    frames, utterances = record["frames"], record["utterances"]
    stages = [
        Stage(
            str(tier),
            str(name),
            int(stats["n"]),
            *(float(stats[key]) for key in ("p50", "p95", "max")),
        )
        for tier, named in record["latency_ms"].items()
        for name, stats in named.items()
    ]
    return Sums(
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


def _said(record: dict[str, Any]) -> Said:
    return Said(
        kind=str(record["kind"]),
        text=str(record["text"]),
        azimuth_deg=float(record["azimuth_deg"]),
        queued_s=float(record["queued_t"]),
        started_s=_optional(record["started_t"]),
        ended_s=_optional(record["ended_t"]),
        dropped=None if record["dropped"] is None else str(record["dropped"]),
    )


def _answer(time_s: float, record: dict[str, Any]) -> Answer:
    route = record["route"]
    return Answer(
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
