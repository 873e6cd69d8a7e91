"""Checks a language's templates before the session starts: all of them compile, every name that they
use exists, and every kind of sentence can be worded.

A mistake in a template would otherwise be found when its sentence is needed. Must not know who
speaks the sentences.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, get_args

import numpy as np
from jinja2 import Environment, UndefinedError, nodes

from engine.core.answer import Decision, Tier
from engine.core.camera import Frame
from engine.core.errors import MissingPart
from engine.core.glance import Box, Glance, Obstacle, SceneClass, Side
from engine.core.preferences import Detail
from engine.language.commands import command_grammar
from engine.language.facts import Decider, PlaceKind, Whereabouts, Why
from engine.language.pack import languages, prompts, sayable, understood
from engine.language.reassurance import reassuring_words
from engine.language.template_error import mistake, template_error
from engine.language.wording import FAR_M, AlertLength, StatusKey, Words

# Within reach, one, one and a half, many, and far, in meters, feet and steps.
DISTANCES_M = (0.1, 0.6, 1.0, 1.5, 7.0, FAR_M, FAR_M + 1)
SIDES: tuple[Side, ...] = get_args(Side)
BLACK = np.zeros((2, 2, 3), np.uint8)


class CheckedWords(Words):
    """Words that remember which facts each template got."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.facts: dict[str, set[str]] = defaultdict(set)

    def _render(self, name: str, **facts: object) -> str:
        self.facts[name] |= facts.keys()
        text = super()._render(name, **facts)
        if not text:  # the wearer would wait for an answer in silence
            given = ", ".join(f"{key}={value}" for key, value in facts.items())
            raise mistake(self.language, f"{name}.j2", 0, f"it says nothing for {given}")
        return text

    def every_place(self) -> None:
        """Word every kind of place, also those that no scene of this language has."""
        for kind, sure in product(get_args(PlaceKind), (True, False)):
            place = Whereabouts(kind, "-", sure)
            empty = {"groups": [], "rest": 0, "detail": "full", "clear": False}
            self._render("quick", place=place, **empty)


def check_templates(words: CheckedWords) -> None:
    """Raise MissingPart, with the file and the line, for a template of the language of `words` that
    cannot be used, and for a list of words of any language that cannot be read."""
    for code in languages():  # signs may be in any of them
        understood(code)
    reassuring_words(words.language)
    command_grammar(words.language, {})
    environment = sayable(words.language).environment
    trees = {name: _tree(words, environment, name) for name in environment.list_templates(["j2"])}
    for sentence in _sentences(words):
        try:
            sentence()
        except MissingPart:
            raise
        except Exception as error:  # a template may do anything
            raise template_error(words.language, error, _passed_on(error, trees)) from error
    for name, tree in trees.items():
        facts = words.facts[name.removesuffix(".j2")]
        known = facts | environment.globals.keys() | _defined(tree)
        for node in tree.find_all(nodes.Name):
            if node.ctx == "load" and node.name not in known:
                have = f"; it gets {', '.join(sorted(facts))}" if facts else ""
                what = f"{node.name!r} is undefined{have}"
                raise mistake(words.language, name, node.lineno, what)
        for line, unknown in _missing_imports(environment, tree):
            what = f"there is no macro {unknown!r} to import"
            raise mistake(words.language, name, line, what)


def _tree(words: Words, environment: Environment, name: str) -> nodes.Template:
    try:
        environment.get_template(name)  # also finds filters that do not exist
        source, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]
        return environment.parse(source)
    except Exception as error:
        raise template_error(words.language, error, (name, 0)) from error


def _defined(tree: nodes.Template) -> set[str]:
    """The names that a template defines itself, anywhere in it."""
    names = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    names |= {node.name for node in tree.find_all(nodes.Macro)}
    names |= {node.target for node in tree.find_all(nodes.Import)}
    for imported in tree.find_all(nodes.FromImport):
        names |= {item if isinstance(item, str) else item[1] for item in imported.names}
    return names | {"loop", "caller", "varargs", "kwargs"}


