"""Scheduling of utterances: priorities, deadlines, gaps and interruptions. No device."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.hrtf import LENGTH_S
from engine.audio.loudness import CEILING
from engine.audio.mixer import FADE_S
from engine.audio.playback import drain
from engine.audio.scheduler import BLOCK_S, GAP_S, Audio
from engine.audio.utterance_queue import UtteranceQueue
from engine.core.priority import Priority
from engine.core.sound import Samples
from engine.core.utterance import Utterance
from tests.fakes.stage import AGAIN, LEVEL, RATE_HZ, Stage, ToneVoice, alert, clause

utterances = st.builds(
    Utterance,
    id=st.just(0),
    kind=st.sampled_from(["alert", "answer", "status"]),
    text=st.sampled_from(["", "stop", "car ahead", "a bus on the left", "..."]),
    priority=st.sampled_from([10.0, 20.0, 40.0, 80.0]),
    queued_s=st.just(0.0),
    azimuth_deg=st.floats(-180, 180),
    deadline_s=st.none() | st.floats(0.0, 4.0),
    earcon=st.sampled_from([None, "obstacle", "urgent"]),
    distance_m=st.none() | st.floats(0.1, 30.0),
    answer=st.sampled_from([None, 1, 2]),
)
acts = st.lists(
    st.tuples(st.floats(0.0, 0.8), utterances | st.sampled_from(["stop", "supersede"])),
    max_size=25,
)


def play(script: list[tuple[float, Utterance | str]], level: float = LEVEL) -> Stage:
    """Run a script of (seconds to wait, what then happens) to its end."""
    stage = Stage(ToneVoice(level))
    for number, (wait_s, act) in enumerate(script, start=1):
        stage.to(stage.clock.now() + wait_s)
        if isinstance(act, Utterance):
            now_s = stage.clock.now()
            deadline_s = None if act.deadline_s is None else now_s + act.deadline_s
            stage.audio.say(replace(act, id=number, queued_s=now_s, deadline_s=deadline_s))
        elif act == "stop":
            stage.audio.stop()
        else:
            stage.audio.supersede_answers()
    stage.drain()
    return stage


@settings(deadline=None, max_examples=250)
@given(acts)
def test_all_rules_hold_for_any_script(script: list[tuple[float, Utterance | str]]) -> None:
    stage = play(script)
    said = {n for n, (_, act) in enumerate(script, start=1) if isinstance(act, Utterance)}
    again = {h.utterance.id: h.utterance.resumes for h in stage.heard if h.utterance.resumes}
    ids = sorted(h.utterance.id for h in stage.heard)
    assert ids == sorted(said | set(again))  # each once
    interrupted = {h.utterance.id for h in stage.heard if h.cut == "interrupted"}
    assert len(set(again.values())) == len(again)
    assert set(again.values()) <= interrupted  # repeated at most once per interruption
    assert stage.audio.idle
    started = dict(stage.started)
    for heard in stage.heard:
        assert (heard.started_s is None) == (heard.dropped is not None)
        assert started.get(heard.utterance.id) == heard.started_s
        if heard.started_s is None:
            assert heard.ended_s is None
            continue
        assert heard.ended_s is not None
        assert heard.utterance.queued_s <= heard.started_s <= heard.ended_s
        if heard.utterance.deadline_s is not None:
            assert heard.started_s <= heard.utterance.deadline_s
    for heard in stage.heard:
        if heard.dropped == "stale":
            assert heard.utterance.deadline_s is not None

    words = sorted(
        (h for h in stage.heard if h.utterance.text and h.started_s is not None),
        key=lambda h: (h.started_s, h.ended_s),
    )
    for before, after in itertools.pairwise(words):
        assert before.ended_s <= after.started_s  # type: ignore[operator]  # voices never overlap
        first, second = before.utterance, after.utterance
        waits = first.kind == "alert" and second.kind != "answer"
        if waits and second.priority < Priority.CRITICAL:
            assert after.started_s - before.ended_s >= GAP_S - 1e-6  # type: ignore[operator]
    for answer in (1, 2):
        order = [
            original(h.utterance.id, again)
            for h in words
            if h.utterance.answer == answer and h.utterance.kind == "answer"
        ]
        assert order == sorted(order)


@pytest.mark.parametrize("answer", [1, 2])
def test_a_critical_clause_waits_for_earlier_clauses(answer: int) -> None:
    """Otherwise the interrupted clause would be repeated before it, and interrupted again,
    forever."""
    stage = Stage()
    for number, said in enumerate((1, answer), start=1):
        stage.audio.say(clause(number, said))
    stage.audio.say(replace(clause(3, answer), priority=80.0))
    stage.to(4.0)
    assert stage.audio.idle
    assert stage.order() == [1, 2, 3]


def original(number: int, again: dict[int, int]) -> int:
    """The utterance that `number` repeats, directly or through others, or `number` itself."""
    while resumed := again.get(number):
        number = resumed
    return number


@settings(deadline=None, max_examples=80)
@given(acts, st.sampled_from([0.5, 5.0]))
def test_nothing_clips_and_rendering_is_deterministic(
    script: list[tuple[float, Utterance | str]], level: float
) -> None:
    first, second = play(script, level), play(script, level)
    if first.sink.blocks:
        assert np.abs(first.sink.tape).max() <= CEILING + 1e-6
        assert np.array_equal(first.sink.tape, second.sink.tape)
        length_s = len(first.sink.tape) / RATE_HZ
        assert length_s == pytest.approx(first.clock.now())
    assert first.heard == second.heard


@pytest.mark.parametrize(
    ("said", "order"),
    [
        pytest.param([alert(1, 30), alert(2, 60), alert(3, 40)], [2, 3, 1], id="by priority"),
        pytest.param([alert(1), alert(2, azimuth_deg=90)], [1, 2], id="the earlier where equal"),
        pytest.param([clause(1), clause(2), clause(3)], [1, 2, 3], id="clauses in order"),
        pytest.param(
            [clause(1), replace(clause(2), priority=25.0)], [1, 2], id="even against priority"
        ),
        pytest.param(
            [clause(1, 1), clause(2, 2), clause(3, 1)], [1, 3, 2], id="an answer is finished first"
        ),
        pytest.param(
            [alert(1, 80), clause(2), alert(3, 40)], [1, 3, 2], id="a lower one waits for the gap"
        ),
    ],
)
def test_order(said: list[Utterance], order: list[int]) -> None:
    stage = Stage()
    for utterance in said:
        stage.audio.say(utterance)
    stage.drain()
    assert stage.order() == order


def test_only_what_follows_an_alert_waits_for_the_gap() -> None:
    stage = Stage()
    for number in (1, 2):
        stage.audio.say(clause(number))
    stage.audio.say(replace(alert(3), kind="status", priority=10.0))
    stage.audio.say(replace(alert(4), priority=9.0))
    stage.audio.say(replace(alert(5), kind="status", priority=8.0))
    stage.drain()
    pauses = [
        stage.outcome(n + 1).started_s - stage.outcome(n).ended_s  # type: ignore[operator]
        for n in (1, 2, 3, 4)
    ]
    assert max(pauses[:3]) < BLOCK_S
    assert GAP_S - 1e-6 <= pauses[3] <= GAP_S + BLOCK_S


@pytest.mark.parametrize(
    ("priority", "first_cut"), [(Priority.CRITICAL, True), (Priority.CRITICAL - 1, False)]
)
def test_only_a_critical_alert_interrupts_an_answer(priority: float, first_cut: bool) -> None:
    stage = Stage()
    stage.audio.say(clause(1, text="a b c d e f g h i j"))
    stage.audio.say(clause(2))
    stage.to(0.2)
    stage.audio.say(alert(3, priority))
    stage.drain()
    cut = stage.outcome(1)
    assert cut.started_s == 0.0
    assert cut.dropped is None
    assert cut.ended_s is not None
    assert cut.ended_s == pytest.approx(0.2 + FADE_S if first_cut else 1.0)
    assert stage.order() == ([1, 3, AGAIN, 2] if first_cut else [1, 2, 3])
    if first_cut:
        assert stage.outcome(3).started_s == pytest.approx(0.2 + BLOCK_S)


def test_critical_alerts_do_not_interrupt_each_other_and_skip_the_gap() -> None:
    stage = Stage()
    stage.audio.say(alert(1, 80.0))
    stage.to(0.1)
    stage.audio.say(alert(2, 90.0, queued_s=0.1))
    stage.drain()
    ended_s = stage.outcome(1).ended_s
    assert ended_s is not None
    assert 0.2 <= ended_s <= 0.2 + LENGTH_S + 0.001  # its words and the length of the HRTF
    assert stage.outcome(2).started_s == pytest.approx(0.2 + BLOCK_S)


def test_a_stale_critical_alert_interrupts_nothing() -> None:
    stage = Stage()
    stage.audio.say(clause(1))
    stage.to(0.1)
    stage.audio.say(alert(2, 90.0, deadline_s=0.05))
    stage.drain()
    assert stage.outcome(2).dropped == "stale"
    assert stage.outcome(1).ended_s == pytest.approx(0.3)


def test_a_deadline_is_checked_at_the_turn_of_the_utterance() -> None:
    stage = Stage()
    stage.audio.say(clause(1))  # 0.3 s
    stage.audio.say(alert(2, deadline_s=0.2))
    stage.audio.say(alert(3, 35.0, deadline_s=4.0, azimuth_deg=90))
    stage.audio.supersede_answers()
    stage.audio.say(clause(4))
    stage.drain()
    assert stage.outcome(1).dropped == "superseded"
    assert stage.outcome(2).started_s == 0.0  # in time, since the answer was dropped
    stage.audio.say(clause(5))
    stage.to(stage.clock.now() + 0.1)
    stage.audio.say(alert(6, deadline_s=stage.clock.now() + 0.05))
    stage.drain()
    assert stage.outcome(6).dropped == "stale"


@pytest.mark.parametrize(
    ("change", "superseded"),
    [
        ({}, True),
        ({"azimuth_deg": 14.0}, True),
        ({"azimuth_deg": 16.0}, False),
        ({"priority": 39.0}, False),
        ({"queued_s": 0.0}, False),
        ({"kind": "status"}, False),
        ({"text": "", "earcon": "obstacle"}, False),
    ],
)
def test_a_newer_alert_supersedes_a_waiting_one_from_its_direction(
    change: dict[str, object], superseded: bool
) -> None:
    stage = Stage()
    stage.audio.say(clause(1))
    stage.to(0.1)
    stage.audio.say(alert(2))
    stage.audio.say(replace(alert(3), **({"queued_s": 0.1} | change)))  # type: ignore[arg-type]
    stage.drain()
    assert stage.outcome(2).dropped == ("superseded" if superseded else None)
    assert stage.outcome(3).dropped is None


def test_a_newer_request_cuts_the_answer_but_no_alerts() -> None:
    stage = Stage()
    stage.audio.say(clause(1))
    stage.audio.say(clause(2))
    stage.to(0.1)
    stage.audio.say(alert(3, 15.0))
    stage.audio.supersede_answers()
    stage.audio.say(clause(4, answer=2))
    stage.drain()
    assert stage.outcome(1).ended_s == pytest.approx(0.1 + FADE_S)
    assert stage.outcome(2).dropped == "superseded"
    assert stage.order() == [1, 4, 3]


def test_stop_can_be_limited_to_kinds() -> None:
    stage = Stage()
    for utterance in (clause(1), alert(2), alert(3, 10.0, kind="status")):
        stage.audio.say(utterance)
    stage.audio.stop("answer", "status")
    stage.drain()
    assert stage.order() == [2]
    assert stage.outcome(1).dropped == stage.outcome(3).dropped == "cancelled"


@pytest.mark.parametrize("sound", [None, "urgent"])
def test_a_failed_synthesis_is_reported_and_the_next_sentence_is_heard(
    sound: str | None,
) -> None:
    stage = Stage()
    stage.voice.fails_on = "car ahead"
    stage.audio.say(alert(1, earcon=sound))
    stage.audio.say(clause(2))
    stage.drain()
    assert [h.what for h in stage.health] == ["speech"]
    assert stage.outcome(1).dropped == (None if sound else "cancelled")  # its earcon was heard
    assert stage.outcome(2).dropped is None


def test_a_stop_during_synthesis_takes_effect() -> None:
    class Stopped(ToneVoice):
        def synthesise(self, text: str) -> Samples:
            stage.audio.stop()
            return super().synthesise(text)

    stage = Stage(Stopped())
    stage.audio.say(clause(1))
    stage.drain()
    assert stage.outcome(1).dropped == "cancelled"
    assert np.all(stage.sink.tape == 0.0)


def test_callbacks_may_queue_utterances() -> None:
    stage = Stage()
    audio = Audio(
        ToneVoice(),
        next_id=lambda: 99,
        on_started=lambda u, _: audio.say(clause(2)) if u.id == 1 else None,
        on_heard=stage.heard.append,
        on_health=stage.health.append,
    )
    audio.say(clause(1))
    drain(audio, stage.sink, stage.clock)
    assert [h.utterance.id for h in stage.heard] == [1, 2]


@pytest.mark.parametrize(
    ("priority", "answer_at_s", "order"),
    [(40.0, 0.3, [2, 1]), (80.0, 0.3, [1, 2]), (40.0, None, [1])],
    ids=["an alert waits", "a critical one does not", "not forever"],
)
def test_alerts_wait_for_an_expected_answer(
    priority: float, answer_at_s: float | None, order: list[int]
) -> None:
    stage = Stage()
    stage.audio.expect_answer(1.0)
    stage.audio.say(alert(1, priority))
    if answer_at_s is not None:
        stage.to(answer_at_s)
        stage.audio.say(clause(2))
    stage.drain()
    assert stage.order() == order


@pytest.mark.parametrize("expects_answer", [False, True])
def test_ready_comes_right_after_an_alert_and_before_an_answer(expects_answer: bool) -> None:
    """It says that a question is answered, so it is of no use after the answer."""
    stage = Stage()
    stage.audio.say(alert(1))
    if expects_answer:
        stage.to(0.1)
        stage.audio.expect_answer(5.0)
    stage.audio.say(clause(2))
    stage.audio.say(Utterance(3, "status", "Ready.", Priority.READY, 0.0))
    stage.audio.say(Utterance(4, "status", "Louder.", Priority.STATUS, 0.0))
    stage.drain()
    assert stage.order() == [1, 3, 2, 4]
    ended, began = stage.outcome(1).ended_s, stage.outcome(3).started_s
    assert ended is not None
    assert began is not None
    assert began - ended < 0.05


def test_of_what_waits_about_one_matter_only_the_newest_is_heard() -> None:
    """A camera that "is back" must not be heard once the camera is lost again."""
    queue = UtteranceQueue()
    back = Utterance(1, "status", "The camera is back.", Priority.REASON, 0.0, about="camera")
    other = Utterance(2, "status", "I can speak again.", Priority.REASON, 0.0, about="sound")
    lost = Utterance(3, "status", "I lost the camera.", Priority.ALARM, 1.0, about="camera")
    assert queue.add(back) == queue.add(other) == []
    assert queue.add(lost) == [back]
    assert queue.waiting == [other, lost]
