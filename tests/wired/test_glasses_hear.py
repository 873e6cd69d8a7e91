"""The ear at glasses: a wake phrase recorded by their microphones, and blocks that come live."""

from pathlib import Path

import numpy as np

from engine.clock import VirtualClock
from engine.devices.glasses_sound import GlassesSound, sound_of
from engine.devices.microwakeword import MicroWakeWord
from engine.devices.vrs import VrsSource
from engine.ear import Framer
from engine.ports import Hears
from engine.types import HEARING_HZ, Pcm
from experiments.spoken import pause, say
from tests import aria, vrs_file
from tests.aria import GEN1

RATE_HZ = 48_000


def recorded(path: Path, samples: np.ndarray) -> VrsSource:
    """One picture, and `samples` (n,) at 16 kHz in [-1, 1] on the first of seven microphones."""
    calibration = aria.calibrated(GEN1)
    out = vrs_file.Recording(aria.told(calibration))
    stream = out.camera(214, 1, 352, 352, 10.0)
    aria.add_picture(stream, 1.0, aria.picture(calibration, "camera-rgb", (0.0, 0.0, 1.0)), 0)
    sound = out.microphones(7, RATE_HZ)
    fine = np.interp(np.arange(3 * len(samples)) / 3, np.arange(len(samples)), samples)
    for start in range(0, len(fine) - 4799, 4800):
        block = np.zeros((4800, 7), np.int32)
        block[:, 0] = 0.9 * np.iinfo(np.int32).max * fine[start : start + 4800]
        times = [round((1.0 + (start + at) / RATE_HZ) * 1e9) for at in range(4800)]
        sound.add(1.0 + start / RATE_HZ, block.tobytes(), capture_timestamps_ns=times)
    return VrsSource(out.write(path))


def test_a_phrase_that_the_glasses_recorded_wakes(tmp_path: Path) -> None:
    said = say("okay nabu", "gmw/en-us", 170).samples
    source = recorded(tmp_path / "a.vrs", np.concatenate([pause(1.0), said, pause(1.0)]))
    assert isinstance(source, Hears)
    blocks = source.microphone()
    assert blocks is not None
    clock, engine = VirtualClock(), MicroWakeWord("okay nabu")
    ear, framer = sound_of(blocks, False, clock), Framer(engine.frame_samples)
    woke_s = []
    while not ear.ended:
        if (sound := ear.read(1.0)) is not None:
            woke_s += [part.time_s for part in framer.frames(sound) if engine.hear(part.pcm)]
    assert len(woke_s) >= 1
    assert 1.0 < woke_s[0] < 2.0 + len(said) / HEARING_HZ


def test_live_blocks_come_in_order_and_none_is_waited_for_without_end() -> None:
    class Three:

    time_s = 0.0

        def __init__(self) -> None:
            self.left = [np.full(512, number, np.int16) for number in (1, 2, 3)]

        def read(self) -> Pcm | None:
            return self.left.pop(0) if self.left else None

    clock = VirtualClock()
    ear = GlassesSound(Three(), clock)
    heard = [ear.read(0.1) for _ in range(4)]
    assert [None if sound is None else int(sound.pcm[0]) for sound in heard] == [1, 2, 3, None]
    assert 0.1 <= clock.now() < 0.12
    assert not ear.ended