def _missing_imports(environment: Environment, tree: nodes.Template) -> Iterator[tuple[int, str]]:
    for node in tree.find_all(nodes.FromImport):
        if isinstance(node.template, nodes.Const):
            exported = vars(environment.get_template(node.template.value).module)
            for item in node.names:
                name = item if isinstance(item, str) else item[0]
                if name not in exported:
                    yield node.lineno, name


def _passed_on(error: Exception, trees: dict[str, nodes.Template]) -> tuple[str, int] | None:
    """The template and the line that name the missing attribute of `error`: what is undefined may be
    given to a macro before it is used."""
    missing = re.search(r"has no attribute '(\w+)'", str(error))
    for name, tree in trees.items() if missing and isinstance(error, UndefinedError) else ():
        for node in tree.find_all(nodes.Getattr):
            if missing and node.attr == missing[1]:
                return name, node.lineno
    return None


# Samples, which take every branch of the templates that ship.


def _sentences(words: CheckedWords) -> Iterator[Callable[[], object]]:
    """Every kind of sentence of `words`, to be called."""
    yield lambda: [words.status(key, count) for key in get_args(StatusKey) for count in (1, 2, 30)]
    yield lambda: [words.describe(*case) for case in product(_glances(), get_args(Detail))]
    yield lambda: [words.alert(*case) for case in product(_obstacles(), get_args(AlertLength))]
    yield words.every_place
    yield lambda: [words.distance(distance_m) for distance_m in DISTANCES_M]
    yield lambda: [words.where("person", found) for found in ([], _obstacles()[:1], _obstacles())]
    yield lambda: [
        words.where(*case) for case in product(("dog", "?"), ((),), (False,), (_yes, _no))
    ]
    yield lambda: [words.why(why) for why in _whys()]
    codes = (None, *sayable(words.language).languages)
    yield lambda: [words.read(*case) for case in product(((), ("4a",)), ((), ("12",)), codes)]
    for name, glance in product(prompts(words.language), _glances()):
        yield lambda name=name, glance=glance: words.prompt(name, glance)  # type: ignore[misc]


def _yes(_label: str) -> bool:
    return True


def _no(_label: str) -> bool:
    return False


def _obstacles() -> list[Obstacle]:
    bearings = dict(zip(SIDES, (-40.0, 0.0, 40.0), strict=True))
    cases = product(("person", "bus"), DISTANCES_M, SIDES)
    return [
        Obstacle(
            track, label, 0.9, Box(0, 0, 1, 1), distance_m, 0.1, bearings[side], side, None, 1.0
        )
        for track, (label, distance_m, side) in enumerate(cases)
    ]


def _scenes() -> tuple[SceneClass | None, ...]:
    labels = ("street", "a place without a name", "unlisted")
    return (
        None,
        *(
            SceneClass(label, probability, 0.1, indoor)
            for label, probability, indoor in product(labels, (0.1, 0.4, 0.9), (None, True, False))
        ),
    )


def _glances() -> list[Glance]:
    every, frame = tuple(_obstacles()), Frame(BLACK, 0.0, 0)
    things = [(), every[:1], every[:2], every[4:5], every[:9], every]
    crowd = [Glance(frame, found, SceneClass("street", 0.9, 0.1, False)) for found in things]
    places = [Glance(frame, (), scene, way_is_clear=scene is None) for scene in _scenes()]
    return [*crowd, *places]


def _whys() -> Iterator[Why]:
    for by, tier, obstacles in product(get_args(Decider), get_args(Tier), (0, 1, 2)):
        yield Why(by, Decision(tier, 0.4, 0.5, ()), None, obstacles)
    for scene in _scenes():
        yield Why("router", Decision("quick", 0.4, 0.5, ()), scene, 1)
