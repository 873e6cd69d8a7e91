"""A sink that outlives its device: it is opened again after a loss, as soon as it returns."""

import contextlib
from collections.abc import Callable

from engine.core.errors import EngineError
from engine.core.ports import Clock, Sink
from engine.core.sound import Samples

AGAIN_S = 2.0  # between two attempts to open the sink
# Blocks, half a second of sound, that a sink must take before it counts as back: one that opens and
# fails at once would tell of its loss and return without end.
PROVEN = 25


class SteadySink:
    """Passes blocks on to `sink`, or discards them while there is none; never raises an Exception.

    To be used and closed by the thread that feeds it. `reopen` opens the sink again and raises an
    EngineError while it cannot; None: there is no other. `on_lost` and `on_back` tell of a loss and
    of the return, once it is PROVEN.
    """

    name = "steady"

    def __init__(
        self,
        sink: Sink | None,
        reopen: Callable[[], Sink] | None,
        clock: Clock,
        on_lost: Callable[[Exception], None],
        on_back: Callable[[], None],
    ) -> None:
        self._sink = sink
        self._reopen = reopen
        self._clock = clock
        self._on_lost = on_lost
        self._on_back = on_back
        self._tried_s = clock.now()
        self._to_prove = 0  # blocks, after it was opened again

    @property
    def paced(self) -> bool:
        return self._sink is not None and self._sink.paced

    def write(self, block: Samples) -> None:
        """Play `block` (n, 2), or discard it."""
        if self._sink is None:
            self._open_again()
            return
        try:
            self._sink.write(block)
        except Exception as error:  # whatever a device's library raises, the next one may work
            self.close()
            self._tried_s = self._clock.now()
            if not self._to_prove:
                self._on_lost(error)
            return
        if self._to_prove:
            self._to_prove -= 1
            if not self._to_prove:
                self._on_back()

    def close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with contextlib.suppress(Exception):
                sink.close()

    def _open_again(self) -> None:
        now_s = self._clock.now()
        if self._reopen is None or now_s - self._tried_s < AGAIN_S:
            return
        self._tried_s = now_s
        with contextlib.suppress(EngineError):
            self._sink = self._reopen()
            self._to_prove = PROVEN
