"""Runs the depth model: in a background thread when live, inline in a batch.

Must not know what depth is used for. Any exception of a depth model becomes a DepthFailed.
"""

import math
import threading

from engine.core.camera import Frame
from engine.core.errors import DepthFailed, in_one_line
from engine.core.glance import DepthMap
from engine.core.ports import MeasuresDepth
from engine.core.slot import Slot
from engine.core.worker import lower_thread_priority

INTERVAL_S = 0.5  # maps in quicker succession share the same errors and add nothing
TIMEOUT_S = 20.0  # a later map is useless: its frame has been forgotten
STOP_S = 5.0


class InlineDepth:
    """Runs the model in the caller's thread."""

    def __init__(self, model: MeasuresDepth) -> None:
        self._model = model
        self._next_s = -math.inf

    def offer(self, frame: Frame) -> DepthMap | None:
        """The depth of `frame`, or None within INTERVAL_S of the last. Raises DepthFailed."""
        if frame.time_s < self._next_s:
            return None
        self._next_s = frame.time_s + INTERVAL_S
        return _measured(self._model, frame)

    def close(self) -> None: ...


class ThreadedDepth:
    """Runs the model on the newest frame in a background thread. One thread calls `offer`."""

    def __init__(self, model: MeasuresDepth) -> None:
        self._model = model
        self._frames: Slot[Frame] = Slot()
        self._maps: Slot[DepthMap] = Slot()
        self._reader = self._maps.reader()
        self._failure: DepthFailed | None = None
        self._next_s = -math.inf
        self._waiting_since_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="depth", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame) -> DepthMap | None:
        """Offer `frame` and return the newest finished map, of this frame or an earlier one, each
        once. Never blocks. Raises DepthFailed if the model has failed or hangs."""
        if self._failure is not None:
            raise self._failure
        found = self._reader.next(0.0)
        if found is not None:
            self._waiting_since_s = None
        elif self._waiting_since_s is not None and frame.time_s - self._waiting_since_s > TIMEOUT_S:
            raise DepthFailed(f"no depth for {TIMEOUT_S:g} s")
        if frame.time_s >= self._next_s:
            self._next_s = frame.time_s + INTERVAL_S
            if self._waiting_since_s is None:
                self._waiting_since_s = frame.time_s
            self._frames.put(frame)
        return found

    def close(self) -> None:
        """Stop the thread and wait for it, since a process that ends inside a library call is
        aborted; but wait at most STOP_S for a model that hangs."""
        self._frames.close()
        self._model.stop()
        self._thread.join(timeout=STOP_S)

    def _run(self) -> None:
        lower_thread_priority()
        reader = self._frames.reader()
        try:
            while (frame := reader.next()) is not None and not self._frames.closed:
                self._maps.put(_measured(self._model, frame))
        except DepthFailed as error:
            self._failure = error


def _measured(model: MeasuresDepth, frame: Frame) -> DepthMap:
    try:
        return DepthMap(frame.seq, model.metres(frame))
    except Exception as error:  # out of memory, driver, bug: localisation continues without depth
        raise DepthFailed(in_one_line(error)) from error
