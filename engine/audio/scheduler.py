"""The one scheduler of all sound: priorities, deadlines, gaps and interruptions.

It is a pull model. The owner of the sink (`engine.audio.playback`) asks `render` for one block
after another, including silence, so that the sink gets exactly what a wearer hears. Must not know
what an obstacle or an answer is, which voice or sink it uses, what time it is, or how samples are
mixed.
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
from engine.core.errors import in_one_line
from engine.core.ports import Voice
from engine.core.report import Health
from engine.core.sound import Samples
from engine.core.utterance import Drop, Heard, Kind, Utterance

BLOCK_S = 0.02
GAP_S = 0.75  # silence after an alert, as in Microsoft Soundscape between callouts
NEARLY_SAID_S = 0.15  # an utterance with less than this left is not repeated after an interruption
VOLUME_STEP_DB = 3.0  # clearly audible
SOFTEST_DB, LOUDEST_DB = -15.0, 9.0  # so that alerts stay audible and the limiter does not pump


class Audio:
    """Schedules utterances and renders them block by block.

    `say`, `stop`, `supersede_answers` and `change_volume` may be called from any thread. `render`,
    `rest` and `handed` belong to the thread that owns the sink, which also makes all callbacks.

    `UtteranceQueue` chooses the next utterance. One that is past its deadline is dropped as stale.
    One without words never waits: its earcon is mixed in, and ducked while words are spoken. An
    utterance that is cut after its start counts as heard. After an interruption by a critical one,
    it is repeated from its beginning with a new id from `next_id`, unless it is an alert or
    `yields`. An answer is queued clause by clause, so only its last clause is repeated.
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
        self._queue = UtteranceQueue()
        self._mixer = Mixer(self.sample_rate_hz, self.block_samples)
        self._reports: list[Callable[[float], None]] = []
        self._gap = 0  # samples until the next alert or status may begin
        self._expecting_until_s = -math.inf
        self._free_s = -math.inf  # the end of the last words
        self._alarms = 0
        self._volume_db = 0.0
        self._muted = False
        self._answers_from = 0  # the request from which on answers are said
        self.failures = 0  # of the voice, since it last worked

    @property
    def block_s(self) -> float:
        """The length of a block in seconds."""
        return self.block_samples / self.sample_rate_hz

    @property
    def idle(self) -> bool:
        """Whether nothing waits, plays, or has yet to be reported."""
        with self._lock:
            return self._is_idle()

    @property
    def alarms(self) -> int:
        """The number of critical utterances queued so far."""
        with self._lock:
            return self._alarms

    @property
    def volume_db(self) -> float:
        """The volume that was set, 0 at the start."""
        with self._lock:
            return self._volume_db

    def say(self, utterance: Utterance) -> None:
        """Queue `utterance`. It supersedes older alerts from its direction (`UtteranceQueue.add`).
        A critical one also supersedes everything that `yields`."""
        with self._lock:
            if utterance.answer is not None and utterance.answer < self._answers_from:
                self._drop([utterance], "superseded")
                return
            self._drop(self._queue.add(utterance), "superseded")
            if is_critical(utterance):
                self._alarms += 1
                self._drop(self._queue.take(lambda u: u.yields), "superseded")

    def mute(self, muted: bool) -> None:
        """While muted, since nobody would hear it, drop whatever is said, as cancelled."""
        with self._lock:
            self._muted = muted

    def renew(self, voice: Voice | None) -> None:
        """Go on with another voice, or try the same again if None. The utterance whose words the
        old one has not given is lost."""
        with self._lock:
            self._voice = voice or self._voice
            self.failures = 0
            speaking = self._mixer.speaking
            if speaking is not None and len(speaking.samples) <= speaking.words_at:
                speaking.text, speaking.cut = "", "cancelled"

    def expect_answer(self, until_s: float) -> None:
        """The wearer has asked: alerts that are not critical wait until `until_s` at most for the
        answer, which names obstacles first."""
        with self._lock:
            self._expecting_until_s = until_s

    def stop(self, *kinds: Kind) -> None:
        """Silence these kinds within one block, or all kinds if none is given. Also drop the
        waiting utterances."""
        self._silence(lambda u: not kinds or u.kind in kinds, "cancelled")

    def supersede_answers(self, newer: int | None = None) -> None:
        """A newer request has come: drop waiting answers and cut the one being said. `newer` is its
        id: what is still said in answer to an older one is dropped too."""
        with self._lock:
            self._answers_from = newer or self._answers_from
        self._silence(lambda u: u.kind == "answer", "superseded")

    def change_volume(self, steps: int) -> bool:
        """Change the volume by `steps` times VOLUME_STEP_DB. Return whether it changed, within
        SOFTEST_DB and LOUDEST_DB."""
        with self._lock:
            before_db = self._volume_db
            wanted_db = before_db + steps * VOLUME_STEP_DB
            self._volume_db = min(LOUDEST_DB, max(SOFTEST_DB, wanted_db))
            self._mixer.volume = 10 ** (self._volume_db / 20)
            return self._volume_db != before_db

    def render(self, now_s: float, beat: Callable[[], object] = lambda: None) -> Samples:
        """The next block, stereo (block_samples, 2), with a peak of at most -1 dBFS.

        Deadlines are compared with `now_s`. Call `handed` afterwards. The words of an utterance are
        synthesised when its turn comes, which may take some 10 ms. A failure is reported, and the
        utterance is left out. `beat` is called after the synthesis, and ends it all by raising.
        """
        with self._lock:
            if self._is_idle():
                return self.rest(1)
            self._start_next(now_s)
            speaking = self._mixer.speaking
        # The first block of an earcon is rendered before its words are synthesised, to save time.
        if speaking and speaking.text and (speaking.position or speaking.words_at == 0):
            self._add_words(speaking, beat)
        with self._lock:
            return self._mix()

    def rest(self, blocks: int) -> Samples:
        """`blocks` blocks of silence in one array (n, 2). Only while idle."""
        self._gap = max(0, self._gap - blocks * self.block_samples)
        self._mixer.rest()
        return np.zeros((blocks * self.block_samples, 2), dtype=np.float32)

    def handed(self, time_s: float) -> None:
        """The last rendered block is handed to the sink now: make its callbacks."""
        with self._lock:
            reports, self._reports = self._reports, []
        for report in reports:
            report(time_s)

    # Choosing what plays (with the lock held).

    def _is_idle(self) -> bool:
        return not (self._queue.waiting or self._mixer.playing or self._reports)

    def _start_next(self, now_s: float) -> None:
        if self._muted:
            self._drop(self._queue.take(lambda u: True), "cancelled")
            for playing in self._mixer.playing:
                playing.cut = playing.cut or "cancelled"
        late = self._queue.take(lambda u: u.deadline_s is not None and now_s > u.deadline_s)
        self._drop(late, "stale")
        self._mixer.sounds += [self._begin(u) for u in self._queue.take(lambda u: not u.text)]
        speaking = self._mixer.speaking
        if speaking is None:
            chosen = self._queue.next(
                gap_over=self._gap == 0, answer_first=now_s < self._expecting_until_s
            )
            if chosen is not None and chosen.kind == "answer" and chosen.resumes is None:
                self._expecting_until_s = -math.inf
            self._mixer.speaking = None if chosen is None else self._begin(chosen)
        elif speaking.cut is None and self._queue.interrupts(speaking.utterance):
            self._interrupt(speaking, now_s)

    def _interrupt(self, speaking: Playing, now_s: float) -> None:
        """Cut `speaking` for a critical utterance and queue it again, unless it is an alert, which
        is about a past moment, or yields."""
        speaking.cut = "interrupted"
        said = speaking.utterance
        nearly_said = NEARLY_SAID_S * self.sample_rate_hz
        if not (said.kind == "alert" or said.yields) and (
            speaking.left is None or speaking.left > nearly_said
        ):
            self._queue.put_back(replace(said, id=self._next_id(), queued_s=now_s, resumes=said.id))

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
            self._drop(self._queue.take(applies), reason)
            for playing in self._mixer.playing:
                if applies(playing.utterance):
                    playing.cut = reason

    # Rendering.

    def _add_words(self, playing: Playing, beat: Callable[[], object]) -> None:
        """Synthesise the words of `playing`, without the lock, so that no caller waits for it."""
        said, text = playing.utterance, playing.text
        playing.text = ""
        try:
            mono = self._voice.synthesise(text)
            if not np.isfinite(mono).all():
                raise ValueError("the voice gave samples that are not finite")
            beat()
            self.failures = 0
        except Exception as error:  # a voice's bug costs one utterance, not all of them
            beat()
            self.failures += 1
            self.on_health(Health("speech", in_one_line(error), "left the words out"))
            if not playing.words_at:
                playing.cut = "cancelled"
            return
        # An alert's words come from the direction of its earcon; other words have no direction.
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

    # Reporting, with the time at which the block was handed over.

    def _report_dropped(self, utterance: Utterance, reason: Drop, _time_s: float) -> None:
        self._on_heard(Heard(utterance, None, None, reason))

    def _report(self, event: Event, time_s: float) -> None:
        playing = event.playing
        said = playing.utterance
        if event.what == "dropped":
            reason: Drop = "cancelled" if playing.cut == "cancelled" else "superseded"
            self._report_dropped(said, reason, time_s)
        elif event.what == "began":
            # A late loop hands over several blocks at once, but words never overlap earlier ones.
            playing.started_s = max(time_s, self._free_s) if said.text else time_s
            self._on_started(said, playing.started_s)
        else:
            started_s = time_s if playing.started_s is None else playing.started_s
            ended_s = max(started_s, time_s + event.at / self.sample_rate_hz)
            if said.text:
                self._free_s = ended_s
            self._on_heard(Heard(said, started_s, ended_s, cut=playing.cut))
