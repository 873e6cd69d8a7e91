"""Puts glances, alerts and statuses into sentences of the wearer's language.

This module decides which facts are said and how precisely. The words are in `templates/LANGUAGE/`,
which holds every word of one language and none of another, so that a sentence cannot mix two
(`engine.language.pack` reads it). Knows nothing of models, threads or sound.
"""

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Literal

from jinja2 import TemplateNotFound

from engine.core.glance import Glance, Obstacle, SceneClass
from engine.core.preferences import Detail, Directions, Language, Units
from engine.language.facts import Group, Place, Span, Whereabouts, Why
from engine.language.pack import Noun, incomplete, prompts, sayable
from engine.language.quotation import inside_quotation, split_long
from engine.language.template_error import template_error

SURE = 0.5  # a scene of at least this probability is stated; a less probable one is hedged
UNSURE = 0.2  # a scene below this probability is not named
# Maximum kinds of obstacle, and directions per kind: a longer answer would be stale before it ends.
MAX_GROUPS: dict[Detail, int] = {"brief": 2, "normal": 3, "full": 6}
MAX_PLACES: dict[Detail, int] = {"brief": 1, "normal": 3, "full": 5}
NEAR_M = 0.25  # a smaller distance rounds to zero and is "within reach"
HALVES_BELOW_M = 3.0  # beyond it, half a meter is below the accuracy of the estimate
FAR_M = 20.0  # beyond it, a number is neither accurate nor useful
FIVES_ABOVE = 10  # more feet or steps than these are rounded to fives
LONGEST_SENTENCE = 160  # characters; some 8 s of speech
METERS_PER_FOOT = 0.3048  # exact, by definition

MAX_EXAMPLES = 5  # of things that the wearer can look for

AlertLength = Literal["full", "short", "shortest"]
StatusKey = Literal[
    "starting",
    "ready",
    "camera_lost",
    "camera_back",
    "camera_dark",
    "camera_dim",
    "camera_blurred",
    "camera_stalled",
    "camera_clear",
    "way_clear",
    "frame_skipped",
    "glasses_lost",
    "glasses_back",
    "glasses_low",
    "glasses_hot",
    "video_damaged",
    "video_jumped",
    "depth_failed",
    "scene_failed",
    "describer_failed",
    "describer_late",
    "describer_language",
    "describer_loading",
    "reader_loading",
    "reader_failed",
    "reader_late",
    "wake_failed",
    "nothing_to_repeat",
    "not_recorded",
    "louder",
    "quieter",
    "loudest",
    "quietest",
    "find_what",
    "not_understood",
    "failed",
    "restarted",
    "stopped",
    "watch_slow",
    "watch_lost",
    "watch_back",
    "sound_lost",
    "sound_back",
    "answer_failed",
    "memory_low",
    "wake_back",
]

_PLAIN_WORDS = re.compile(r"[a-z]{2,20}( [a-z]{2,20}){0,3}")  # labels are in ASCII


