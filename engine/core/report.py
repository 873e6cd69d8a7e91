"""What a session reports about itself: to the log, the screen and the view."""

from dataclasses import dataclass

from engine.core.answer import Description
from engine.core.glance import Glance
from engine.core.preferences import Language
from engine.core.utterance import Heard


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Which model serves a tier. A describer's card also has the languages that it speaks, and
    whether it follows a prompt or has learnt a single task; a detector's the longer side of the
    picture that it sees, in pixels, and its CPU threads."""

    name: str
    pack: str
    device: str
    backend: str
    precision: str
    languages: tuple[Language, ...] = ()
    takes_prompts: bool = False
    image_size: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Something went wrong while running, and what the engine did about it."""

    what: str
    detail: str
    action: str


@dataclass(frozen=True, slots=True)
class Hearing:
    """Counters of the ear, for the session summary.

    `late` counts blocks that were processed long after they were recorded, `overruns` the times
    that the device lost samples. `own_voice` and `refractory` count rejected wakes.
    """

    heard_s: float = 0.0
    wakes: int = 0
    own_voice: int = 0
    refractory: int = 0
    commands: int = 0
    not_understood: int = 0
    late: int = 0
    overruns: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """A description whose first sound was played or dropped, with the latency of each stage that
    ran."""

    description: Description
    latency_ms: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class StreamCount:
    """Counters of one sensor stream: records received, and records lost or overtaken by newer ones.
    `latency_ms` is from capture to arrival, on the host's clock, of the latest records."""

    name: str
    received: int
    dropped: int
    latency_ms: tuple[float, ...] = ()


Shown = Glance | Heard | Answered | Health  # the events that a view shows
