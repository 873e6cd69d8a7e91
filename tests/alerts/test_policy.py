"""Which obstacles are announced, how often, how urgently and in how many words."""

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.alerts.level import NEAR_M, NOTICE_M
from engine.alerts.policy import AlertPolicy, AlertWords
from engine.core.glance import Obstacle
from engine.language.wording import Words
from engine.perception.classes import KINDS
from tests.fakes.alerts import approach, make_policy, obstacle, obstacle_at, play

LABELS = st.sampled_from([*KINDS, "never heard of"])
few_examples = settings(deadline=None, max_examples=40)


def test_the_real_words_implement_alert_words() -> None:
    words: AlertWords = Words("en", "meters", "sides")
    (alert,) = AlertPolicy(words, 190, lambda: 7).warn((obstacle(distance_m=2.0),), 0.0)
    assert (alert.text, alert.id) == ("Person ahead, two meters.", 7)


@pytest.mark.parametrize(
    ("item", "worth"),
    [
        (obstacle(distance_m=3.9), True),
        (obstacle("chair", 2.0), True),
        (obstacle("chair", 1.2), True),  # nearby furniture was once not announced
        (obstacle(distance_m=4.5), False),  # far away and standing
        (obstacle(distance_m=9.0, ttc_s=9.0), False),  # approaching, but there is time
        (obstacle("car", 15.0, ttc_s=2.5), True),  # far away, but fast
        (obstacle_at(2.5, 3.0), False),  # beside the corridor
        (obstacle_at(2.5, 3.0, 1.0), False),  # passes beside the corridor
        (obstacle_at(-0.6, 1.0), True),  # at 31 degrees, but its shoulder is in the corridor
        # extends across the corridor
        (replace(obstacle_at(-2.5, 3.0, label="bus"), side="ahead"), True),
    ],
)
def test_which_obstacles_are_announced(item: Obstacle, worth: bool) -> None:
    assert bool(make_policy().warn((item,), 0.0)) is worth


@few_examples
@given(label=LABELS, distance_m=st.floats(0.2, NOTICE_M), ttc_s=st.none() | st.floats(0.05, 30))
def test_every_kind_ahead_is_announced_with_a_text_and_an_earcon(
    label: str, distance_m: float, ttc_s: float | None
) -> None:
    (alert,) = make_policy().warn((obstacle(label, distance_m, 0.0, ttc_s),), 10.0)
    assert alert.text.strip()
    assert alert.kind == "alert"
    assert alert.queued_s == 10.0
    assert alert.deadline_s is not None
    assert alert.deadline_s > 10.0
    critical = ttc_s is not None and ttc_s <= 2.0
    assert alert.earcon == ("urgent" if critical else "obstacle")
    assert 70 <= alert.priority <= 100 if critical else 30 <= alert.priority <= 60


@few_examples
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
def test_an_unchanged_scene_announces_each_obstacle_at_most_once(items: list[Obstacle]) -> None:
    scene = tuple(replace(item, track=number) for number, item in enumerate(items))
    alerts, again = (play(make_policy(), lambda _: scene, 40.0, fps=5) for _ in range(2))
    assert len(alerts) <= len(scene)
    assert max(Counter(alert.queued_s for alert in alerts).values(), default=0) <= 2
    assert alerts == again  # deterministic


@few_examples
@given(
    right_m=st.floats(1.8, 6), ahead_m=st.floats(1, 6), away=st.floats(0.1, 3), left=st.booleans()
)
def test_an_obstacle_that_moves_away_beside_the_corridor_is_not_announced(
    right_m: float, ahead_m: float, away: float, left: bool
) -> None:
    sign = -1 if left else 1
    alerts = play(
        make_policy(), lambda t: (obstacle_at(sign * (right_m + away * t), ahead_m + t),), 5.0
    )
    assert alerts == []


@pytest.mark.parametrize("mean_m", [NEAR_M, 2.5, NOTICE_M])
def test_jitter_does_not_repeat_an_alert(mean_m: float) -> None:
    rng = random.Random(5)
    policy = make_policy()
    alerts = play(policy, lambda _: (obstacle(distance_m=mean_m * rng.gauss(1, 0.05)),), 60.0)
    assert len(alerts) == 1


