"""A sink that is opened again after a loss, and when that is told."""

import numpy as np

from engine.audio.steady_sink import AGAIN_S, PROVEN, SteadySink
from engine.core.clock import VirtualClock
from engine.core.sound import Samples

BLOCK = np.zeros((10, 2), np.float32)


class Loose:
    """A sink that takes `left` blocks, and then fails."""

    name, paced = "loose", False

    def __init__(self, left: int) -> None:
        self.left = left

    def write(self, block: Samples) -> None:
        if self.left == 0:
            raise OSError("no such device")
        self.left -= 1

    def close(self) -> None: ...


def test_a_sink_that_opens_and_fails_at_once_is_lost_once_and_back_once() -> None:
    clock, told = VirtualClock(), list[str]()
    sinks = iter([Loose(0), Loose(1), Loose(PROVEN - 1), Loose(1_000_000)])
    steady = SteadySink(
        Loose(1),
        lambda: next(sinks),
        clock,
        lambda error: told.append(str(error)),
        lambda: told.append("back"),
    )
    steady.write(BLOCK)
    assert told == []
    for _ in range(4):
        for _ in range(PROVEN + 2):
            steady.write(BLOCK)
        clock.sleep(AGAIN_S)
    assert told == ["no such device"]
    for _ in range(PROVEN + 1):
        steady.write(BLOCK)
    assert told == ["no such device", "back"]
