"""The one priority scale of all sound. Higher values are heard sooner.

The values are floats, since an alert's priority varies with its urgency, and since `session.jsonl`
records them as such.
"""

from enum import Enum


class Priority(float, Enum):
    """Fixed points of the scale. From CRITICAL upwards, an utterance interrupts the current
    speech."""

    TICK = 1.0
    STATUS = 10.0
    ANSWER = 20.0
    READY = 25.0  # said before an answer that waits: from now on, questions are answered in full
    REASON = 26.0  # why an answer is shorter, or missing: heard after the current clause
    ALERT = 30.0  # the least urgent alert, and the all-clear
    ALERT_MAX = 60.0
    CRITICAL = 70.0  # the least urgent critical alert
    ALARM = 80.0  # losing the camera, for example: silence must mean "nothing there"
    CRITICAL_MAX = 95.0


def alert_priority(urgency: float, critical: bool) -> float:
    """The priority of an alert about an obstacle with this urgency, which is clipped to [0, 1]."""
    low, high = (
        (Priority.CRITICAL, Priority.CRITICAL_MAX)
        if critical
        else (Priority.ALERT, Priority.ALERT_MAX)
    )
    return low + (high - low) * min(1.0, max(0.0, urgency))
