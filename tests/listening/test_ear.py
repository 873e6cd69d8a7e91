"""The ear, with a wake engine that detects clicks and a virtual clock."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.answer import Command
from engine.core.clock import VirtualClock
from engine.core.errors import SourceLost, SpeechFailed
from engine.core.report import Health
from engine.core.sound import HEARING_HZ, Pcm, Samples, Sound
from engine.language.commands import command_grammar
from engine.listening.command_listener import CommandListener
from engine.listening.ear import LATE_S, Ear
from engine.listening.echo_guard import STEP_S, EchoGuard, GuardedSink
from engine.listening.framer import Framer

CLICK, WORD, END = 30_000, 20_000, 10_000  # a wake; a word is being said; it has been said
DELAY_S = 0.1


class ClickWakeEngine:
    """A wake engine that fires in a frame with a click and in the next one."""

    name, phrase, frame_samples, delay_s = "clicks", "click", 160, DELAY_S
    hint = False

    def __init__(self) -> None:
        self._left = 0

    def hear(self, frame: Pcm) -> bool:
        assert frame.shape == (160,)
        assert frame.dtype == np.int16
        self._left = 2 if CLICK in frame else max(0, self._left - 1)
        return self._left > 0

    def close(self) -> None: ...


class ScriptedRecogniser:
    """A recogniser that returns the next of its phrases where a word ends."""

    frame_samples = 480

    def __init__(self, *phrases: str) -> None:
        self._phrases = list(phrases)

    def begin(self) -> None: ...

    def hear(self, frame: Pcm) -> str | None:
        assert frame.shape == (480,)
        return self._phrases.pop(0) if END in frame and self._phrases else None


class FakeSource:
    """Delivers `pcm` in blocks of `piece` samples, each `late_s` after it was recorded."""

    name = "tape"
    overruns = 0

    def __init__(
        self, pcm: Pcm, clock: VirtualClock, piece: int = 160, late_s: float = 0.0
    ) -> None:
        self._pcm, self._clock, self._piece, self._late_s = pcm, clock, piece, late_s
        self._position = 0
        self.fails = False

    def read(self, timeout_s: float) -> Sound | None:
        block = self._pcm[self._position : self._position + self._piece]
        self._position += len(block)
        time_s = self._position / HEARING_HZ
        self._clock.move_to(time_s + self._late_s)
        if self.fails and self.ended:
            raise SourceLost("the microphone gave no sound for 3 s")
        return Sound(block, time_s)

    @property
    def ended(self) -> bool:
        return self._position >= len(self._pcm)

    def close(self) -> None:
        self._position = len(self._pcm)


class RecordingListener:
    """Records the events of the ear."""

    def __init__(self) -> None:
        self.hints = 0
        self.wakes: list[tuple[float, float]] = []
        self.commands: list[Command] = []

    def on_hint(self) -> None:
        self.hints += 1

    def on_wake(self, asked_s: float, heard_s: float) -> None:
        self.wakes.append((asked_s, heard_s))

    def on_command(self, command: Command, asked_s: float, heard_s: float) -> None:
        self.commands.append(command)


def tape(length_s: float, marks: dict[float, int]) -> Pcm:
    pcm = np.zeros(round(length_s * HEARING_HZ), np.int16)
    for at_s, value in marks.items():
        pcm[round(at_s * HEARING_HZ)] = value
    return pcm


def hear(
    pcm: Pcm,
    *phrases: str,
    guard: EchoGuard | None = None,
    change: Callable[[FakeSource], None] = lambda _: None,
    command_s: float = 2.0,
    **tape_options: float,
) -> tuple[RecordingListener, Ear, list[Health]]:
    clock = VirtualClock()
    source = FakeSource(pcm, clock, **tape_options)  # type: ignore[arg-type]
    change(source)
    health: list[Health] = []
    spoken = command_grammar("en", {"door": "door"})
    guard = guard or EchoGuard(HEARING_HZ)
    commands = CommandListener(ScriptedRecogniser(*phrases), spoken, guard, command_s)
    ear = Ear(source, ClickWakeEngine(), guard, commands, clock, health.append, refractory_s=1.0)
    listener = RecordingListener()
    ear.run(threading.Event(), listener)
    return listener, ear, health


@given(st.lists(st.integers(0, 700), max_size=30), st.sampled_from([160, 480, 512]))
@settings(deadline=None, max_examples=50)
def test_frames_are_exact_and_no_sample_is_lost(pieces: list[int], size: int) -> None:
    whole = np.arange(sum(pieces), dtype=np.int16)
    framer, position, frames = Framer(size), 0, []
    for piece in pieces:
        position += piece
        sound = Sound(whole[position - piece : position], position / HEARING_HZ)
        frames += list(framer.frames(sound))
    assert all(len(frame.pcm) == size for frame in frames)
    joined = np.concatenate([np.zeros(0, np.int16), *(frame.pcm for frame in frames)])
    assert np.array_equal(joined, whole[: len(joined)])
    assert len(whole) - len(joined) < size
    for number, frame in enumerate(frames, 1):
        assert frame.time_s == pytest.approx(number * size / HEARING_HZ)


@pytest.mark.parametrize("piece", [37, 160, 4000])
def test_a_wake_is_reported_once_with_the_end_of_the_phrase(piece: int) -> None:
    listener, ear, _ = hear(tape(3.0, {1.0: CLICK}), piece=piece)
    ((asked_s, heard_s),) = listener.wakes
    assert asked_s == pytest.approx(1.01 - DELAY_S)  # the frame's end, less the engine's delay
    assert heard_s >= 1.01
    assert ear.hearing.wakes == 1
    assert ear.hearing.heard_s == pytest.approx(3.0)


def test_a_wake_too_soon_after_another_is_ignored() -> None:
    listener, ear, _ = hear(tape(4.0, {1.0: CLICK, 1.5: CLICK, 2.5: CLICK}))
    assert len(listener.wakes) == 2
    assert ear.hearing.refractory == 1


def test_a_command_is_accepted_only_for_a_while_after_a_wake() -> None:
    pcm = tape(8.0, {0.5: END, 1.0: CLICK, 2.0: END, 5.0: CLICK, 7.8: END})
    listener, ear, _ = hear(pcm, "where is the door", "stop")
    assert listener.commands == [Command("where", "door")]
    assert ear.hearing.commands == 1


def test_a_phrase_that_is_no_command_is_counted_and_listening_continues() -> None:
    listener, ear, _ = hear(tape(4.0, {1.0: CLICK, 1.5: END, 2.0: END}), "blah", "more")
    assert listener.commands == [Command("more")]
    assert (ear.hearing.commands, ear.hearing.not_understood) == (1, 1)


def test_a_command_that_begins_before_the_wake_fires_is_heard_whole() -> None:
    fed: list[int] = []

    class FramesRecogniser(ScriptedRecogniser):
        def hear(self, frame: Pcm) -> str | None:
            fed.extend(frame[frame != 0].tolist())
            return None

    clock = VirtualClock()
    pcm = tape(2.0, {0.8: 1, 0.95: WORD, 1.0: CLICK, 1.2: WORD + 1})
    guard = EchoGuard(HEARING_HZ)
    commands = CommandListener(FramesRecogniser(), command_grammar("en", {}), guard, 2.0)
    source = FakeSource(pcm, clock)
    ear = Ear(source, ClickWakeEngine(), guard, commands, clock, lambda _: None, refractory_s=1.0)
    ear.run(threading.Event(), RecordingListener())
    assert fed == [WORD, CLICK, WORD + 1]  # nothing before the end of the phrase, and nothing twice


def test_without_command_time_no_command_is_accepted() -> None:
    listener, _, _ = hear(tape(4.0, {1.0: CLICK, 1.5: END}), "stop", command_s=0.0)
    assert listener.commands == []


def test_late_blocks_and_overruns_are_counted_and_reported_once() -> None:
    def broken(source: FakeSource) -> None:
        source.overruns = 3

    listener, ear, health = hear(tape(2.0, {1.0: CLICK}), change=broken, late_s=LATE_S + 0.1)
    assert len(listener.wakes) == 1  # late, but still recognised
    assert ear.hearing.late == 200
    assert ear.hearing.overruns == 3
    assert [("late" in h.detail, "overrun" in h.detail) for h in health] == [
        (True, False),
        (False, True),
    ]


def test_a_lost_microphone_is_an_error() -> None:
    with pytest.raises(SourceLost):
        hear(tape(1.0, {}), change=lambda source: setattr(source, "fails", True))


def bursts(seed: int, length_s: float = 3.0) -> Samples:
    """A tone in each band with random levels, like voice, vowels and consonants."""
    draw = np.random.default_rng(seed)
    at_s = np.arange(round(length_s * HEARING_HZ)) / HEARING_HZ
    sound = np.zeros(len(at_s))
    for hertz in (400.0, 1200.0, 3500.0):
        levels = 10 ** draw.uniform(-2.0, -0.6, round(length_s / 0.1))
        sound += np.sin(2 * np.pi * hertz * at_s) * np.repeat(levels, round(0.1 * HEARING_HZ))
    return sound.astype(np.float32)


def make_guard(played: Samples, heard: Samples) -> EchoGuard:
    guard = EchoGuard(HEARING_HZ)
    step = round(STEP_S * HEARING_HZ)
    for start in range(0, len(heard) - step, step):
        block = played[start : start + step]
        guard.played(np.stack([block, block], axis=1), start / HEARING_HZ)
        pcm = (heard[start : start + step] * 32767).astype(np.int16)
        guard.heard(Sound(pcm, (start + step) / HEARING_HZ))
    return guard


@pytest.mark.parametrize("lag_s", [0.0, 0.06, 0.25, 0.5])
@pytest.mark.parametrize("gain", [0.1, 1.0])
def test_the_own_voice_is_recognised_however_late_and_quiet(lag_s: float, gain: float) -> None:
    said = bursts(1)
    echo = np.concatenate([np.zeros(round(lag_s * HEARING_HZ), np.float32), said])[: len(said)]
    assert make_guard(said, np.float32(gain) * echo).own_voice(2.0, 2.8)


@pytest.mark.parametrize("seed", range(2, 8))
def test_other_sound_is_not_the_own_voice(seed: int) -> None:
    guard = make_guard(bursts(1), bursts(seed))
    assert not guard.own_voice(2.0, 2.8)


def test_after_silence_nothing_is_the_own_voice() -> None:
    silence = np.zeros(3 * HEARING_HZ, np.float32)
    assert make_guard(silence, bursts(1)).correlation(2.0, 2.8) == 0.0


def test_a_wake_by_the_own_voice_is_ignored() -> None:
    class AlwaysEcho(EchoGuard):
        def correlation(self, start_s: float, end_s: float) -> float:
            return 1.0

    listener, ear, _ = hear(tape(3.0, {1.0: CLICK, 1.5: END}), "stop", guard=AlwaysEcho(HEARING_HZ))
    assert (listener.wakes, listener.commands, ear.hearing.own_voice) == ([], [], 1)


def test_the_guard_gets_the_sound_of_a_sink_and_a_lost_sink_still_raises() -> None:
    class Breaking:
        name, paced = "device", True

        def write(self, block: Samples) -> None:
            self.paced = False
            raise SpeechFailed("gone")

        def close(self) -> None: ...

    blocks: list[float] = []

    class Listening(EchoGuard):
        def played(self, block: Samples, time_s: float) -> None:
            blocks.append(time_s)

    sink = GuardedSink(Breaking(), Listening(HEARING_HZ), VirtualClock(7.0))
    assert (sink.name, sink.paced) == ("device", True)
    with pytest.raises(SpeechFailed):
        sink.write(np.zeros((320, 2), np.float32))
    assert (blocks, sink.paced) == ([7.0], False)
