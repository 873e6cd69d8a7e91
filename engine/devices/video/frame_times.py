"""Gives the frames of a video their times, also where its time stamps are wrong.

Pure arithmetic on seconds; knows nothing of files.
"""

from typing import Literal

LONGEST_GAP_S = 2.0  # a longer one would be silence without a reason
SHORTEST_STEP_S = 1e-4  # no camera is faster; a smaller step is a rounding error
# A gap that is too long is shown as this one. It is longer than the window over which growth is
# measured, so that no speed is computed across it.
SHOWN_GAP_S = 1.2
# More repeated stamps in a row than this are no disorder: the stamps say nothing.
MOST_REPEATED = 4

Anomaly = Literal["gap", "back", "disorder"]


class FrameTimes:
    """Places one frame after another on a timeline that starts at 0 and strictly increases.

    Intervals between good stamps are kept exactly, also after an anomaly. `fps` is the nominal
    rate, for frames whose stamps are missing.
    """

    def __init__(self, fps: float) -> None:
        self._frame_s = 1 / fps
        self._longest_s = max(LONGEST_GAP_S, 2 / fps)
        self._time_s: float | None = None  # of the last frame
        self._stamp_s: float | None = None  # the stamp of the last frame
        self._zero_s: float | None = None  # the stamp of time 0
        self._repeated = 0

    def place(
        self, stamp_s: float | None, next_stamp_s: float | None
    ) -> tuple[float, Anomaly | None]:
        """The time of the next frame, and what was wrong with its stamp.

        `gap`: it is too far ahead; `back`: the file's clock was set back; `disorder`: this one
        stamp is wrong. `next_stamp_s` is that of the frame after it, None if it is unknown.
        """
        repeats = stamp_s is not None and stamp_s == self._stamp_s
        self._repeated = self._repeated + 1 if repeats else 0
        time_s, anomaly = self._placed(stamp_s, next_stamp_s)
        if stamp_s is not None and (anomaly != "disorder" or self._zero_s is None):
            self._zero_s = stamp_s - time_s
        self._time_s, self._stamp_s = time_s, stamp_s
        return time_s, anomaly

    def _placed(
        self, stamp_s: float | None, next_stamp_s: float | None
    ) -> tuple[float, Anomaly | None]:
        last_s, zero_s = self._time_s, self._zero_s
        if last_s is None:
            return 0.0, None
        if zero_s is None:  # no stamp so far
            return last_s + self._frame_s, None
        next_ahead_s = None if next_stamp_s is None else next_stamp_s - zero_s - last_s
        if stamp_s is None:
            return last_s + self._guess_s(next_ahead_s), None
        ahead_s = stamp_s - zero_s - last_s
        if self._is_step(ahead_s):
            return last_s + ahead_s, None
        if self._stamp_s is None:  # the guesses for missing stamps ran ahead, or a gap follows
            return last_s + self._frame_s, None
        if self._is_step(stamp_s - self._stamp_s):  # only the guesses for earlier ones ran ahead
            return last_s + stamp_s - self._stamp_s, None
        if next_stamp_s is None or self._is_step(next_stamp_s - stamp_s):
            if ahead_s > 0:
                return last_s + SHOWN_GAP_S, "gap"
            if next_ahead_s is not None and next_ahead_s <= 0:
                return last_s + SHOWN_GAP_S, "back"
        return last_s + self._guess_s(next_ahead_s), "disorder"

    def _guess_s(self, next_ahead_s: float | None) -> float:
        """The time from the last frame to one without a good stamp, `next_ahead_s` before the next
        one. Repeated stamps leave room for the good one that may follow."""
        if next_ahead_s is not None and self._is_step(next_ahead_s):
            return min(self._frame_s, next_ahead_s / 2)
        return self._frame_s * (0.5**self._repeated if self._repeated < MOST_REPEATED else 1.0)

    def _is_step(self, seconds: float) -> bool:
        return SHORTEST_STEP_S <= seconds <= self._longest_s
