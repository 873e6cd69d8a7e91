"""A walk through Localizer, AlertPolicy and Audio themselves, in virtual time, and what came of it.

Nothing is timed here: the pipeline and the voice take a fixed time each, so that figures are the same
on every machine.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from engine.alerts.corridor import HALF_CORRIDOR_M
from engine.alerts.policy import AlertPolicy
from engine.audio.scheduler import Audio, advance, drain
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.glance import Obstacle
from engine.core.sound import Samples
from engine.core.utterance import Heard, Utterance
from engine.language.wording import Words
from engine.perception.camera import Mount
from engine.perception.depth_prior import BoxHistory
from engine.perception.localize import Localizer
from experiments.walks.depth import Deep, DepthNoise
from experiments.walks.detector import Eye, Noise
from experiments.walks.world import Thing, Walk

FPS = 15.0
PIPELINE_S = 0.08  # from a frame's capture until its alert is queued
STOP_S = 1.0  # after the last word, to understand it and to stand still
SOON_S = 5.0  # a thing that will be in the way so soon is worth an alert
WORTH_M = 6.0  # and one that stands in it within this distance
VISIBLE_S = 1.0  # a hazard in the picture for less cannot be warned of
FAR_M = 15.0  # places beyond matter to nobody on foot
MAX_TTC_S = 10.0


class Voice:
    """Takes as long as a voice at `rate_wpm` would."""

    sample_rate_hz = 8000

    def __init__(self, rate_wpm: int) -> None:
        self._word_s = 60.0 / rate_wpm

    def synthesise(self, text: str) -> Samples:
        seconds = self._word_s * len(text.split())
        return np.full(round(seconds * self.sample_rate_hz), 0.1, np.float32)

    def close(self) -> None: ...


class Nowhere:
    """A sink that keeps nothing."""

    name = "nowhere"
    paced = False

    def write(self, block: Samples) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """A thing as it was placed, beside what is so."""

    away_m: float
    found: Obstacle
    true_deg: float
    true_ttc_s: float | None


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert and what became of it. `thing` is None for a ghost; `worth` says whether it deserved
    one; an all-clear has neither and is `worth` it where nothing stands in the way."""

    heard: Heard
    thing: Thing | None
    worth: bool
    all_clear: bool


@dataclass(frozen=True, slots=True)
class Hazard:
    """A thing walked into, and the first alert about it that was heard before, if any."""

    walk: str
    thing: Thing
    contact_s: float
    visible_s: float  # how long before contact it was in the picture
    alert: Alert | None


@dataclass(slots=True)
class Played:
    """All that came of one walk."""

    walk: Walk
    estimates: list[Estimate] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    hazards: list[Hazard] = field(default_factory=list)

    @property
    def words(self) -> int:
        return sum(
            len(alert.heard.utterance.text.split())
            for alert in self.alerts
            if alert.heard.started_s is not None
        )


