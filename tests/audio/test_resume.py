"""Interruptions by critical alerts: how soon there is silence, and what is repeated."""

from dataclasses import replace

import numpy as np
import pytest

from engine.audio.mixer import FADE_S
from engine.audio.scheduler import BLOCK_S, GAP_S, NEARLY_SAID_S
from engine.core.sound import Samples
from engine.core.utterance import Cut, Utterance
from tests.fakes.stage import AGAIN, RATE_HZ, Stage, ToneVoice, alert, clause

TEN = "a b c d e f g h i j"  # one second


def interrupted(at_s: float = 0.3, *rest: Utterance) -> Stage:
    """A clause of one second, then `rest`, with a critical alert at `at_s`."""
    stage = Stage()
    for utterance in (clause(1, text=TEN), *rest):
        stage.audio.say(utterance)
    stage.to(at_s)
    stage.audio.say(alert(9, 90.0, queued_s=at_s))
    return stage


class SilentAlerts(ToneVoice):
    """Says alerts silently, so that the recording shows where the answer ends."""

    def synthesise(self, text: str) -> Samples:
        sound = super().synthesise(text)
        return 0.0 * sound if text == "car ahead" else sound


def test_an_answer_is_silent_within_50_ms_of_a_critical_alert() -> None:
    stage = Stage(SilentAlerts())
    stage.audio.say(clause(1, text=TEN))
    stage.to(0.3)
    # The worst case: the block from 0.28 s on has just been handed over.
    stage.audio.say(alert(9, 90.0, queued_s=0.28))
    stage.to(0.9)
    sounding = np.flatnonzero(np.abs(stage.sink.tape).max(axis=1))
    assert 0.3 < (sounding[-1] + 1) / RATE_HZ <= 0.28 + 0.05
    assert stage.outcome(1).cut == "interrupted"
    assert stage.outcome(9).started_s == pytest.approx(0.3 + BLOCK_S)


def test_the_clause_is_repeated_after_the_gap_and_the_rest_follows() -> None:
    stage = interrupted(0.3, clause(2), clause(3))
    stage.drain()
    assert stage.order() == [1, 9, AGAIN, 2, 3]
    first, again = stage.outcome(1), stage.outcome(AGAIN)
    assert (first.cut, first.dropped) == ("interrupted", None)
    assert first.ended_s == pytest.approx(0.3 + FADE_S)
    assert (again.utterance.resumes, again.cut) == (1, None)
    assert replace(again.utterance, id=1, queued_s=0.0, resumes=None) == first.utterance
    assert again.utterance.queued_s == pytest.approx(0.3)
    assert again.ended_s - again.started_s == pytest.approx(1.0)  # type: ignore[operator]
    pause_s = again.started_s - stage.outcome(9).ended_s  # type: ignore[operator]
    assert GAP_S - 1e-6 <= pause_s <= GAP_S + BLOCK_S  # time to react to the alert
    assert stage.outcome(2).started_s - again.ended_s < BLOCK_S  # type: ignore[operator]


def test_a_clause_interrupted_twice_is_repeated_twice() -> None:
    stage = interrupted(0.3)
    stage.to(1.6)
    assert stage.order() == [1, 9, AGAIN]
    stage.audio.say(alert(10, 95.0, queued_s=1.6))
    stage.drain()
    assert stage.order() == [1, 9, AGAIN, 10, AGAIN + 1]
    assert [stage.outcome(n).utterance.resumes for n in (AGAIN, AGAIN + 1)] == [1, AGAIN]
    assert stage.outcome(AGAIN + 1).cut is None


@pytest.mark.parametrize("how", ["stop", "supersede"])
def test_nothing_is_repeated_after_a_stop_or_a_newer_request(how: str) -> None:
    stage = interrupted(0.3, clause(2))
    stage.to(0.4)
    stage.audio.stop() if how == "stop" else stage.audio.supersede_answers()
    stage.audio.say(clause(4, answer=2))
    stage.drain()
    assert stage.order() == [1, 9, 4]
    reason = "cancelled" if how == "stop" else "superseded"
    assert [stage.outcome(n).dropped for n in (AGAIN, 2)] == [reason, reason]
    assert stage.outcome(1).cut == "interrupted"


@pytest.mark.parametrize(
    ("stop", "cut"), [(True, "cancelled"), (False, "superseded")], ids=["stop", "newer request"]
)
def test_the_outcome_says_why_an_answer_was_cut(stop: bool, cut: Cut) -> None:
    stage = Stage()
    stage.audio.say(clause(1, text=TEN))
    stage.to(0.3)
    stage.audio.stop() if stop else stage.audio.supersede_answers()
    stage.audio.say(
        alert(9, 90.0, queued_s=0.3)
    )  # at the same moment: the wearer's command has precedence
    stage.drain()
    assert (stage.outcome(1).cut, stage.outcome(1).dropped) == (cut, None)
    assert stage.order() == [1, 9]


def test_a_clause_that_is_nearly_complete_is_not_repeated() -> None:
    stage = interrupted(1.0 - NEARLY_SAID_S + BLOCK_S, clause(2))
    stage.drain()
    assert stage.outcome(1).cut == "interrupted"
    assert stage.order() == [1, 9, 2]


@pytest.mark.parametrize(("kind", "resumes"), [("alert", False), ("status", True)])
def test_a_status_is_repeated_but_an_alert_is_not(kind: str, resumes: bool) -> None:
    stage = Stage()
    stage.audio.say(alert(1, 40.0, kind=kind, text=TEN))
    stage.to(0.3)
    stage.audio.say(alert(9, 90.0, queued_s=0.3))
    stage.drain()
    assert stage.order() == [1, 9, *([AGAIN] if resumes else [])]


def test_a_waiting_alert_does_not_separate_a_repeated_clause_from_the_rest() -> None:
    stage = interrupted(0.3, clause(2))
    stage.audio.say(alert(5, 40.0, azimuth_deg=90.0, queued_s=0.3))
    stage.drain()
    assert stage.order() == [1, 9, AGAIN, 2, 5]


def test_a_waiting_second_beat_is_given_up() -> None:
    stage = Stage()
    for utterance in (clause(1, text=TEN), replace(clause(2), yields=True)):
        stage.audio.say(utterance)
    stage.to(0.3)
    assert stage.audio.alarms == 0
    stage.audio.say(alert(9, 90.0, queued_s=0.3))
    stage.drain()
    assert stage.audio.alarms == 1
    assert stage.order() == [1, 9, AGAIN]  # the first beat is repeated, the second is not heard
    assert stage.outcome(2).dropped == "superseded"


def test_a_second_beat_being_spoken_is_cut_and_not_repeated() -> None:
    stage = Stage()
    stage.audio.say(replace(clause(1, text=TEN), yields=True))
    stage.to(0.3)
    stage.audio.say(alert(8, 40.0, queued_s=0.3))  # an alert that is not critical waits
    stage.to(0.5)
    assert stage.order() == [1]
    stage.audio.say(alert(9, 90.0, queued_s=0.5))
    stage.drain()
    assert stage.order()[:2] == [1, 9]
    assert AGAIN not in stage.order()
    assert stage.outcome(1).cut == "interrupted"
