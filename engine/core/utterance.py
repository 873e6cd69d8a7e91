"""Utterances to be played, and their outcomes."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["alert", "answer", "status"]
Drop = Literal["stale", "superseded", "cancelled"]
Cut = Literal["interrupted", "superseded", "cancelled"]
EarconName = Literal["obstacle", "urgent", "tick"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """An earcon followed by words. Either may be empty.

    It is dropped if it has not started by `deadline_s`. `distance_m` sets the earcon's level and
    pulse rate. `answer` is the id of the request that it answers, so that the first sound can be
    timed. `resumes` is the id of the interrupted utterance that this one repeats. An utterance that
    `yields` is not repeated after an interruption. Of what waits `about` the same matter, only the
    newest is true and heard. `priority` is on the scale of `engine.core.priority`.
    """

    id: int
    kind: Kind
    text: str
    priority: float
    queued_s: float
    azimuth_deg: float = 0.0
    deadline_s: float | None = None
    earcon: EarconName | None = None
    distance_m: float | None = None
    answer: int | None = None
    resumes: int | None = None
    yields: bool = False
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """The outcome of an utterance: when its first sample went to the sink, or why it never did.

    `cut` says why it ended early: `interrupted` by a critical utterance, `superseded` by a newer
    request, `cancelled` by the wearer.
    """

    utterance: Utterance
    started_s: float | None
    ended_s: float | None
    dropped: Drop | None = None
    cut: Cut | None = None