def test_a_walk_towards_a_person_warns_in_time_and_at_most_twice() -> None:
    alerts = play(make_policy(), approach(12.0, 1.4), 8.3)
    assert 1 <= len(alerts) <= 2
    first, last = alerts[0], alerts[-1]
    needed_s = make_policy().speaking_s(first.text)
    assert 12.0 / 1.4 - first.queued_s > needed_s + 1.0  # announced with a second left to stop
    assert 12.0 / 1.4 - first.queued_s < needed_s + 3.0  # but not long before
    assert last.earcon == "urgent"


def test_a_slow_speech_rate_warns_earlier() -> None:
    slow, fast = (play(make_policy(rate), approach(12.0, 1.4), 8.0)[0] for rate in (120, 450))
    assert slow.queued_s < fast.queued_s


@pytest.mark.parametrize(
    ("ttc_s", "rate_wpm", "words"),
    [
        (8.0, 190, 6),
        (2.5, 190, 2),
        (
            2.1,
            190,
            2,
        ),  # too late for two words, but not critical: only a critical one drops its side
        (2.0, 190, 1),
        (0.2, 190, 1),
        (2.5, 450, 6),
    ],
)
def test_the_phrase_fits_the_time_left(ttc_s: float, rate_wpm: int, words: int) -> None:
    (alert,) = make_policy(rate_wpm).warn((obstacle(distance_m=3.0, ttc_s=ttc_s),), 0.0)
    assert len(alert.text.split()) == words


def test_a_critical_alert_goes_stale_sooner_and_has_a_higher_priority() -> None:
    for distance_m, ttc_s in itertools.product((0.5, 3.0, 20.0), (None, 2.5, 6.0)):
        calm = make_policy().warn((obstacle(distance_m=distance_m, ttc_s=ttc_s),), 0.0)
        (urgent,) = make_policy().warn((obstacle(distance_m=distance_m, ttc_s=1.0),), 0.0)
        for alert in calm:
            assert urgent.deadline_s is not None
            assert alert.deadline_s is not None
            assert urgent.deadline_s < alert.deadline_s
            assert urgent.priority >= 70 > alert.priority


@pytest.mark.parametrize("label", ["chair", "bench", "potted plant", "never heard of"])
@pytest.mark.parametrize("ttc_s", [None, 1.5, 2.5])
def test_a_person_precedes_furniture_at_equal_time(label: str, ttc_s: float | None) -> None:
    person = obstacle("person", 3.0, 5.0, ttc_s, track=1)
    other = obstacle(label, 3.0, -5.0, ttc_s, track=2)
    alerts = make_policy().warn((other, person), 0.0)
    assert [alert.azimuth_deg for alert in alerts] == [5.0, -5.0]
    assert alerts[0].priority > alerts[1].priority


def test_the_nearest_two_are_announced_first_and_the_rest_later() -> None:
    labels = ("chair", "bench", "dog", "person")
    scene = tuple(
        obstacle(label, 3.6 - 0.8 * i, track=i) for i, label in enumerate(labels)
    )  # the person is nearest
    policy = make_policy()
    alerts = policy.warn(scene, 0.0)
    assert [alert.distance_m for alert in alerts] == pytest.approx([1.2, 2.0])
    assert policy.warn(scene, 0.1) == ()  # they are still being spoken
    later = play(policy, lambda _: scene, 20.0, start_s=0.2)
    assert sorted(a.distance_m or 0 for a in later) == pytest.approx([2.8, 3.6])


def test_a_critical_alert_does_not_wait_for_another_to_end() -> None:
    policy = make_policy()
    assert policy.warn((obstacle("chair", 3.0),), 0.0)
    car = obstacle("car", 6.0, ttc_s=1.0, track=2)
    (alert,) = policy.warn((obstacle("chair", 3.0), car), 0.1)
    assert alert.earcon == "urgent"


