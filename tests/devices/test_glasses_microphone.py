"""The glasses' microphone as a sound source, live and recorded."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.devices.aria.microphone import GlassesMicrophone
from tests.fakes.glasses import Clock

BLOCK_S = 0.032


class Tape:
    """`count` numbered blocks of BLOCK_S; `put` adds a live one."""

    def __init__(self, count: int) -> None:
        self._left = list(range(count))
        self.time_s = 0.0

    def put(self, number: int) -> None:
        self._left.append(number)

    def read(self) -> NDArray[np.int16] | None:
        if not self._left:
            return None
        number = self._left.pop(0)
        self.time_s = (number + 1) * BLOCK_S
        return np.full(512, number, np.int16)


class Wall(Clock):
    """The ear's port calls waiting `sleep`."""

    def sleep(self, seconds: float) -> None:
        self.wait(seconds)


def test_a_recording_is_delivered_in_real_time_to_its_end() -> None:
    clock = Wall()
    ear = GlassesMicrophone(Tape(5), False, clock)
    begin_s, heard = clock.now_s, []
    while not ear.ended:
        sound = ear.read(0.02)  # shorter than a block, which must not be lost when a read times out
        if sound is not None:
            assert clock.now_s >= sound.time_s - 1e-9
            heard.append((int(sound.pcm[0]), sound.time_s - begin_s))
    assert [number for number, _ in heard] == [0, 1, 2, 3, 4]
    assert [s for _, s in heard] == pytest.approx([BLOCK_S * (i + 1) for i in range(5)])
    assert ear.read(1.0) is None


def test_live_sound_is_delivered_on_arrival_and_a_read_times_out() -> None:
    clock, tape = Wall(), Tape(0)
    ear = GlassesMicrophone(tape, True, clock)
    before_s = clock.now_s
    assert ear.read(0.5) is None
    assert clock.now_s - before_s == pytest.approx(0.5, abs=0.02)
    assert not ear.ended
    tape.put(3)
    sound = ear.read(0.5)
    assert sound is not None
    assert sound.time_s == pytest.approx(4 * BLOCK_S)
    ear.close()
    assert ear.ended
    assert ear.read(0.1) is None
