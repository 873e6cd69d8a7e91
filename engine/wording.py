"""What the wearer hears, in their language: glances, alerts and statuses become sentences.

Decides what is worth saying and how exactly; how it is said is in `templates/LANGUAGE/`, which
holds every word of that language and nothing of another, so that a sentence cannot mix two. Adding
a language is adding a folder. Knows nothing of models, threads or sound.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateError

from engine.errors import MissingPart
from engine.types import Directions, Glance, Language, Obstacle, SceneClass, Units

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

SURE = 0.5  # a scene at least as probable is stated; below, it is hedged
UNSURE = 0.2  # a scene less probable is not named
MAX_GROUPS = 3  # kinds of obstacle told in detail: more takes longer to say than it stays true
MAX_PLACES = 3  # directions told for one kind
NEAR_M = 0.25  # nearer than this rounds to nothing, so it is "within reach"
HALVES_BELOW_M = 3.0  # half a meter matters near by, and is beyond the estimate's accuracy far off
FAR_M = 20.0  # beyond this a number is neither accurate nor useful
FIVES_ABOVE = 10  # feet and steps are counted up to here, then told in fives
METERS_PER_FOOT = 0.3048  # exact, by definition

AlertLength = Literal["full", "short", "shortest"]
StatusKey = Literal[
    "starting",
    "ready",
    "no_picture",
    "camera_lost",
    "camera_back",
    "camera_dark",
    "camera_dim",
    "camera_blurred",
    "camera_stalled",
    "camera_clear",
    "way_clear",
    "source_ended",
    "frame_skipped",
    "obstacles_failed",
    "obstacles_back",
    "obstacles_slow",
    "depth_failed",
    "scene_failed",
    "describer_failed",
    "describer_late",
    "describer_empty",
    "wake_failed",
    "stopped",
    "nothing_to_repeat",
    "failed",
    "goodbye",
]

_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-ZÁÉÍÓÚÑ¿¡])")
_PLAIN_WORDS = re.compile(r"[a-z]{2,20}( [a-z]{2,20}){0,3}")


@dataclass(frozen=True, slots=True)
class Noun:
    """A thing's name in both numbers. `gender` is empty where the language has none."""

    one: str
    many: str
    gender: str = ""


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction after a noun ("at two o'clock") and alone ("two o'clock")."""

    phrase: str
    shout: str


@dataclass(frozen=True, slots=True)
class Span:
    """A distance as it is said: `whole` units and perhaps a `half`, or only near or far."""

    reach: Literal["near", "measured", "far"]
    whole: int
    half: bool
    unit: Noun


@dataclass(frozen=True, slots=True)
class Place:
    """How many of a kind are in one direction, and how far the nearest of them is."""

    direction: Direction
    count: int
    nearest: Span


@dataclass(frozen=True, slots=True)
class Group:
    """All obstacles of one kind, the place of the nearest first. `elsewhere` are only counted."""

    thing: Noun
    count: int
    places: tuple[Place, ...]
    elsewhere: int


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The scene as it is said. `words` is a phrase ("in a kitchen"); unlisted, the bare label."""

    kind: Literal["known", "unlisted", "indoors", "outdoors", "unsure"]
    words: str
    sure: bool


