"""From a request to a description: what the wearer asks, how it is routed, what is answered."""

from dataclasses import dataclass
from typing import Literal

from engine.core.glance import Mark, SceneClass

Tier = Literal["quick", "full"]
Wish = Literal["describe", "more", "why", "read", "where"]  # requests to the answerer
Control = Literal["repeat", "stop", "quieter", "louder", "quit"]  # commands that the loops execute


@dataclass(frozen=True, slots=True)
class Command:
    """A spoken or typed command. `target` as in `Request`."""

    name: Wish | Control
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """The wearer asked for something.

    `asked_s` is the end of the wake phrase, the key press or the timer's tick. `heard_s` is when a
    spoken request was recognised. `target` is what a `where` looks for: a label of the detector, or
    the words that were typed.
    """

    id: int
    trigger: str
    asked_s: float
    wish: Wish = "describe"
    target: str | None = None
    heard_s: float | None = None

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The first marks of the trace. A spoken request has the recognition delay as a stage."""
        if self.heard_s is None:
            return (Mark("asked", self.asked_s),)
        return (Mark("spoken", self.asked_s), Mark("asked", self.heard_s))


@dataclass(frozen=True, slots=True)
class Decision:
    """Which tier answers and why. `score` is the router's complexity in [0, 1]."""

    tier: Tier
    score: float
    threshold: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """One part of an answer, with the tier that worded it."""

    tier: Tier
    text: str


@dataclass(frozen=True, slots=True)
class DroppedClause:
    """A clause of the describer that was not said, and why."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Description:
    """A whole answer to a request, about the same frame that was routed; `picture` is the name of
    its file, if it has one."""

    request: Request
    frame_seq: int
    mode: str
    tier: Tier
    decision: Decision
    scene: SceneClass
    beats: tuple[Beat, ...]
    marks: tuple[Mark, ...]
    unsupported: tuple[str, ...] = ()
    picture: str = ""
    dropped: tuple[DroppedClause, ...] = ()

    @property
    def text(self) -> str:
        """All beats in order, as one text."""
        return " ".join(beat.text for beat in self.beats)
