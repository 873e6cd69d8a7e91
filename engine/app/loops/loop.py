"""The interface of every live loop."""

import threading
from typing import Protocol

STALLED_S = 2.0  # a live camera that gives no frame for this long is announced as lost
POLL_S = 0.05


class Loop(Protocol):
    """The body of one thread. `name` names the thread and appears in errors."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set or the input ends. Raises RunError."""
        ...

    def wake(self) -> None:
        """End any wait, because `stop` has been set. May be called from any thread."""
        ...

    def close(self) -> None:
        """Close the output. Called in the loop's thread after `run`, even if that raised."""
        ...