class Words:
    """Words glances, alerts and statuses in one language.

    An obstacle label that the language does not list is said as "obstacle": never dropped, and
    never spelt out, since a stray label can mislead ("none ahead"). A scene label that is not
    listed is said as it stands where the language is the one that labels are written in (English)
    and it is made of plain words; otherwise only indoors or outdoors is said.
    """

    def __init__(
        self,
        language: Language = "en",
        units: Units = "meters",
        directions: Directions = "sides",
        step_m: float = 0.7,
    ) -> None:
        """Read and compile the language's folder. `step_m` is the length of the wearer's step in
        meters. Raises MissingPart where the folder is missing or not whole."""
        folder = TEMPLATES / language
        if not folder.is_dir():
            have = ", ".join(sorted(p.name for p in TEMPLATES.glob("*/") if p.is_dir())) or "none"
            raise MissingPart(
                f"language: expected a folder of templates/ ({have}), got {language!r}"
            )
        environment = Environment(
            loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False
        )
        environment.filters["capital"] = _capital
        try:
            self._things = {k: Noun(*v) for k, v in _read(folder, "things").items()}
            self._scenes: Mapping[str, str | None] = _read(folder, "scenes")
            words = _read(folder, "words")
            self._labels_are_words = bool(words["labels_are_words"])
            self._sides = {side: Direction(*pair) for side, pair in words["sides"].items()}
            self._clock = [Direction(*pair) for pair in words["clock"]]
            self._unit = Noun(*words["units"][units])
            self._obstacle = self._things["obstacle"]
            self._quick = environment.get_template("quick.j2")
            self._alert = environment.get_template("alert.j2")
            self._status = environment.get_template("status.j2")
            self._say_distance = vars(environment.get_template("grammar.j2").module)["distance"]
        except (OSError, ValueError, KeyError, TypeError, TemplateError) as error:
            raise MissingPart(
                f"language: templates/{language} is not whole ({error}); restore the folder"
            ) from error
        self._units = units
        self._directions = directions
        self._step_m = step_m

    def describe(self, glance: Glance) -> str:
        """The quick tier's answer: what is in the way, nearest kind first, then the place."""
        groups = self._groups(glance.obstacles)
        told = groups[:MAX_GROUPS]
        rest = sum(group.count for group in groups[MAX_GROUPS:])
        place = None if glance.scene is None else self._whereabouts(glance.scene)
        return _render(self._quick, groups=told, rest=rest, place=place)

    def alert(self, obstacle: Obstacle, length: AlertLength = "full") -> str:
        """One obstacle, the deciding word first: "Person ahead, two meters.", "Person ahead." or
        "Ahead!"."""
        return _render(
            self._alert,
            length=length,
            thing=self._noun(obstacle.label),
            direction=self._direction(obstacle),
            span=self._span(obstacle.distance_m),
        )

    def status(self, key: StatusKey, count: int = 1) -> str:
        """What the engine says about itself. `count` is how many pictures were skipped."""
        return _render(self._status, key=key, count=count)

    def label(self, name: str, count: int = 1) -> str:
        """A detector's label as it is said: "person", "people"; "obstacle" where it is unknown."""
        noun = self._noun(name)
        return noun.one if count == 1 else noun.many

    def distance(self, distance_m: float) -> str:
        """A distance in meters as it is said, in the wearer's units: "one and a half meters"."""
        return str(self._say_distance(self._span(distance_m)))

    def _noun(self, label: str) -> Noun:
        return self._things.get(_normal(label), self._obstacle)

    def _direction(self, obstacle: Obstacle) -> Direction:
        if self._directions == "sides":
            return self._sides[obstacle.side]
        # each hour is 30 degrees wide, centred: twelve o'clock is -15 up to 15
        return self._clock[math.floor(obstacle.bearing_deg / 30 + 0.5) % 12]

    def _span(self, distance_m: float) -> Span:
        if distance_m < NEAR_M:
            return Span("near", 0, False, self._unit)
        if distance_m > FAR_M:
            return Span("far", 0, False, self._unit)
        if self._units == "meters":
            per_meter = 2 if distance_m < HALVES_BELOW_M else 1
            parts = math.floor(distance_m * per_meter + 0.5)
            return Span("measured", parts // per_meter, parts % per_meter == 1, self._unit)
        exact = distance_m / (METERS_PER_FOOT if self._units == "feet" else self._step_m)
        coarse = 5 if exact > FIVES_ABOVE else 1
        whole = max(1, coarse * math.floor(exact / coarse + 0.5))
        return Span("measured", whole, False, self._unit)

    def _groups(self, obstacles: Sequence[Obstacle]) -> list[Group]:
        """Obstacles by kind and by direction, the kind of the nearest obstacle first."""
        kinds: dict[Noun, dict[Direction, list[Obstacle]]] = {}
        for obstacle in sorted(obstacles, key=lambda o: (o.distance_m, -o.priority, o.track)):
            kind = kinds.setdefault(self._noun(obstacle.label), {})
            kind.setdefault(self._direction(obstacle), []).append(obstacle)
        groups = []
        for noun, directions in kinds.items():
            places = tuple(
                Place(direction, len(those), self._span(those[0].distance_m))
                for direction, those in directions.items()
            )
            count = sum(place.count for place in places)
            told = places[:MAX_PLACES]
            groups.append(Group(noun, count, told, count - sum(place.count for place in told)))
        return groups

    def _whereabouts(self, scene: SceneClass) -> Whereabouts:
        name = _normal(scene.label)
        phrase = self._scenes.get(name, "")
        sure = scene.probability >= SURE
        if scene.probability < UNSURE or phrase is None:  # None: a class that names no place
            return Whereabouts("unsure", "", False)
        if phrase:
            return Whereabouts("known", phrase, sure)
        if self._labels_are_words and _PLAIN_WORDS.fullmatch(name):
            return Whereabouts("unlisted", name, sure)
        return Whereabouts("indoors" if scene.indoor else "outdoors", "", sure)


def sentences(text: str) -> list[str]:
    """`text` cut between its sentences, in English or Spanish; joined by blanks it is whole again."""
    return [part for part in _BETWEEN_SENTENCES.split(" ".join(text.split())) if part]


def _read(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _render(template: Template, **facts: object) -> str:
    """Render, with every run of white space made one space: templates may break lines freely."""
    return " ".join(template.render(facts).split())


def _capital(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def _normal(label: str) -> str:
    """A label as the vocabulary lists it: lower case, single spaces."""
    return " ".join(label.replace("_", " ").lower().split())
