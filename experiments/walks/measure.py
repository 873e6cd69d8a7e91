"""Plays a walk through the engine's Localizer, AlertPolicy and Audio, in virtual time.

The pipeline and the voice take a fixed time each, so that the figures are the same on every
machine.
"""

import itertools
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from engine.alerts.policy import AlertPolicy
from engine.audio.playback import advance, drain
from engine.audio.scheduler import Audio
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.glance import Detection, Obstacle
from engine.core.sound import Samples
from engine.core.utterance import Heard, Utterance
from engine.language.wording import Words
from engine.perception.camera import Mount
from engine.perception.depth_prior import BoxHistory
from engine.perception.geometry import HALF_CORRIDOR_M
from engine.perception.localize import Localizer
from experiments.walks.depth import DepthNoise, SimulatedDepth
from experiments.walks.detector import Noise, SimulatedDetector
from experiments.walks.world import Thing, Walk

FPS = 15.0
PIPELINE_S = 0.08  # from a frame's capture until its alert is queued
STOP_S = 1.0  # after the last word, to understand it and to stand still
# An alert is justified if its object is in the corridor within RELEVANT_M, now or within HORIZON_S.
HORIZON_S = 5.0
RELEVANT_M = 6.0
VISIBLE_S = 1.0  # a hazard in view for less cannot be announced in time
FAR_M = 15.0  # farther distances do not matter on foot
MAX_TTC_S = 10.0


class TimedVoice:
    """Synthesises a tone as long as speech at `rate_wpm` would take."""

    sample_rate_hz = 8000

    def __init__(self, rate_wpm: int) -> None:
        self._word_s = 60.0 / rate_wpm

    def synthesise(self, text: str) -> Samples:
        seconds = self._word_s * len(text.split())
        return np.full(round(seconds * self.sample_rate_hz), 0.1, np.float32)

    def close(self) -> None: ...


class DiscardingSink:
    """A sink that discards all sound."""

    name = "nowhere"
    paced = False

    def write(self, block: Samples) -> None: ...

    def close(self) -> None: ...


class Detects(Protocol):
    """Detects the objects of a walk, as `SimulatedDetector` does."""

    things: dict[int, Thing | None]

    def detect(self, time_s: float) -> tuple[Detection, ...]: ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """A localised object and the truth about it."""

    true_m: float
    found: Obstacle
    true_deg: float
    true_ttc_s: float | None


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert and its outcome. `thing` is None for a false positive and for an all-clear, which is
    justified where nothing stands in the way."""

    heard: Heard
    thing: Thing | None
    justified: bool
    all_clear: bool


@dataclass(frozen=True, slots=True)
class Hazard:
    """An object that was walked into, and the first alert about it that was heard before contact."""

    walk: str
    thing: Thing
    contact_s: float
    visible_s: float  # how long it was in view before contact
    alert: Alert | None


@dataclass(slots=True)
class Played:
    """Everything measured on one walk."""

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
    words: Words | None = None,
    detector: Detects | None = None,
) -> Played:
    """Play `walk` once. The engine assumes the camera mount `mount`; with `depth`,
    it also gets the depth maps of a simulated model. `words` are English by default; `detector` is by
    default a `SimulatedDetector` that errs by `noise`."""
    clock, heard = VirtualClock(), list[Heard]()
    words = words or Words("en", "meters", "sides")
    next_id = itertools.count(1).__next__
    alerts = AlertPolicy(words, rate_wpm, next_id)
    localizer = Localizer(70.0, mount, None if depth is None else BoxHistory())
    depth_model = (
        None if depth is None else SimulatedDepth(walk, depth, FPS, f"depth/{seed}/{walk.name}")
    )

    def on_heard(result: Heard) -> None:
        heard.append(result)
        alerts.note_outcome(result)

    audio = Audio(
        TimedVoice(rate_wpm),
        next_id=next_id,
        on_started=lambda _utterance, _time_s: None,
        on_heard=on_heard,
        on_health=lambda _health: None,
    )
    detector = detector or SimulatedDetector(walk, noise, FPS, f"{seed}/{walk.name}")
    image = np.zeros((walk.camera.height, walk.camera.width, 3), np.uint8)
    played = Played(walk)
    about: dict[int, tuple[Utterance, Thing | None]] = {}
    seen_at_s: dict[Thing, list[float]] = {}
    for seq in range(round(walk.duration_s * FPS)):
        time_s = seq / FPS
        obstacles = localizer.localize(
            Frame(image, time_s, seq, walk.known_camera), detector.detect(time_s)
        )
        measured = None if depth_model is None else depth_model.after(seq)
        if measured is not None:
            localizer.update_heights(measured)
        advance(audio, DiscardingSink(), clock, time_s + PIPELINE_S)
        for utterance in alerts.warn(obstacles, time_s + PIPELINE_S):
            about[utterance.id] = utterance, _object_of(utterance, obstacles, detector)
            audio.say(utterance)
        for item in obstacles:
            thing = detector.things[item.track]
            if thing is not None:
                seen_at_s.setdefault(thing, []).append(time_s)
                played.estimates.append(_estimate(walk, thing, item, time_s))
    drain(audio, DiscardingSink(), clock)
    played.alerts = [_judged(walk, result, *about[result.utterance.id]) for result in heard]
    played.hazards = [
        _hazard(played, thing, contact_s, seen_at_s.get(thing, []))
        for thing in walk.things
        if (contact_s := walk.contact_s(thing)) is not None
    ]
    return played


def _object_of(
    utterance: Utterance, obstacles: tuple[Obstacle, ...], detector: Detects
) -> Thing | None:
    """The object of an alert, found by the obstacle's distance and bearing, which the alert copies."""
    for item in obstacles:
        if (item.distance_m, item.bearing_deg) == (utterance.distance_m, utterance.azimuth_deg):
            return detector.things[item.track]
    return None


