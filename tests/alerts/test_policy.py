"""What is worth an alert, how often, how urgent, and in how many words."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.alerts.level import NEAR_M, NOTICE_M
from engine.alerts.policy import AlertPolicy, AlertWords, PhraseLength
from engine.core.glance import Box, Obstacle, Side
from engine.core.utterance import Utterance
from engine.language.wording import Words
from engine.perception.classes import KINDS, kind_of
from engine.perception.localize import priority

LABELS = st.sampled_from([*KINDS, "never heard of"])
quickly = settings(deadline=None, max_examples=40)


class FakeWords:
    """Six, two or one word, as many as real phrases have."""

    def alert(self, obstacle: Obstacle, length: PhraseLength) -> str:
        return {
            "full": f"{obstacle.label} is {obstacle.side}, {obstacle.distance_m:.0f} meters off",
            "short": f"{obstacle.label} {obstacle.side}",
            "shortest": f"{obstacle.side}!",
        }[length]

    def status(self, key: str) -> str:
        return key.replace("_", " ")


def make_warner(rate_wpm: int = 190) -> AlertPolicy:
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


def at(right_m: float, ahead_m: float, ttc_s: float | None = None, **others: object) -> Obstacle:
    bearing = math.degrees(math.atan2(right_m, ahead_m))
    return obstacle(
        distance_m=math.hypot(right_m, ahead_m),
        bearing_deg=bearing,
        ttc_s=ttc_s,
        **others,  # type: ignore[arg-type]
    )


def play(
    warner: AlertPolicy,
    scene: Callable[[float], tuple[Obstacle, ...]],
    until_s: float,
    start_s: float = 0.0,
    fps: int = 15,
) -> list[Utterance]:
    """All alerts of `scene`, which gives the obstacles at a time in seconds."""
    heard: list[Utterance] = []
    for index in range(int((until_s - start_s) * fps) + 1):
        now_s = start_s + index / fps
        heard.extend(warner.warn(scene(now_s), now_s))
    return heard


def approach(start_m: float, speed_m_s: float, **others: object) -> Callable[..., tuple[Obstacle]]:
    def scene(now_s: float) -> tuple[Obstacle]:
        away_m = max(0.3, start_m - speed_m_s * now_s)
        return (at(0.0, away_m, away_m / speed_m_s, **others),)

    return scene


def test_real_words_fit() -> None:
    words: AlertWords = Words("en", "meters", "sides")
    (alert,) = AlertPolicy(words, 190, lambda: 7).warn((obstacle(distance_m=2.0),), 0.0)
    assert (alert.text, alert.id) == ("Person ahead, two meters.", 7)


@pytest.mark.parametrize(
    ("item", "worth"),
    [
        (obstacle(distance_m=3.9), True),
        (obstacle("chair", 2.0), True),
        (obstacle("chair", 1.2), True),  # furniture near by was silent once
        (obstacle(distance_m=4.5), False),  # far, and stands
        (obstacle(distance_m=9.0, ttc_s=9.0), False),  # comes, but there is time
        (obstacle("car", 15.0, ttc_s=2.5), True),  # far, but soon here
        (at(2.5, 3.0), False),  # beside the way
        (at(2.5, 3.0, 1.0), False),  # passes beside the way
        (at(-0.6, 1.0), True),  # 31 degrees off, but its shoulder is in the way
        (replace(at(-2.5, 3.0, label="bus"), side="ahead"), True),  # spans the way
    ],
)
def test_what_is_worth_an_alert(item: Obstacle, worth: bool) -> None:
    assert bool(make_warner().warn((item,), 0.0)) is worth


@quickly
@given(label=LABELS, distance_m=st.floats(0.2, NOTICE_M), ttc_s=st.none() | st.floats(0.05, 30))
def test_every_kind_is_announced_and_in_words(
    label: str, distance_m: float, ttc_s: float | None
) -> None:
    (alert,) = make_warner().warn((obstacle(label, distance_m, 0.0, ttc_s),), 10.0)
    assert alert.text.strip()
    assert alert.kind == "alert"
    assert alert.queued_s == 10.0
    assert alert.deadline_s is not None
    assert alert.deadline_s > 10.0
    critical = ttc_s is not None and ttc_s <= 2.0
    assert alert.earcon == ("urgent" if critical else "obstacle")
    assert 70 <= alert.priority <= 100 if critical else 30 <= alert.priority <= 60


@quickly
@given(
    items=st.lists(
        st.builds(
            obstacle,
            label=LABELS,
            distance_m=st.floats(0.2, 12),
            bearing_deg=st.floats(-60, 60),
            ttc_s=st.none() | st.floats(0.1, 10),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_an_unchanged_picture_says_each_thing_once_at_most(items: list[Obstacle]) -> None:
    picture = tuple(replace(item, track=number) for number, item in enumerate(items))
    heard, again = (play(make_warner(), lambda _: picture, 40.0, fps=5) for _ in range(2))
    assert len(heard) <= len(picture)
    assert max(Counter(alert.queued_s for alert in heard).values(), default=0) <= 2
    assert heard == again  # deterministic


@quickly
@given(
    right_m=st.floats(1.8, 6), ahead_m=st.floats(1, 6), away=st.floats(0.1, 3), left=st.booleans()
)
def test_silent_about_what_moves_away_beside_the_way(
    right_m: float, ahead_m: float, away: float, left: bool
) -> None:
    sign = -1 if left else 1
    heard = play(make_warner(), lambda t: (at(sign * (right_m + away * t), ahead_m + t),), 5.0)
    assert heard == []


@pytest.mark.parametrize("mean_m", [NEAR_M, 2.5, NOTICE_M])
def test_jitter_does_not_repeat_an_alert(mean_m: float) -> None:
    dice = random.Random(5)
    warner = make_warner()
    heard = play(warner, lambda _: (obstacle(distance_m=mean_m * dice.gauss(1, 0.05)),), 60.0)
    assert len(heard) == 1


def test_a_walk_towards_a_person_warns_in_time_and_twice_at_most() -> None:
    heard = play(make_warner(), approach(12.0, 1.4), 8.3)
    assert 1 <= len(heard) <= 2
    first, last = heard[0], heard[-1]
    needed_s = make_warner().speaking_s(first.text)
    assert 12.0 / 1.4 - first.queued_s > needed_s + 1.0  # said, and a second left to stop
    assert 12.0 / 1.4 - first.queued_s < needed_s + 3.0  # but not long before it matters
    assert last.earcon == "urgent"


def test_a_slow_voice_warns_earlier() -> None:
    slow, fast = (play(make_warner(rate), approach(12.0, 1.4), 8.0)[0] for rate in (120, 450))
    assert slow.queued_s < fast.queued_s


@pytest.mark.parametrize(
    ("ttc_s", "rate_wpm", "words"),
    [(8.0, 190, 6), (2.5, 190, 2), (2.0, 190, 1), (0.2, 190, 1), (2.5, 450, 6)],
)
def test_the_phrase_fits_the_time_left(ttc_s: float, rate_wpm: int, words: int) -> None:
    (alert,) = make_warner(rate_wpm).warn((obstacle(distance_m=3.0, ttc_s=ttc_s),), 0.0)
    assert len(alert.text.split()) == words


def test_critical_goes_stale_sooner_and_outranks() -> None:
    for distance_m, ttc_s in itertools.product((0.5, 3.0, 20.0), (None, 2.5, 6.0)):
        calm = make_warner().warn((obstacle(distance_m=distance_m, ttc_s=ttc_s),), 0.0)
        (urgent,) = make_warner().warn((obstacle(distance_m=distance_m, ttc_s=1.0),), 0.0)
        for alert in calm:
            assert urgent.deadline_s is not None
            assert alert.deadline_s is not None
            assert urgent.deadline_s < alert.deadline_s
            assert urgent.priority >= 70 > alert.priority


@pytest.mark.parametrize("label", ["chair", "bench", "potted plant", "never heard of"])
@pytest.mark.parametrize("ttc_s", [None, 1.5, 2.5])
def test_a_person_goes_first_at_equal_time(label: str, ttc_s: float | None) -> None:
    person = obstacle("person", 3.0, 5.0, ttc_s, track=1)
    other = obstacle(label, 3.0, -5.0, ttc_s, track=2)
    heard = make_warner().warn((other, person), 0.0)
    assert [alert.azimuth_deg for alert in heard] == [5.0, -5.0]
    assert heard[0].priority > heard[1].priority


def test_nearest_first_and_two_at_most_then_the_rest_in_turn() -> None:
    labels = ("chair", "bench", "dog", "person")
    picture = tuple(
        obstacle(label, 3.6 - 0.8 * i, track=i) for i, label in enumerate(labels)
    )  # the person is the nearest
    warner = make_warner()
    heard = warner.warn(picture, 0.0)
    assert [alert.distance_m for alert in heard] == pytest.approx([1.2, 2.0])
    assert warner.warn(picture, 0.1) == ()  # they are still being said
    later = play(warner, lambda _: picture, 20.0, start_s=0.2)
    assert sorted(a.distance_m or 0 for a in later) == pytest.approx([2.8, 3.6])


def test_a_critical_alert_does_not_wait_for_its_turn() -> None:
    warner = make_warner()
    assert warner.warn((obstacle("chair", 3.0),), 0.0)
    car = obstacle("car", 6.0, ttc_s=1.0, track=2)
    (alert,) = warner.warn((obstacle("chair", 3.0), car), 0.1)
    assert alert.earcon == "urgent"


def test_a_new_number_is_not_a_new_thing() -> None:
    heard = play(make_warner(), lambda t: (obstacle(track=int(t * 2)),), 60.0)
    assert len(heard) == 1
    lost = play(make_warner(), lambda t: () if 1 < t < 4 else (obstacle(track=int(t)),), 9.0)
    assert len(lost) == 1


def test_a_nearer_second_one_is_news() -> None:
    far, near = obstacle(distance_m=3.8, track=1), obstacle(distance_m=1.8, track=2)
    heard = play(make_warner(), lambda t: (far, near) if t > 4 else (far,), 10.0)
    assert [alert.distance_m for alert in heard] == [3.8, 1.8]


def test_a_crowd_is_said_once() -> None:
    crowd = tuple(obstacle(distance_m=2.5 + i / 10, bearing_deg=i, track=i) for i in range(8))
    assert len(play(make_warner(), lambda _: crowd, 30.0)) == 1


def test_said_again_after_it_was_truly_gone() -> None:
    def comes_and_goes(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle(distance_m=3.0 if now_s < 3 or now_s > 20 else 7.0),)

    assert len(play(make_warner(), comes_and_goes, 30.0)) == 2


@pytest.mark.parametrize(("far_m", "most"), [(4.8, 1), (7.0, 8)])
def test_coming_and_going_is_not_repeated_each_time(far_m: float, most: int) -> None:
    """Every 3 s; only truly gone is gone, and then there is still the cooldown."""
    come_and_go = (obstacle(distance_m=3.0),), (obstacle(distance_m=far_m),)
    assert len(play(make_warner(), lambda t: come_and_go[int(t / 3) % 2], 60.0)) <= most


def test_what_moves_into_the_way_is_said_and_what_keeps_beside_it_is_not() -> None:
    """Both come at 1.4 m/s; a constant bearing is a collision course, a constant offset is not."""

    def crossing(now_s: float) -> tuple[Obstacle, ...]:
        left_s = 5.0 - now_s
        return (at(0.9 * left_s, 1.4 * left_s, left_s, label="bicycle"),)

    def passing(now_s: float) -> tuple[Obstacle, ...]:
        return (at(2.0, 1.4 * (5.0 - now_s), 5.0 - now_s, label="bicycle"),)

    heard = play(make_warner(), crossing, 4.5)
    assert heard
    assert heard[0].queued_s < 2.5
    assert play(make_warner(), passing, 4.5) == []


def test_alternating_urgency_is_bounded() -> None:
    """A time to collision that comes and goes with noise must not nag."""

    def flicker(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle(ttc_s=1.8 if int(now_s * 5) % 2 else None),)

    assert len(play(make_warner(), flicker, 60.0)) <= 2


def test_memory_is_bounded_and_reset_forgets() -> None:
    warner = make_warner()
    for index in range(2000):
        warner.warn(
            (obstacle(track=index), obstacle(f"thing {index}", track=-index - 1)), index / 15
        )
    assert len(warner.memory.tracks) < 200
    assert len(warner.memory.groups) < 200
    warner.reset()
    assert len(warner.warn((obstacle(track=1),), 0.0)) == 1
