"""A depth model that works, fails or hangs."""

import threading

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from tests.fakes.answering import CARD


class FakeDepthModel:
    """`how`: "works" (3 m everywhere), "fails", or "hangs" until `let_go` is set."""

    card = CARD

    def __init__(self, how: str = "works") -> None:
        self._how = how
        self.let_go = threading.Event()

    def metres(self, frame: Frame) -> NDArray[np.float32]:
        if self._how == "fails":
            raise ValueError("out of memory")
        if self._how == "hangs":
            self.let_go.wait()
        return np.full((4, 4), 3.0, np.float32)

    def stop(self) -> None: ...
