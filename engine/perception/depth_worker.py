"""Who measures depth when: in a thread of its own beside the live loops, in order in a batch.

Neither knows what depth is good for. What a depth model raises becomes one DepthFailed.
"""

import math
import threading

from engine.core.camera import Frame
from engine.core.errors import DepthFailed, in_one_line
from engine.core.glance import DepthMap
from engine.core.ports import DepthModel
from engine.core.slot import Slot
from engine.core.worker import make_way

PACE_S = 0.5  # maps in quicker succession err alike and teach nothing new
LATE_S = 20.0  # a map that takes so long is of no use: its frame is forgotten
STOP_S = 5.0


class InlineDepth:
    """Measures in the caller's thread."""

    def __init__(self, model: DepthModel) -> None:
        self._model = model
        self._next_s = -math.inf

    def after(self, frame: Frame) -> DepthMap | None:
        """The depth of `frame`, or None within PACE_S of the last. Raises DepthFailed."""
        if frame.time_s < self._next_s:
            return None
        self._next_s = frame.time_s + PACE_S
        return _measured(self._model, frame)

    def close(self) -> None: ...


class ThreadedDepth:
    """Measures the newest frame in a thread that nobody waits for. `after` is for one thread."""

    def __init__(self, model: DepthModel) -> None:
        self._model = model
        self._frames: Slot[Frame] = Slot()
        self._maps: Slot[DepthMap] = Slot()
        self._reader = self._maps.reader()
        self._failure: DepthFailed | None = None
        self._next_s = -math.inf
        self._waits_s: float | None = None  # since when a map has been waited for
        self._thread = threading.Thread(target=self._run, name="depth", daemon=True)
        self._thread.start()

    def after(self, frame: Frame) -> DepthMap | None:
        """Offer `frame` and get the newest map that is ready, of this frame or of an earlier one, each
        once. Never waits. Raises DepthFailed when the model has failed or hangs."""
        if self._failure is not None:
            raise self._failure
        found = self._reader.next(0.0)
        if found is not None:
            self._waits_s = None
        elif self._waits_s is not None and frame.time_s - self._waits_s > LATE_S:
            raise DepthFailed(f"no depth for {LATE_S:g} s")
        if frame.time_s >= self._next_s:
            self._next_s = frame.time_s + PACE_S
            self._waits_s = frame.time_s if self._waits_s is None else self._waits_s
            self._frames.put(frame)
        return found

    def close(self) -> None:
        """A process that ends while a library computes is aborted, so the thread is waited for; but a
        model that hangs does not hold up the end for longer than STOP_S."""
        self._frames.close()
        self._model.stop()
        self._thread.join(timeout=STOP_S)

    def _run(self) -> None:
        make_way()
        reader = self._frames.reader()
        try:
            while (frame := reader.next()) is not None and not self._frames.closed:
                self._maps.put(_measured(self._model, frame))
        except DepthFailed as error:
            self._failure = error


def _measured(model: DepthModel, frame: Frame) -> DepthMap:
    try:
        return DepthMap(frame.seq, model.metres(frame))
    except Exception as error:  # out of memory, a driver, a bug: distances go on without depth
        raise DepthFailed(in_one_line(error)) from error
