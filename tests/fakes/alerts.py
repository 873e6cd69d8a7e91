"""Alerts for tests: words of known length, obstacles in metres, scenes for a policy."""

import itertools
import math
from collections.abc import Callable

from engine.alerts.policy import AlertPolicy, PhraseLength
from engine.core.glance import Box, Obstacle, Side
from engine.core.utterance import Utterance
from engine.perception.classes import kind_of
from engine.perception.localize import priority

Scene = Callable[[float], tuple[Obstacle, ...]]  # the obstacles at a time in seconds


class FakeWords:
    """Six, two or one word, like real phrases."""

    def alert(self, obstacle: Obstacle, length: PhraseLength) -> str:
        return {
            "full": f"{obstacle.label} is {obstacle.side}, {obstacle.distance_m:.0f} meters off",
            "short": f"{obstacle.label} {obstacle.side}",
            "shortest": f"{obstacle.label}!",
        }[length]

    def status(self, key: str) -> str:
        return key.replace("_", " ")


def make_policy(rate_wpm: int = 190) -> AlertPolicy:
    return AlertPolicy(FakeWords(), rate_wpm, itertools.count(1).__next__)


def obstacle(
    label: str = "person",
    distance_m: float = 3.0,
    bearing_deg: float = 0.0,
    ttc_s: float | None = None,
    track: int = 1,
) -> Obstacle:
    side: Side = "ahead" if abs(bearing_deg) <= 12 else "left" if bearing_deg < 0 else "right"
    urgency = priority(distance_m, side == "ahead", ttc_s, kind_of(label).hazard)
    box = Box(100, 100, 200, 300)
    return Obstacle(track, label, 0.9, box, distance_m, 0.3, bearing_deg, side, ttc_s, urgency)


def obstacle_at(
    right_m: float, ahead_m: float, ttc_s: float | None = None, **others: object
) -> Obstacle:
    bearing = math.degrees(math.atan2(right_m, ahead_m))
    return obstacle(
        distance_m=math.hypot(right_m, ahead_m),
        bearing_deg=bearing,
        ttc_s=ttc_s,
        **others,  # type: ignore[arg-type]
    )


def play(
    policy: AlertPolicy,
    scene: Scene,
    until_s: float,
    start_s: float = 0.0,
    fps: int = 15,
) -> list[Utterance]:
    """All utterances that a policy raises in a scene."""
    raised: list[Utterance] = []
    for index in range(int((until_s - start_s) * fps) + 1):
        now_s = start_s + index / fps
        raised.extend(policy.warn(scene(now_s), now_s))
    return raised


def approach(start_m: float, speed_m_s: float, **others: object) -> Scene:
    """A person walked up to at constant speed."""

    def scene(now_s: float) -> tuple[Obstacle, ...]:
        away_m = max(0.3, start_m - speed_m_s * now_s)
        return (obstacle_at(0.0, away_m, away_m / speed_m_s, **others),)

    return scene
