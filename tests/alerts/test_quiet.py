"""When an alert is said again, when a way is free again, and what breaks a long silence."""

from collections.abc import Callable

import pytest

from engine.alerts.policy import AlertPolicy
from engine.core.glance import Obstacle
from engine.core.utterance import Drop, Heard, Utterance
from tests.alerts.test_policy import FakeWords, approach, at, make_warner, obstacle, play

CLEAR = "way clear"
Scene = Callable[[float], tuple[Obstacle, ...]]


def texts(alerts: list[Utterance]) -> list[str]:
    return [alert.text for alert in alerts]


def bars_until(left_s: float, then: tuple[Obstacle, ...] = ()) -> Scene:
    """A person stands 2.5 m ahead, and then something else is so."""
    return lambda now_s: (obstacle(distance_m=2.5),) if now_s < left_s else then


@pytest.mark.parametrize(
    "then",
    [
        (),  # gone from sight
        (at(2.5, 2.5),),  # stepped aside
        (obstacle(distance_m=9.0),),  # walked on
    ],
)
def test_a_way_that_was_barred_and_is_free_is_said_once(then: tuple[Obstacle, ...]) -> None:
    heard = play(make_warner(), bars_until(8.0, then), 30.0)
    assert texts(heard) == ["person is ahead, 2 meters off", CLEAR]
    assert 10.0 <= heard[1].queued_s <= 10.2
    assert heard[1].priority <= min(30.0, heard[0].priority)
    assert heard[1].earcon is None


@pytest.mark.parametrize(
    "scene",
    [
        bars_until(1.0),  # it only passed
        bars_until(100.0),  # it is still there
        lambda now_s: (obstacle(distance_m=2.5, track=int(now_s * 3)),),  # as another number
        lambda now_s: (obstacle(distance_m=1.2),) if now_s < 8 else (),  # at the feet, out of sight
        lambda now_s: (at(2.5, 2.5),) if now_s < 8 else (),  # it was never in the way
        lambda now_s: (obstacle(distance_m=4.5),) if now_s < 8 else (),  # nor was it announced
        approach(12.0, 1.4),  # walked up to
    ],
)
def test_no_other_way_is_said_to_be_free(scene: Scene) -> None:
    assert CLEAR not in texts(play(make_warner(), scene, 25.0))


def test_no_way_is_free_that_nobody_sees() -> None:
    warner, scene = make_warner(), bars_until(8.0)
    heard = [warner.warn(scene(i / 15), i / 15, camera_is_good=i / 15 < 8.0) for i in range(300)]
    assert [alert.text for alerts in heard for alert in alerts] == ["person is ahead, 2 meters off"]


def test_what_comes_nearer_by_a_band_is_said_again_and_within_a_band_it_is_not() -> None:
    def steps(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle(distance_m=3.8 if now_s < 5 else 2.4 if now_s < 10 else 1.4),)

    def closer(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle(distance_m=1.4 if now_s < 5 else 0.6),)

    assert [a.distance_m for a in play(make_warner(), steps, 20.0)] == [3.8, 1.4]
    assert [a.distance_m for a in play(make_warner(), closer, 20.0)] == [1.4, 0.6]


def test_what_crosses_the_path_is_said_again_on_its_new_side() -> None:
    def crosses(now_s: float) -> tuple[Obstacle, ...]:
        return (at(-0.7 if now_s < 5 else 0.7, 2.0),)

    def sways(now_s: float) -> tuple[Obstacle, ...]:
        return (at(-0.3 if int(now_s) % 2 else 0.3, 2.0),)

    assert [alert.text for alert in play(make_warner(), crosses, 20.0)] == [
        "person is left, 2 meters off",
        "person is right, 2 meters off",
    ]
    assert len(play(make_warner(), sways, 40.0)) == 1


def test_what_comes_faster_is_said_again() -> None:
    def rushes(now_s: float) -> tuple[Obstacle, ...]:
        return (obstacle("bicycle", 3.9, ttc_s=None if now_s < 5 else 3.0),)

    assert len(play(make_warner(), rushes, 20.0)) == 2


@pytest.mark.parametrize(("dropped", "times"), [("stale", 2), ("superseded", 1), (None, 1)])
def test_what_was_too_late_to_be_heard_is_raised_again(dropped: Drop | None, times: int) -> None:
    warner, picture = make_warner(), (obstacle(distance_m=3.0),)
    (alert,) = warner.warn(picture, 0.0)
    warner.note_outcome(Heard(alert, None, None, dropped))
    heard = play(warner, lambda _: picture, 20.0, start_s=0.1)
    assert len([alert, *heard]) == times


def test_a_second_person_is_not_silenced_by_what_was_said_of_the_first() -> None:
    """The first one passes close by; the second stands behind, and is walked up to."""

    def scene(now_s: float) -> tuple[Obstacle, ...]:
        first = () if now_s > 1.5 else (at(0.3, 3.0 - 1.4 * now_s, 1.6, track=1),)
        left_s = (8.0 - 1.4 * now_s) / 1.4
        return (*first, at(0.0, 1.4 * left_s, left_s, track=2))

    heard = play(make_warner(), scene, 5.6)
    assert heard[-1].earcon == "urgent"
    assert heard[-1].queued_s > 3.0


def ticks(heartbeat_s: float | None, scene: Scene, camera_is_good: bool = True) -> list[float]:
    ids = iter(range(10_000))
    warner = AlertPolicy(FakeWords(), 190, ids.__next__, heartbeat_s)
    heard = [u for i in range(600) for u in warner.warn(scene(i / 10), i / 10, camera_is_good)]
    return [u.queued_s for u in heard if u.earcon == "tick"]


def test_a_soft_tick_breaks_a_long_silence_on_request() -> None:
    assert ticks(None, lambda _: ()) == []
    assert ticks(20.0, lambda _: ()) == pytest.approx([20.0, 40.0], abs=0.11)
    assert ticks(20.0, lambda _: (), camera_is_good=False) == []
    assert ticks(20.0, lambda t: (obstacle(distance_m=3.0),) if t > 12 else ()) == pytest.approx(
        [32.1, 52.1], abs=0.2
    )
