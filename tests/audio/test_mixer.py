"""The samples that a sink gets, and at which pace, without a voice or a device."""

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest

from engine.audio.earcons import earcon
from engine.audio.hrtf import centre, spatialise
from engine.audio.loudness import CEILING
from engine.audio.mixer import Mixer, Playing
from engine.audio.playback import speak
from engine.audio.scheduler import BLOCK_S
from engine.core.errors import SpeechFailed
from engine.core.sound import Samples
from tests.fakes.stage import BLOCK, RATE_HZ, Stage, TapeSink, ToneVoice, alert, clause, ping


def test_stop_silences_within_one_block() -> None:
    stage = Stage()
    stage.audio.say(clause(1))
    stage.audio.say(ping(2))
    stage.audio.say(clause(3))
    stage.to(0.04)
    stage.audio.stop()
    stage.to(0.5)
    tail = stage.sink.tape[2 * BLOCK :]
    assert np.abs(stage.sink.tape[: 2 * BLOCK]).max() > 0.3
    assert np.abs(tail[: BLOCK // 2]).max() > 0.0  # a fade instead of a click
    assert np.all(tail[BLOCK // 2 :] == 0.0)
    assert [h.dropped for h in stage.heard].count("cancelled") == 1
    assert stage.audio.idle


def test_an_earcon_is_ducked_to_a_quarter_under_words() -> None:
    alone = earcon("obstacle", 30.0, None, RATE_HZ)
    stage = Stage()
    stage.audio.say(clause(1, text="one two three four"))
    stage.to(0.1)
    stage.audio.say(ping(2, azimuth_deg=30.0))
    stage.to(0.3)
    at = round(0.1 * RATE_HZ)
    with_words = stage.sink.tape[at : at + len(alone)]
    words = centre(stage.voice.synthesise("one two three four"))[at : at + len(alone)]
    assert np.allclose(with_words - words, 0.25 * alone, atol=1e-6)
    stage.to(2.0)
    stage.audio.say(ping(3, azimuth_deg=30.0))
    stage.to(2.3)
    at = round(2.0 * RATE_HZ)
    assert np.allclose(stage.sink.tape[at : at + len(alone)], alone, atol=1e-6)


def test_words_follow_their_earcon_from_the_same_direction() -> None:
    stage = Stage()
    stage.audio.say(alert(1, earcon="obstacle", azimuth_deg=90.0))
    stage.drain()
    sound = earcon("obstacle", 90.0, None, RATE_HZ)
    words = spatialise(stage.voice.synthesise("car ahead"), 90.0, RATE_HZ)
    tape = stage.sink.tape
    assert np.allclose(tape[: len(sound)], sound, atol=1e-6)
    assert np.allclose(tape[len(sound) : len(sound) + len(words)], words, atol=1e-6)
    left, right = np.sum(np.square(words), axis=0)
    assert right > 2 * left > 0


def test_the_limiter_attacks_at_once_recovers_slowly_and_keeps_the_waveform() -> None:
    def play(level: float) -> Playing:
        tone = np.sin(2 * np.pi * 400 * np.arange(20 * BLOCK) / RATE_HZ, dtype=np.float32)
        return Playing(ping(1), np.stack([level * tone, 0.5 * level * tone], axis=1), "", 0)

    mixer = Mixer(RATE_HZ, BLOCK)
    mixer.sounds = [play(0.5)]
    quiet = mixer.block()[0]
    mixer.sounds.append(play(1.5))
    loud = mixer.block()[0]
    mixer.sounds.pop()
    recovery = np.concatenate([mixer.block()[0] for _ in range(12)])
    assert np.abs(quiet).max() == pytest.approx(0.5, rel=0.01)
    assert np.abs(loud).max() == pytest.approx(CEILING, rel=1e-3)
    assert np.allclose(loud, quiet * (loud.max() / quiet.max()), atol=0.02)  # no clipping
    peaks = np.abs(recovery).reshape(12, -1).max(axis=1)
    assert peaks[0] < 0.35  # still limited
    assert np.all(np.diff(peaks) > -1e-3)
    assert peaks[-1] == pytest.approx(0.5, rel=0.01)


def test_answers_are_centred() -> None:
    stage = Stage()
    stage.audio.say(replace(clause(1), azimuth_deg=80.0))
    stage.drain()
    left, right = stage.sink.tape.T
    assert np.allclose(left, right, atol=1e-6)


def test_an_idle_hour_is_written_in_few_blocks_and_in_full_length() -> None:
    stage = Stage()
    stage.to(3600.0)
    assert len(stage.sink.blocks) <= 360
    assert len(stage.sink.tape) == 3600 * RATE_HZ
    stage.audio.say(clause(1))
    stage.drain()
    assert stage.outcome(1).started_s == pytest.approx(3600.0)


class StoppingClock:
    """A clock that stops the loop at `end_s` and jumps ahead by a second once."""

    def __init__(self, stop: threading.Event, end_s: float, late_at_s: float = 1e9) -> None:
        self.time_s, self.slept = 10.0, 0
        self._stop, self._end_s, self._late_at_s = stop, 10.0 + end_s, 10.0 + late_at_s

    def now(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept += 1
        self.time_s += seconds
        if self.time_s >= self._late_at_s:
            self.time_s += 1.0
            self._late_at_s = 1e9
        if self.time_s >= self._end_s:
            self._stop.set()


@pytest.mark.parametrize("late_at_s", [1e9, 0.5])
def test_an_unpaced_sink_gets_real_time_and_a_late_loop_catches_up(late_at_s: float) -> None:
    stage, stop = Stage(), threading.Event()
    clock = StoppingClock(stop, 3.0, late_at_s)
    for number in (1, 2, 3):
        stage.audio.say(clause(number, text="a b c d e"))
    stage.audio.say(alert(4, 5.0))
    speak(stage.audio, stage.sink, clock, stop)
    assert len(stage.sink.tape) / RATE_HZ == pytest.approx(3.0, abs=3 * BLOCK_S)
    assert clock.slept < 3.0 / BLOCK_S + 10  # one wait per block
    spoken = np.abs(stage.sink.tape[: round(1.7 * RATE_HZ)]).min(axis=1) > 0
    assert spoken.mean() > 0.95  # no gap in the words, even when late
    outcomes = [stage.outcome(n) for n in (1, 2, 3, 4)]
    for before, after in itertools.pairwise(outcomes):
        assert before.ended_s <= after.started_s  # type: ignore[operator]


def test_the_start_of_a_sound_is_after_its_synthesis() -> None:
    stop = threading.Event()
    clock = StoppingClock(stop, 1.0)

    class Slow(ToneVoice):
        def synthesise(self, text: str) -> Samples:
            clock.time_s += 0.015
            return super().synthesise(text)

    stage = Stage(Slow())
    stage.audio.say(clause(1))
    speak(stage.audio, stage.sink, clock, stop)
    assert dict(stage.started) == {1: pytest.approx(10.015)}


def test_a_lost_device_is_reported_once_and_speech_continues() -> None:
    stop = threading.Event()
    clock = StoppingClock(stop, 3.0)

    class Unplugged(TapeSink):
        def write(self, block: Samples) -> None:
            if not self.paced:
                return
            clock.time_s += BLOCK_S
            super().write(block)
            if len(self.blocks) == 10:
                self.paced = False
                raise SpeechFailed("unplugged")

    stage = Stage(sink=Unplugged(paced=True))
    stage.audio.say(clause(1, text="a b c d e"))
    stage.audio.say(clause(2))
    speak(stage.audio, stage.sink, clock, stop)
    assert [(h.what, h.detail) for h in stage.health] == [("speech", "unplugged")]
    assert stage.outcome(2).dropped is None
    assert stage.outcome(2).started_s == pytest.approx(10.5, abs=2 * BLOCK_S)


def test_waiting_utterances_are_reported_at_the_end() -> None:
    stage, stop = Stage(), threading.Event()
    stage.audio.say(clause(1, text="a b c d e f g h i j"))
    stage.audio.say(clause(2))
    speak(stage.audio, stage.sink, StoppingClock(stop, 0.5), stop)
    assert stage.outcome(1).ended_s == pytest.approx(10.5, abs=2 * BLOCK_S)
    assert stage.outcome(2).dropped == "cancelled"


def test_one_loop_takes_over_from_another_without_a_gap() -> None:
    stage, stop = Stage(), threading.Event()
    clock = StoppingClock(stop, 1.0)
    fed_until_s = speak(stage.audio, stage.sink, clock, stop)
    clock.time_s += 0.7  # something else is set up
    stop.clear()
    again = StoppingClock(stop, clock.time_s - 10.0 + 1.0)
    again.time_s = clock.time_s
    speak(stage.audio, stage.sink, again, stop, fed_until_s)
    assert len(stage.sink.tape) / RATE_HZ == pytest.approx(again.time_s - 10.0, abs=3 * BLOCK_S)


def test_many_threads_may_speak_at_once() -> None:
    stage, stop = Stage(), threading.Event()
    audio = stage.audio

    class Spinning:
        def __init__(self) -> None:
            self.time_s = 0.0

        def now(self) -> float:
            return self.time_s

        def sleep(self, seconds: float) -> None:
            self.time_s += seconds

    def talk(base: int) -> None:
        for number in range(base, base + 50):
            audio.say(replace(ping(number), azimuth_deg=float(number)))
            if number % 10 == 0:
                audio.stop("answer")
                audio.say(clause(number + 1000, answer=base))

    speaking = threading.Thread(target=speak, args=(audio, stage.sink, Spinning(), stop))
    talkers = [threading.Thread(target=talk, args=(base,)) for base in (0, 50, 100, 150)]
    speaking.start()
    for thread in talkers:
        thread.start()
    for thread in talkers:
        thread.join()
    stop.set()
    speaking.join(timeout=30)
    assert not speaking.is_alive()
    numbers = [h.utterance.id for h in stage.heard]
    assert len(numbers) == len(set(numbers)) == 200 + 20
