"""What every live loop has in common."""

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
        """Return from any wait, as `stop` has been set. From any thread."""
        ...

    def close(self) -> None:
        """End the output. Called in the loop's own thread after `run`, even if that raised."""
        ...