def _judged(walk: Walk, result: Heard, utterance: Utterance, thing: Thing | None) -> Alert:
    all_clear = utterance.distance_m is None
    justified = _is_justified(walk, thing, utterance.queued_s, all_clear)
    return Alert(result, thing, justified, all_clear)


def _estimate(walk: Walk, thing: Thing, item: Obstacle, time_s: float) -> Estimate:
    return Estimate(
        walk.distance_m(thing, time_s),
        item,
        walk.bearing_deg(thing, time_s),
        walk.ttc_s(thing, time_s),
    )


def _in_corridor(walk: Walk, thing: Thing, time_s: float) -> bool:
    right_m, ahead_m = walk.place(thing, time_s)
    reach_m = HALF_CORRIDOR_M + thing.width_m / 2
    return ahead_m >= 0.0 and abs(right_m) <= reach_m and thing.bottom_m < 2.0


def _is_justified(walk: Walk, thing: Thing | None, time_s: float, all_clear: bool) -> bool:
    """Whether an alert at this time is useful: its object is in the corridor, or will be very soon.
    An all-clear is useful where nothing stands in the corridor within the notice distance."""
    if all_clear:
        return not any(
            _in_corridor(walk, other, time_s) and walk.distance_m(other, time_s) <= 3.0
            for other in walk.things
        )
    if thing is None:
        return False
    moments = (time_s + HORIZON_S * step / 25 for step in range(26))
    return any(
        _in_corridor(walk, thing, at_s) and walk.distance_m(thing, at_s) <= RELEVANT_M
        for at_s in moments
    )


def _hazard(played: Played, thing: Thing, contact_s: float, seen_at_s: list[float]) -> Hazard:
    alerts = [alert for alert in played.alerts if alert.thing is thing]
    heard = [
        (alert.heard.started_s, alert) for alert in alerts if alert.heard.started_s is not None
    ]
    before = [pair for pair in heard if pair[0] < contact_s]
    first = min(before, key=lambda pair: pair[0])[1] if before else None
    visible_s = sum(time_s < contact_s for time_s in seen_at_s) / FPS
    return Hazard(played.walk.name, thing, contact_s, visible_s, first)
