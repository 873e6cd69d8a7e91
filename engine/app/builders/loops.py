"""Builds the loop that runs a session: live or batch. Each loop gets only the parts that it
uses."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from engine.app.answer_step import AnswerStep, Score
from engine.app.batch import Batch
from engine.app.frame_step import FrameStep
from engine.app.live import Live, Loops
from engine.app.loops.answer import AnswerLoop
from engine.app.loops.camera import CameraLoop
from engine.app.loops.ear import EarLoop
from engine.app.loops.speak import SpeakLoop
from engine.app.loops.watch import WatchLoop
from engine.app.subsystems import Session
from engine.app.user_input import UserInput
from engine.core.answer import Description
from engine.core.clock import MonotonicClock
from engine.core.glance import Glance
from engine.core.ports import Clock
from engine.core.slot import Slot
from engine.core.utterance import Utterance

if TYPE_CHECKING:
    from engine.evaluation.scoring import Scorer


def build_live(
    session: Session, scorer: "Scorer | None" = None, watch_clock: Clock | None = None
) -> Live:
    """The live loops, in real time. `watch_clock` is the watchdog's; None means the host's."""
    clocks, feed, notifier = session.clocks, session.feed, session.notifier
    log, live = session.observers.log, feed.source.live
    glances: Slot[Glance] = Slot()
    camera = CameraLoop(feed, clocks.timeline, notifier, log.seen)
    answering = build_answer_step(session, scorer, shows=True)
    answer = AnswerLoop(answering, glances, session.speech, clocks, notifier, live)
    ask = partial(answer.ask, wish=feed.wish, target=feed.target)
    loading = session.loading

    def make_step(first: bool) -> FrameStep:
        return build_frame_step(session) if first else rebuild_frame_step(session)

    watch = WatchLoop(
        camera, make_step, glances, feed.trigger, ask, lambda: loading.ready, notifier
    )
    memory = session.memory
    keep_volume = None if memory is None else memory.keep_volume
    user_input = UserInput(session.keys, answer, session.speech.audio, notifier, keep_volume)
    ear = None
    if session.ear is not None:
        ear = EarLoop(session.ear, session.reopen_ear, user_input, notifier, log.hearing)
    speak = SpeakLoop(session.speech, clocks.timeline, notifier)
    loops = Loops(camera, watch, answer, speak, ear)
    outlets = (log.outlet, session.observers.screen.outlet)
    clock = watch_clock or MonotonicClock()
    return Live(loops, user_input, notifier, outlets, clock, feed.related, loading)


def build_batch(session: Session, scorer: "Scorer | None" = None) -> Batch:
    """All frames in order, in virtual time."""
    return Batch(
        session.feed,
        build_frame_step(session),
        build_answer_step(session, scorer, shows=scorer is None),  # a dataset has too many to show
        session.speech,
        session.clocks,
        session.observers,
        session.notifier,
    )


def build_frame_step(session: Session) -> FrameStep:
    """The step of every frame, over the session's perception and alerts."""
    return FrameStep(
        session.perception,
        session.alerts,
        _unheard if session.feed.still else session.speech.audio.say,
        session.notifier,
        session.observers,
        session.clocks.timeline,
        session.feed.source.live,
    )


def rebuild_frame_step(session: Session) -> FrameStep:
    """The step of every frame, over a detector that is loaded anew where that is possible. What is
    known about obstacles is forgotten with the tracks: they are announced again."""
    perception = session.perception
    if session.reload_perception is not None:
        perception = session.reload_perception()
    step = build_frame_step(replace(session, perception=perception))
    step.reset()
    return step


def _unheard(utterance: Utterance) -> None:
    """Takes an alert of a still picture."""


def build_answer_step(session: Session, scorer: "Scorer | None", shows: bool) -> AnswerStep:
    """The step of every request; `shows` prints the answers on the terminal."""
    log, screen, source = session.observers.log, session.observers.screen, session.feed.source

    def score_with(scorer: "Scorer") -> Score:
        return lambda glance, description: scorer.add(
            source.truth(glance.frame.seq), glance, description
        )

    def show(description: Description) -> None:
        screen.description(description, log.elapsed_s())

    return AnswerStep(
        session.answerer,
        session.speech.audio,
        log,
        None if scorer is None else score_with(scorer),
        show if shows else None,
        session.memory,
    )
