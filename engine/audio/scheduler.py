"""What waits to be heard, and when each of it is: priorities, deadlines, gaps, cuts.

The one scheduler of all sound. A pull model: whoever owns the sink (`speak` live, `advance` and
`drain` in a batch) asks `render` for one block after another, silence included, so that the sink gets
just what a wearer would hear. Must not know: what an obstacle or an answer is, which voice or sink it
has, what time it is, how samples are mixed.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from engine.audio.earcons import earcon
from engine.audio.hrtf import centre, spatialise
from engine.audio.mixer import Event, Mixer, Playing
from engine.audio.utterance_queue import UtteranceQueue, is_critical
from engine.core.errors import SpeechFailed
from engine.core.ports import Clock, Sink, Voice
from engine.core.report import Health
from engine.core.sound import Samples
from engine.core.utterance import Drop, Heard, Kind, Utterance

BLOCK_S = 0.02
GAP_S = 0.75  # of silence after an alert, as in Soundscape between callouts
AS_GOOD_AS_SAID_S = 0.15  # the breath after a clause, and its last consonant
VOLUME_STEP_DB = 3.0  # a step that is plainly heard
SOFTEST_DB, LOUDEST_DB = -15.0, 9.0  # alerts must stay audible, and the limiter must not pump
IDLE_BLOCKS = 500  # silence written at once, so that memory stays bounded


class Audio:
    """The queue and the mixer. `say`, `stop`, `supersede_answers` and `change_volume` may be called
    from any thread; `render`, `rest` and `handed` from the one that owns the sink, which also makes
    all callbacks.

    `UtteranceQueue` says who is next; what is late when its turn could come is dropped as stale. An
    utterance without words never waits: its earcon is mixed in, ducked while words are heard. What
    has started and is then cut counts as heard. What something critical cuts off, unless that was an
    alert or `yields`, is said again from its beginning, under a number of its own from `next_id`; an answer
    comes clause by clause, so that this is the last clause's beginning.
    """

    def __init__(
        self,
        voice: Voice,
        *,
        next_id: Callable[[], int],
        on_started: Callable[[Utterance, float], None],
        on_heard: Callable[[Heard], None],
        on_health: Callable[[Health], None],
    ) -> None:
        self._voice = voice
        self._next_id = next_id
        self._on_started = on_started
        self._on_heard = on_heard
        self.on_health = on_health
        self.sample_rate_hz = voice.sample_rate_hz
        self.block_samples = round(BLOCK_S * self.sample_rate_hz)
        self._lock = threading.Lock()
        self._turns = UtteranceQueue()
        self._mixer = Mixer(self.sample_rate_hz, self.block_samples)
        self._reports: list[Callable[[float], None]] = []
        self._gap = 0  # samples until an alert or status may begin
        self._expecting_until_s = -math.inf
        self._free_s = -math.inf  # when the last words ended
        self._alarms = 0
        self._volume_db = 0.0

    @property
    def block_s(self) -> float:
        """The length of a block in seconds."""
        return self.block_samples / self.sample_rate_hz

    @property
    def idle(self) -> bool:
        """Whether nothing waits, sounds, or is still to be reported."""
        with self._lock:
            return self._is_idle()

    @property
    def alarms(self) -> int:
        """How many critical utterances have been queued so far."""
        with self._lock:
            return self._alarms

    def say(self, utterance: Utterance) -> None:
        """Queue `utterance`; older alerts about the same thing give way to it
        (`UtteranceQueue.add`), and to a critical one all that `yields`."""
        with self._lock:
            self._drop(self._turns.add(utterance), "superseded")
            if is_critical(utterance):
                self._alarms += 1
                self._drop(self._turns.take(lambda u: u.yields), "superseded")

    def expect_answer(self, until_s: float) -> None:
        """The wearer has asked: callouts that are not critical wait for the answer, which names
        hazards first, but no longer than `until_s`."""
        with self._lock:
            self._expecting_until_s = until_s

    def stop(self, *kinds: Kind) -> None:
        """Silence these kinds (all where none is named) within one block; drop what waits."""
        self._silence(lambda u: not kinds or u.kind in kinds, "cancelled")

    def supersede_answers(self) -> None:
        """A newer request has come: answers that wait are dropped, the one being said is cut."""
        self._silence(lambda u: u.kind == "answer", "superseded")

    def change_volume(self, steps: int) -> bool:
        """Make everything louder (quieter where negative) by VOLUME_STEP_DB each; return whether
        there was room for it between SOFTEST_DB and LOUDEST_DB."""
        with self._lock:
            before_db = self._volume_db
            wanted_db = before_db + steps * VOLUME_STEP_DB
            self._volume_db = min(LOUDEST_DB, max(SOFTEST_DB, wanted_db))
            self._mixer.volume = 10 ** (self._volume_db / 20)
            return self._volume_db != before_db

    def render(self, now_s: float) -> Samples:
        """The next block, stereo (block_samples, 2), peak -1 dBFS at most.

        `now_s` is what deadlines are measured by. Follow with `handed`. Synthesises when a turn
        comes, which may take some 10 ms; a failure is reported and the rest goes on.
        """
        with self._lock:
            if self._is_idle():
                return self.rest(1)
            self._take_turns(now_s)
            speaking = self._mixer.speaking
        # An earcon's first block goes out before its words exist: the sound is what is urgent.
        if speaking and speaking.text and (speaking.position or speaking.words_at == 0):
            self._add_words(speaking)
        with self._lock:
            return self._mix()

    def rest(self, blocks: int) -> Samples:
        """`blocks` blocks of silence at once, (n, 2). Only while idle."""
        self._gap = max(0, self._gap - blocks * self.block_samples)
        self._mixer.rest()
        return np.zeros((blocks * self.block_samples, 2), dtype=np.float32)

    def handed(self, time_s: float) -> None:
        """The block just rendered goes to the sink now: make the callbacks that this brings."""
        with self._lock:
            reports, self._reports = self._reports, []
        for report in reports:
            report(time_s)

    # whose turn (the lock is held)

    def _is_idle(self) -> bool:
        return not (self._turns.waiting or self._mixer.playing or self._reports)

    def _take_turns(self, now_s: float) -> None:
        late = self._turns.take(lambda u: u.deadline_s is not None and now_s > u.deadline_s)
        self._drop(late, "stale")
        self._mixer.sounds += [self._begin(u) for u in self._turns.take(lambda u: not u.text)]
        speaking = self._mixer.speaking
        if speaking is None:
            chosen = self._turns.next(
                gap_over=self._gap == 0, answer_first=now_s < self._expecting_until_s
            )
            if chosen is not None and chosen.kind == "answer" and chosen.resumes is None:
                self._expecting_until_s = -math.inf
            self._mixer.speaking = None if chosen is None else self._begin(chosen)
        elif speaking.cut is None and self._turns.interrupts(speaking.utterance):
            self._interrupt(speaking, now_s)

    def _interrupt(self, speaking: Playing, now_s: float) -> None:
        """Make way for something critical, and queue what it cuts off again; but not an alert, which
        is about a moment that has passed, nor what yields."""
        speaking.cut = "interrupted"
        said = speaking.utterance
        least = AS_GOOD_AS_SAID_S * self.sample_rate_hz
        if not (said.kind == "alert" or said.yields) and (
            speaking.left is None or speaking.left > least
        ):
            self._turns.put_back(replace(said, id=self._next_id(), queued_s=now_s, resumes=said.id))

    def _begin(self, utterance: Utterance) -> Playing:
        sound = np.zeros((0, 2), dtype=np.float32)
        if utterance.earcon is not None:
            sound = earcon(
                utterance.earcon, utterance.azimuth_deg, utterance.distance_m, self.sample_rate_hz
            )
        return Playing(utterance, sound, utterance.text, len(sound))

    def _drop(self, utterances: list[Utterance], reason: Drop) -> None:
        self._reports += [partial(self._report_dropped, u, reason) for u in utterances]

    def _silence(
        self, applies: Callable[[Utterance], bool], reason: Literal["superseded", "cancelled"]
    ) -> None:
        with self._lock:
            self._drop(self._turns.take(applies), reason)
            for playing in self._mixer.playing:
                if applies(playing.utterance):
                    playing.cut = reason

    # the sound

    def _add_words(self, playing: Playing) -> None:
        """Synthesise what `playing` says; without the lock, so that nobody waits for it."""
        said, text = playing.utterance, playing.text
        playing.text = ""
        try:
            mono = self._voice.synthesise(text)
        except SpeechFailed as error:
            self.on_health(Health("speech", str(error), "left the words out"))
            if not playing.words_at:
                playing.cut = "cancelled"
            return
        # An alert's words come from where its sound came from; all else has no place.
        words = (
            spatialise(mono, said.azimuth_deg, self.sample_rate_hz)
            if said.kind == "alert"
            else centre(mono)
        )
        playing.samples = np.concatenate([playing.samples, words])

    def _mix(self) -> Samples:
        self._gap = max(0, self._gap - self.block_samples)
        block, events = self._mixer.block()
        for event in events:
            said = event.playing.utterance
            if event.what == "ended" and said.text and said.kind == "alert":
                self._gap = round(GAP_S * self.sample_rate_hz) - (len(block) - event.at)
            self._reports.append(partial(self._report, event))
        return block

    # what is reported, with the moment at which the block was handed over

    def _report_dropped(self, utterance: Utterance, reason: Drop, _time_s: float) -> None:
        self._on_heard(Heard(utterance, None, None, reason))

    def _report(self, event: Event, time_s: float) -> None:
        playing = event.playing
        said = playing.utterance
        if event.what == "dropped":
            reason: Drop = "cancelled" if playing.cut == "cancelled" else "superseded"
            self._report_dropped(said, reason, time_s)
        elif event.what == "began":
            # A late loop hands several blocks over at once; words still follow earlier words' end.
            playing.started_s = max(time_s, self._free_s) if said.text else time_s
            self._on_started(said, playing.started_s)
        else:
            started_s = time_s if playing.started_s is None else playing.started_s
            ended_s = max(started_s, time_s + event.at / self.sample_rate_hz)
            if said.text:
                self._free_s = ended_s
            self._on_heard(Heard(said, started_s, ended_s, cut=playing.cut))


def advance(audio: Audio, sink: Sink, clock: Clock, time_s: float) -> None:
    """Move a virtual `clock` on to `time_s` (to the end of that block), and the sound with it."""
    while (blocks := math.ceil((time_s - clock.now()) / audio.block_s - 1e-6)) > 0:
        if audio.idle:
            blocks = min(blocks, IDLE_BLOCKS)
            _write(audio, sink, audio.rest(blocks))
            clock.sleep(blocks * audio.block_s)
        else:
            _step(audio, sink, clock)
            clock.sleep(audio.block_s)


def drain(audio: Audio, sink: Sink, clock: Clock) -> None:
    """Move a virtual `clock` on until all has been heard."""
    while not audio.idle:
        _step(audio, sink, clock)
        clock.sleep(audio.block_s)


def speak(
    audio: Audio, sink: Sink, clock: Clock, stop: threading.Event, since_s: float | None = None
) -> float:
    """Live: feed the sink in real time until `stop`, then fall silent; what waits is cancelled.

    A paced sink sets the pace; for any other, and from when a device is lost, the clock does, and a
    late loop catches up. A sink that fails is reported and speech goes on without it. Returns until
    when the sink is fed, which is the next call's `since_s`; None is now.
    """
    due_s = clock.now() if since_s is None else since_s
    while not stop.is_set():
        now_s = clock.now()
        if sink.paced:
            due_s = now_s
        elif now_s < due_s:
            clock.sleep(due_s - now_s)
            continue
        _step(audio, sink, clock)
        due_s += audio.block_s
    audio.stop()
    _step(audio, sink, clock)
    return due_s + audio.block_s


def _step(audio: Audio, sink: Sink, clock: Clock) -> None:
    block = audio.render(clock.now())
    audio.handed(clock.now())  # synthesis took time: the first sample leaves now
    _write(audio, sink, block)


def _write(audio: Audio, sink: Sink, block: Samples) -> None:
    try:
        sink.write(block)
    except SpeechFailed as error:
        audio.on_health(Health("speech", str(error), "went on without sound"))
