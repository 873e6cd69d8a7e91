"""The facts that the templates of a language put into words. Plain data without logic."""

from dataclasses import dataclass
from typing import Literal

from engine.core.answer import Decision
from engine.core.glance import SceneClass
from engine.language.pack import Noun


@dataclass(frozen=True, slots=True)
class Span:
    """A distance as it is said: `whole` units and perhaps a `half`, or only near or far."""

    reach: Literal["near", "measured", "far"]
    whole: int
    half: bool
    unit: Noun


@dataclass(frozen=True, slots=True)
class Place:
    """How many of a kind are in one direction, and how far away the nearest of them is."""

    direction: str
    count: int
    nearest: Span


@dataclass(frozen=True, slots=True)
class Group:
    """All obstacles of one kind, the place of the nearest first. `elsewhere` are only counted."""

    thing: Noun
    count: int
    places: tuple[Place, ...]
    elsewhere: int


PlaceKind = Literal["known", "unlisted", "indoors", "outdoors", "unsure"]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The scene as it is said. `words` is a phrase ("in a kitchen"), or the label if unlisted."""

    kind: PlaceKind
    words: str
    sure: bool


Decider = Literal["mode", "router", "more", "language", "loading", "failure"]


@dataclass(frozen=True, slots=True)
class Why:
    """Why an answer came from its tier. `by` names what decided: the wearer's mode, the router, a
    request for more, the language, or a describer that was still loading or failed."""

    by: Decider
    decision: Decision
    scene: SceneClass | None
    obstacles: int