def test_a_new_track_number_is_not_a_new_object() -> None:
    alerts = play(make_policy(), lambda t: (obstacle(track=int(t * 2)),), 60.0)
    assert len(alerts) == 1
    lost = play(make_policy(), lambda t: () if 1 < t < 4 else (obstacle(track=int(t)),), 9.0)
    assert len(lost) == 1


def test_a_second_nearer_object_is_announced() -> None:
    far, near = obstacle(distance_m=3.8, track=1), obstacle(distance_m=1.8, track=2)
    alerts = play(make_policy(), lambda t: (far, near) if t > 4 else (far,), 10.0)
    assert [alert.distance_m for alert in alerts] == [3.8, 1.8]


def test_a_crowd_is_announced_once() -> None:
    crowd = tuple(obstacle(distance_m=2.5 + i / 10, bearing_deg=i, track=i) for i in range(8))
    assert len(play(make_policy(), lambda _: crowd, 30.0)) == 1


def test_an_object_that_was_gone_for_long_is_announced_again() -> None:
    def comes_and_goes(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle(distance_m=3.0 if now_s < 3 or now_s > 20 else 7.0),)

    assert len(play(make_policy(), comes_and_goes, 30.0)) == 2


@pytest.mark.parametrize(("far_m", "most"), [(4.8, 1), (7.0, 8)])
def test_an_object_that_comes_and_goes_is_not_announced_each_time(far_m: float, most: int) -> None:
    """Every 3 s. Slightly farther does not count as gone, and after that there is a cooldown."""
    come_and_go = (obstacle(distance_m=3.0),), (obstacle(distance_m=far_m),)
    assert len(play(make_policy(), lambda t: come_and_go[int(t / 3) % 2], 60.0)) <= most


def test_a_crossing_bicycle_is_announced_and_a_passing_one_is_not() -> None:
    """Both approach at 1.4 m/s. A constant bearing means collision, a constant offset does not."""

    def crossing(now_s: float) -> tuple[Obstacle, ...]:
        left_s = 5.0 - now_s
        return (obstacle_at(0.9 * left_s, 1.4 * left_s, left_s, label="bicycle"),)

    def passing(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle_at(2.0, 1.4 * (5.0 - now_s), 5.0 - now_s, label="bicycle"),)

    alerts = play(make_policy(), crossing, 4.5)
    assert alerts
    assert alerts[0].queued_s < 2.5
    assert play(make_policy(), passing, 4.5) == []


def test_an_alternating_time_to_collision_gives_few_alerts() -> None:
    """A time to collision that comes and goes with noise must not repeat the alert."""

    def flicker(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle(ttc_s=1.8 if int(now_s * 5) % 2 else None),)

    assert len(play(make_policy(), flicker, 60.0)) <= 2


def test_memory_is_bounded_and_reset_forgets() -> None:
    policy = make_policy()
    for index in range(2000):
        policy.warn(
            (obstacle(track=index), obstacle(f"thing {index}", track=-index - 1)), index / 15
        )
    assert len(policy.memory.tracks) < 200
    assert len(policy.memory.groups) < 200
    policy.reset()
    assert len(policy.warn((obstacle(track=1),), 0.0)) == 1


def test_the_way_is_clear_only_after_a_while_without_obstacles_and_with_a_good_camera() -> None:
    policy = make_policy()
    assert not policy.way_is_clear  # no frame has been seen
    policy.warn((), 0.0)
    assert policy.way_is_clear
    policy.warn((obstacle(distance_m=2.0),), 0.1)
    assert not policy.way_is_clear
    policy.warn((), 1.0)  # the detector may have missed it
    assert not policy.way_is_clear
    policy.warn((), 2.2)
    assert policy.way_is_clear
    policy.warn((), 2.3, camera_is_good=False)
    assert not policy.way_is_clear
    policy.warn((obstacle(distance_m=9.0),), 2.4)  # too far to be in the way
    assert policy.way_is_clear
    policy.reset()
    assert not policy.way_is_clear
