"""When an alert is repeated, when the all-clear is given, and the heartbeat."""

import pytest

from engine.alerts.policy import AlertPolicy
from engine.core.glance import Obstacle
from engine.core.utterance import Drop, Heard, Utterance
from tests.fakes.alerts import FakeWords, Scene, approach, make_policy, obstacle, obstacle_at, play

CLEAR = "way clear"


def texts(alerts: list[Utterance]) -> list[str]:
    return [alert.text for alert in alerts]


def blocked_until(end_s: float, then: tuple[Obstacle, ...] = ()) -> Scene:
    """A person stands 2.5 m ahead until `end_s`; after that the scene is `then`."""
    return lambda now_s: (obstacle(distance_m=2.5),) if now_s < end_s else then


@pytest.mark.parametrize(
    "then",
    [
        (),  # out of view
        (obstacle_at(2.5, 2.5),),  # stepped aside
        (obstacle(distance_m=9.0),),  # walked on
    ],
)
def test_the_all_clear_is_given_once_when_a_blocked_corridor_is_empty(
    then: tuple[Obstacle, ...],
) -> None:
    alerts = play(make_policy(), blocked_until(8.0, then), 30.0)
    assert texts(alerts) == ["person is ahead, 2 meters off", CLEAR]
    assert 10.0 <= alerts[1].queued_s <= 10.2
    assert alerts[1].priority <= min(30.0, alerts[0].priority)
    assert alerts[1].earcon is None


@pytest.mark.parametrize(
    "scene",
    [
        blocked_until(1.0),  # blocked only briefly
        blocked_until(100.0),  # still blocked
        lambda now_s: (obstacle(distance_m=2.5, track=int(now_s * 3)),),  # new track numbers
        lambda now_s: (obstacle(distance_m=1.2),) if now_s < 8 else (),  # maybe at the feet
        lambda now_s: (obstacle_at(2.5, 2.5),) if now_s < 8 else (),  # never in the corridor
        lambda now_s: (obstacle(distance_m=4.5),) if now_s < 8 else (),  # not announced
        approach(12.0, 1.4),  # walked up to
    ],
)
def test_no_all_clear_without_a_reason(scene: Scene) -> None:
    assert CLEAR not in texts(play(make_policy(), scene, 25.0))


def test_no_all_clear_while_the_camera_is_bad() -> None:
    policy, scene = make_policy(), blocked_until(8.0)
    alerts = [policy.warn(scene(i / 15), i / 15, camera_is_good=i / 15 < 8.0) for i in range(300)]
    assert [alert.text for alerts in alerts for alert in alerts] == [
        "person is ahead, 2 meters off"
    ]


def test_an_obstacle_in_a_nearer_distance_band_is_announced_again() -> None:
    def steps(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle(distance_m=3.8 if now_s < 5 else 2.4 if now_s < 10 else 1.4),)

    def closer(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle(distance_m=1.4 if now_s < 5 else 0.6),)

    assert [a.distance_m for a in play(make_policy(), steps, 20.0)] == [3.8, 1.4]
    assert [a.distance_m for a in play(make_policy(), closer, 20.0)] == [1.4, 0.6]


def test_an_obstacle_that_crosses_the_centre_line_is_announced_again() -> None:
    def crosses(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle_at(-0.7 if now_s < 5 else 0.7, 2.0),)

    def sways(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle_at(-0.3 if int(now_s) % 2 else 0.3, 2.0),)

    assert [alert.text for alert in play(make_policy(), crosses, 20.0)] == [
        "person is left, 2 meters off",
        "person is right, 2 meters off",
    ]
    assert len(play(make_policy(), sways, 40.0)) == 1


def test_an_obstacle_that_starts_to_approach_is_announced_again() -> None:
    def rushes(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle("bicycle", 3.9, ttc_s=None if now_s < 5 else 3.0),)

    assert len(play(make_policy(), rushes, 20.0)) == 2


@pytest.mark.parametrize(("dropped", "times"), [("stale", 2), ("superseded", 1), (None, 1)])
def test_only_an_alert_that_went_stale_is_raised_again(dropped: Drop | None, times: int) -> None:
    policy, scene = make_policy(), (obstacle(distance_m=3.0),)
    (alert,) = policy.warn(scene, 0.0)
    policy.note_outcome(Heard(alert, None, None, dropped))
    alerts = play(policy, lambda _: scene, 20.0, start_s=0.1)
    assert len([alert, *alerts]) == times


def test_a_second_person_is_announced_although_the_first_one_was() -> None:
    """The first one passes close by; the wearer then walks up to the second one behind."""

    def scene(now_s: float) -> tuple[Obstacle, ...]:
        first = () if now_s > 1.5 else (obstacle_at(0.3, 3.0 - 1.4 * now_s, 1.6, track=1),)
        left_s = (8.0 - 1.4 * now_s) / 1.4
        return (*first, obstacle_at(0.0, 1.4 * left_s, left_s, track=2))

    alerts = play(make_policy(), scene, 5.6)
    assert alerts[-1].earcon == "urgent"
    assert alerts[-1].queued_s > 3.0


def ticks(heartbeat_s: float | None, scene: Scene, camera_is_good: bool = True) -> list[float]:
    ids = iter(range(10_000))
    policy = AlertPolicy(FakeWords(), 190, ids.__next__, heartbeat_s)
    alerts = [u for i in range(600) for u in policy.warn(scene(i / 10), i / 10, camera_is_good)]
    return [u.queued_s for u in alerts if u.earcon == "tick"]


def test_a_tick_follows_a_long_silence_if_asked_for() -> None:
    assert ticks(None, lambda _: ()) == []
    assert ticks(20.0, lambda _: ()) == pytest.approx([20.0, 40.0], abs=0.11)
    assert ticks(20.0, lambda _: (), camera_is_good=False) == []
    assert ticks(20.0, lambda t: (obstacle(distance_m=3.0),) if t > 12 else ()) == pytest.approx(
        [32.1, 52.1], abs=0.2
    )