def play(
    walk: Walk,
    mount: Mount,
    noise: Noise,
    rate_wpm: int = 190,
    seed: int = 0,
    depth: DepthNoise | None = None,
) -> Played:
    """Walk `walk` once, with a camera that the engine takes to be worn as `mount` says, and with the
    depth that such a model would measure, where there is one."""
    clock, heard = VirtualClock(), list[Heard]()
    words = Words("en", "meters", "sides")
    next_id = itertools.count(1).__next__
    warner = AlertPolicy(words, rate_wpm, next_id)
    locator = Localizer(70.0, mount, None if depth is None else BoxHistory())
    deep = None if depth is None else Deep(walk, depth, FPS, f"depth/{seed}/{walk.name}")

    def on_heard(fate: Heard) -> None:
        heard.append(fate)
        warner.note_outcome(fate)

    audio = Audio(
        Voice(rate_wpm),
        next_id=next_id,
        on_started=lambda _utterance, _time_s: None,
        on_heard=on_heard,
        on_health=lambda _health: None,
    )
    eye = Eye(walk, noise, FPS, f"{seed}/{walk.name}")
    image = np.zeros((walk.camera.height, walk.camera.width, 3), np.uint8)
    played = Played(walk)
    about: dict[int, tuple[Utterance, Thing | None]] = {}
    seen_s: dict[Thing, list[float]] = {}
    for seq in range(round(walk.duration_s * FPS)):
        time_s = seq / FPS
        obstacles = locator.localize(Frame(image, time_s, seq, walk.told), eye.detect(time_s))
        measured = None if deep is None else deep.after(seq)
        if measured is not None:
            locator.update_heights(measured)
        advance(audio, Nowhere(), clock, time_s + PIPELINE_S)
        for utterance in warner.warn(obstacles, time_s + PIPELINE_S):
            about[utterance.id] = utterance, _meant(utterance, obstacles, eye)
            audio.say(utterance)
        for item in obstacles:
            thing = eye.things[item.track]
            if thing is not None:
                seen_s.setdefault(thing, []).append(time_s)
                played.estimates.append(_estimate(walk, thing, item, time_s))
    drain(audio, Nowhere(), clock)
    for fate in heard:
        utterance, thing = about[fate.utterance.id]
        all_clear = utterance.distance_m is None
        worth = _worth(walk, thing, utterance.queued_s, all_clear)
        played.alerts.append(Alert(fate, thing, worth, all_clear))
    played.hazards = _hazards(played, seen_s)
    return played


def _meant(utterance: Utterance, obstacles: tuple[Obstacle, ...], eye: Eye) -> Thing | None:
    """What an alert is about; it carries the distance and bearing of just one obstacle."""
    for item in obstacles:
        if (item.distance_m, item.bearing_deg) == (utterance.distance_m, utterance.azimuth_deg):
            return eye.things[item.track]
    return None


def _estimate(walk: Walk, thing: Thing, item: Obstacle, time_s: float) -> Estimate:
    return Estimate(
        walk.distance_m(thing, time_s),
        item,
        walk.bearing_deg(thing, time_s),
        walk.ttc_s(thing, time_s),
    )


def _in_the_way(walk: Walk, thing: Thing, time_s: float) -> bool:
    right_m, ahead_m = walk.place(thing, time_s)
    reach_m = HALF_CORRIDOR_M + thing.width_m / 2
    return ahead_m >= 0.0 and abs(right_m) <= reach_m and thing.bottom_m < 2.0


def _worth(walk: Walk, thing: Thing | None, time_s: float, all_clear: bool) -> bool:
    """Whether an alert of this moment helps: the thing is in the way, or will be very soon. An
    all-clear does where nothing stands in the way within NOTICE distance."""
    if all_clear:
        return not any(
            _in_the_way(walk, other, time_s) and walk.distance_m(other, time_s) <= 3.0
            for other in walk.things
        )
    if thing is None:
        return False
    moments = (time_s + SOON_S * step / 25 for step in range(26))
    return any(
        _in_the_way(walk, thing, at_s) and walk.distance_m(thing, at_s) <= WORTH_M
        for at_s in moments
    )


def _hazards(played: Played, seen_s: dict[Thing, list[float]]) -> list[Hazard]:
    hazards = []
    for thing in played.walk.things:
        contact_s = played.walk.contact_s(thing)
        if contact_s is None:
            continue
        looks = [time_s for time_s in seen_s.get(thing, []) if time_s < contact_s]
        first = next(
            (
                alert
                for alert in sorted(played.alerts, key=lambda a: a.heard.started_s or 0.0)
                if alert.thing is thing
                and alert.heard.started_s is not None
                and alert.heard.started_s < contact_s
            ),
            None,
        )
        visible_s = len(looks) / FPS
        hazards.append(Hazard(played.walk.name, thing, contact_s, visible_s, first))
    return hazards
