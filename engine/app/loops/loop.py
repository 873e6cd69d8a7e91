"""The interface of every live loop."""

from typing import Protocol

from engine.core.pulse import Pulse

STALLED_S = 2.0  # a live camera that gives no frame for this long is announced as lost
POLL_S = 0.05
OPENING_S = 60.0  # patience with a loop that opens a device or loads a model


class Loop(Protocol):
    """The body of one thread.

    `name` names the thread and appears in errors. A run that gives no beat for `patience_s` is
    abandoned. A loop is restarted at most `restarts` times within five minutes. The session ends
    when a `vital` one cannot be.
    """

    name: str
    vital: bool

    @property
    def patience_s(self) -> float: ...

    @property
    def restarts(self) -> int: ...

    def run(self, pulse: Pulse) -> None:
        """Work until `pulse.stop` is set or the input ends; call `pulse.beat` meanwhile.

        A further run opens new devices and models. They are closed in the thread that uses them.
        Raises RunError.
        """
        ...

    def wake(self) -> None:
        """End any wait, because `stop` has been set. May be called from any thread."""
        ...

    def close(self) -> None:
        """Close the output: the loop will not run again. Never waits."""
        ...
