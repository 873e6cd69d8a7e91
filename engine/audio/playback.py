"""Feeds a sink with the scheduler's blocks: in real time, or by a virtual clock in a batch."""

import math
import threading
from collections.abc import Callable

from engine.audio.scheduler import Audio
from engine.core.errors import in_one_line
from engine.core.ports import Clock, Sink
from engine.core.report import Health
from engine.core.sound import Samples

IDLE_BLOCKS = 500  # maximum silence written at once, so that memory stays bounded


def advance(audio: Audio, sink: Sink, clock: Clock, time_s: float) -> None:
    """Render until `time_s`, to the end of that block, and advance the virtual `clock`."""
    while (blocks := math.ceil((time_s - clock.now()) / audio.block_s - 1e-6)) > 0:
        if audio.idle:
            blocks = min(blocks, IDLE_BLOCKS)
            _write(audio, sink, audio.rest(blocks))
            clock.sleep(blocks * audio.block_s)
        else:
            _step(audio, sink, clock)
            clock.sleep(audio.block_s)


def drain(audio: Audio, sink: Sink, clock: Clock) -> None:
    """Render until everything has been heard, and advance the virtual `clock`."""
    while not audio.idle:
        _step(audio, sink, clock)
        clock.sleep(audio.block_s)


def no_beat() -> None:
    """Nobody watches."""


def speak(
    audio: Audio,
    sink: Sink,
    clock: Clock,
    stop: threading.Event,
    since_s: float | None = None,
    beat: Callable[[], object] = no_beat,
) -> float:
    """Feed the sink in real time until `stop` is set, then cancel everything and fall silent.

    A paced sink sets the pace. Otherwise, and after a device is lost, the clock does, and a late
    loop catches up. A failing sink is reported, and speech continues without it. `beat` is called
    after everything that can hang, and may end the loop by raising. Returns the time up to which
    the sink has been fed, for the next call's `since_s`; None means now.
    """
    due_s = clock.now() if since_s is None else since_s
    while not stop.is_set():
        now_s = clock.now()
        if sink.paced:
            due_s = now_s
        elif now_s < due_s:
            clock.sleep(due_s - now_s)
            beat()
            continue
        _step(audio, sink, clock, beat)
        due_s += audio.block_s
    audio.stop()
    _step(audio, sink, clock, beat)
    return due_s + audio.block_s


def _step(audio: Audio, sink: Sink, clock: Clock, beat: Callable[[], object] = no_beat) -> None:
    block = audio.render(clock.now(), beat)
    audio.handed(clock.now())  # after synthesis, which took time: the first sample leaves now
    _write(audio, sink, block)
    beat()


def _write(audio: Audio, sink: Sink, block: Samples) -> None:
    try:
        sink.write(block)
    except Exception as error:  # whatever a sink raises, the next block may be heard
        audio.on_health(Health("speech", in_one_line(error), "went on without sound"))