class Words:
    """Puts glances, alerts and statuses into the words of one language.

    A detector label that the language does not list is said as "obstacle". It is neither dropped
    nor spoken unchanged, since a stray label can mislead ("none ahead"). An unlisted scene label is
    spoken unchanged if labels are words of the language and it consists of plain words. Otherwise
    only "indoors" or "outdoors" is said.
    """

    def __init__(
        self,
        language: Language,
        units: Units = "meters",
        directions: Directions = "sides",
        step_m: float = 0.7,
    ) -> None:
        """Read and compile the language's folder. `step_m` is the length of the wearer's step in
        meters. Raises MissingPart if the folder is missing or incomplete."""
        self.language = language
        self._can = can = sayable(language)
        self._sentence_gap = re.compile(rf"(?<=[{re.escape(can.sentences.ends)}])\s+")
        environment = can.environment
        name = ""
        self._templates = {}
        try:
            self._unit = can.units[units]
            self._obstacle = can.things["obstacle"]
            for name in (
                *("quick", "alert", "status", "where", "why", "read"),
                *(f"prompts/{prompt}" for prompt in prompts(language)),
            ):
                self._templates[name] = environment.get_template(f"{name}.j2")
            name = "grammar"
            self._say_distance = vars(environment.get_template("grammar.j2").module)["distance"]
        except (TemplateNotFound, KeyError) as error:
            raise incomplete(language, error) from error
        except UnicodeDecodeError as error:
            raise template_error(language, error, (f"{name}.j2", 0)) from error
        except Exception as error:  # a template may do anything
            raise template_error(language, error) from error
        self._units = units
        self._directions = directions
        self._step_m = step_m

    def describe(self, glance: Glance, detail: Detail = "normal") -> str:
        """The quick tier's answer: the obstacles, nearest kind first, then the place.

        `brief` names two kinds and the nearest place of each, and the scene only if there is no
        obstacle. `full` names six kinds, with a distance in every direction. That nothing is in the
        way is said only if the alert policy says so (`glance.way_is_clear`).
        """
        groups = self._groups(glance.obstacles, MAX_PLACES[detail])
        named = groups[: MAX_GROUPS[detail]]
        rest = sum(group.count for group in groups[MAX_GROUPS[detail] :])
        place = None if glance.scene is None else self._whereabouts(glance.scene)
        if detail == "brief" and groups:
            place = None
        return self._render(
            "quick", groups=named, rest=rest, place=place, detail=detail, clear=glance.way_is_clear
        )

    def where(
        self,
        label: str,
        found: Sequence[Obstacle],
        can_be_seen: bool = True,
        detectable: Callable[[str], bool] = lambda label: False,
        sure: bool = True,
    ) -> str:
        """Where the nearest of `found` is, and how many more there are; all have the label `label`.
        If `found` is empty: that none is seen, with a doubt unless the alert policy is `sure` that
        nothing is in the way; or that the detector cannot detect it and some things that it can, by
        `detectable`."""
        examples = [label for label in self._can.examples if detectable(label)][:MAX_EXAMPLES]
        ordered = sorted(found, key=lambda o: o.distance_m)
        nearest = ordered[0] if ordered else None
        return self._render(
            "where",
            thing=self._noun(label),
            known=_normal(label) in self._can.things,
            can_be_seen=can_be_seen,
            sure=sure,
            examples=[self._noun(example).many for example in examples],
            more=max(0, len(ordered) - 1),
            direction=None if nearest is None else self._direction(nearest),
            span=None if nearest is None else self._span(nearest.distance_m),
        )

    def why(self, why: Why) -> str:
        """Why the last answer came from its tier, and how certain the place was."""
        place = None if why.scene is None else self._whereabouts(why.scene)
        percent = 0 if why.scene is None else round(100 * why.scene.probability)
        return self._render(
            "why",
            by=why.by,
            full=why.decision.tier == "full",
            score=round(100 * why.decision.score),
            threshold=round(100 * why.decision.threshold),
            obstacles=why.obstacles,
            unsure=why.scene is not None and why.scene.probability < SURE,
            place=place,
            percent=percent,
        )

    def read(self, sure: Sequence[str], unsure: Sequence[str], language: Language | None) -> str:
        """The text found in an image, exactly as written, or that there is none. `language` is that
        of the text, if known."""
        name = None if language in (None, self.language) else self._can.languages.get(str(language))
        return self._render(
            "read", sure=[_line(t) for t in sure], unsure=[_line(t) for t in unsure], language=name
        )

    def alert(self, obstacle: Obstacle, length: AlertLength = "full") -> str:
        """One obstacle, the most important word first: "Person ahead, two meters.", "Person ahead."
        or "Person!", whose side is in its sound."""
        return self._render(
            "alert",
            length=length,
            thing=self._noun(obstacle.label),
            direction=self._direction(obstacle),
            span=self._span(obstacle.distance_m),
        )

    def status(self, key: StatusKey, count: int = 1) -> str:
        """A sentence about the engine itself. `count` is the number of skipped images."""
        return self._render("status", key=key, count=count)

    def label(self, name: str, count: int = 1) -> str:
        """A detector's label as it is said: "person", "people", or "obstacle" if it is unknown."""
        noun = self._noun(name)
        return noun.one if count == 1 else noun.many

    def unnamed(self, labels: Sequence[str]) -> list[str]:
        """Those of a detector's `labels` that the language does not list."""
        return [label for label in labels if _normal(label) not in self._can.things]

    def distance(self, distance_m: float) -> str:
        """A distance in meters as it is said, in the wearer's units: "one and a half meters"."""
        return str(self._say_distance(self._span(distance_m)))

    def prompt(self, name: str, glance: Glance) -> str:
        """What a describer is asked about a glance, from `prompts/NAME.j2`. The template may use
        `place` ("in a kitchen", empty if uncertain) and `seen` (kinds of obstacles, nearest first).
        Raises MissingPart if there is no such file."""
        if f"prompts/{name}" not in self._templates:
            raise incomplete(self.language, FileNotFoundError(f"prompts/{name}.j2 is missing"))
        place = None if glance.scene is None else self._whereabouts(glance.scene)
        groups = self._groups(glance.obstacles, most_places=1)
        seen = [group.thing.one if group.count == 1 else group.thing.many for group in groups]
        known = place is not None and place.kind == "known"
        words = place.words if known and place else ""
        return self._render(f"prompts/{name}", place=words, seen=seen)

    def sentences(self, text: str) -> list[str]:
        """`text` split into its sentences. A sentence opens with a letter that is not lower case,
        or with one of the language's opening marks. A quotation stays with its frame. What is longer
        than LONGEST_SENTENCE is split further, because an alert waits for the end of a sentence."""
        text = " ".join(text.split())
        starts = [
            match.end()
            for match in self._sentence_gap.finditer(text)
            if self._opens_sentence(text[match.end()]) and not inside_quotation(text, match.end())
        ]
        bounds = itertools.pairwise([0, *starts, len(text)])
        whole = [text[start:end].rstrip() for start, end in bounds if start < end]
        return [part for sentence in whole for part in split_long(sentence, LONGEST_SENTENCE)]

    def _opens_sentence(self, character: str) -> bool:
        capital = character.isalpha() and not character.islower()
        return capital or character in self._can.sentences.opens

    def _render(self, name: str, **facts: object) -> str:
        """Render with single spaces, so that templates may break lines anywhere."""
        return " ".join(self._templates[name].render(facts).split())

    def _noun(self, label: str) -> Noun:
        return self._can.things.get(_normal(label), self._obstacle)

    def _direction(self, obstacle: Obstacle) -> str:
        if self._directions == "sides":
            return self._can.sides[obstacle.side]
        # each hour is 30 degrees wide: twelve o'clock is from -15 to 15 degrees
        return self._can.clock[math.floor(obstacle.bearing_deg / 30 + 0.5) % 12]

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

    def _groups(self, obstacles: Sequence[Obstacle], most_places: int) -> list[Group]:
        """Obstacles by kind and by direction, the kind of the nearest obstacle first."""
        kinds: dict[Noun, dict[str, list[Obstacle]]] = {}
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
            named = places[:most_places]
            groups.append(Group(noun, count, named, count - sum(place.count for place in named)))
        return groups

    def _whereabouts(self, scene: SceneClass) -> Whereabouts:
        name = _normal(scene.label)
        phrase = self._can.scenes.get(name, "")
        sure = scene.probability >= SURE
        if scene.probability < UNSURE:
            return Whereabouts("unsure", "", False)
        if phrase:
            return Whereabouts("known", phrase, sure)
        # a phrase of None marks a class that names no place
        if phrase == "" and self._can.labels_are_words and _PLAIN_WORDS.fullmatch(name):
            return Whereabouts("unlisted", name, sure)
        if scene.indoor is None:
            return Whereabouts("unsure", "", False)
        return Whereabouts("indoors" if scene.indoor else "outdoors", "", sure)


def _line(text: str) -> str:
    """A line of a sign as part of a sentence: without its own full stop."""
    return " ".join(text.split()).rstrip(" .")


def _normal(label: str) -> str:
    """A label as the vocabulary lists it: lower case, single spaces."""
    return " ".join(label.replace("_", " ").lower().split())
