"""The glasses' microphone as an `AudioSource`, live or recorded. Knows no SDK and no wake word."""

from engine.core.ports import Blocks, Clock
from engine.core.sound import Sound

POLL_S = 0.01


class GlassesMicrophone:
    """Delivers live blocks as they arrive, recorded ones at their pace from the first `read`."""

    name = "the glasses' microphone"
    overruns = 0  # losses are counted with the glasses' streams

    def __init__(self, blocks: Blocks, live: bool, clock: Clock) -> None:
        self._blocks = blocks
        self._live = live
        self._clock = clock
        self._start_s: float | None = None
        self._next: Sound | None = None
        self._ended = False

    def read(self, timeout_s: float) -> Sound | None:
        until_s = self._clock.now() + timeout_s
        if self._start_s is None:
            self._start_s = 0.0 if self._live else self._clock.now()
        while not self._ended:
            sound = self._next = self._next or self._heard()
            now_s = self._clock.now()
            if sound is not None and (self._live or sound.time_s <= now_s):
                self._next = None
                return sound
            if now_s >= until_s:
                return None
            due_s = now_s + POLL_S if sound is None else sound.time_s
            self._clock.sleep(max(0.0, min(due_s, until_s) - now_s))
        return None

    def _heard(self) -> Sound | None:
        block = self._blocks.read()
        if block is None:
            self._ended = self._ended or not self._live
            return None
        return Sound(block, (self._start_s or 0.0) + self._blocks.time_s)

    @property
    def ended(self) -> bool:
        return self._ended

    def close(self) -> None:
        self._ended = True
