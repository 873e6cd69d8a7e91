"""Decides which obstacles get a sound and a phrase now, and how short the phrase must be.

Knows neither templates nor audio. `level.py` rates an obstacle, `memory.py` knows what was
announced; an obstacle is announced again only at a higher level, clearly nearer, on the other side,
or after it has been clear for a while.
"""

import math
from collections.abc import Callable
from queue import SimpleQueue
from typing import Literal, Protocol

from engine.alerts.corridor import CorridorMonitor
from engine.alerts.level import PIPELINE_S, REACTION_S, Level, level_of
from engine.alerts.memory import AlertMemory
from engine.core.camera import Pose
from engine.core.glance import Obstacle, Side
from engine.core.priority import Priority, alert_priority
from engine.core.utterance import Heard, Utterance
from engine.perception.geometry import CORRIDOR_DEG

PhraseLength = Literal["full", "short", "shortest"]
# The shortest names the thing alone, and leaves its side to the sound: for critical alerts only.
PHRASE_LENGTHS: tuple[PhraseLength, ...] = ("full", "short", "shortest")

HYSTERESIS = 1.3  # an obstacle leaves a level at limits wider by this factor
GAP_S = 0.75  # of silence after an alert; critical alerts do not wait
FAR_M = 20.0  # beyond this distance a phrase does not get longer
MAX_ALERTS = 2  # per frame
MAX_PENDING = 16  # limit on alerts whose outcome is unknown; in practice there are far fewer
# A walker's head swings by 10 to 20 degrees a second at each step, by 50 or more to look around.
HEAD_TURN_DEG_S = 35.0
SETTLE_S = 0.4  # until the image is steady after a turn
# Minimum and maximum time that an alert may wait; in between, the time left to react decides.
ALERT_WAIT_S = (1.0, 3.0)
CRITICAL_WAIT_S = (0.3, 0.8)
ALL_CLEAR_WAIT_S = 2.0
TICK_WAIT_S = 0.5


class AlertWords(Protocol):
    """Words an alert; implemented by `engine.language.wording.Words`."""

    def alert(self, obstacle: Obstacle, length: PhraseLength) -> str: ...

    def status(self, key: Literal["way_clear"]) -> str: ...


class AlertPolicy:
    """Turns obstacles into alerts; to be used from one thread. Deterministic. With a `heartbeat_s`,
    it plays a tick after that long without an alert.

    `way_is_clear`: whether the camera is good and nothing has been in the corridor for a while, up
    to the last frame. Only then may an answer say that nothing is in the way.
    """

    def __init__(
        self,
        words: AlertWords,
        rate_wpm: int,
        next_id: Callable[[], int],
        heartbeat_s: float | None = None,
    ) -> None:
        self._words = words
        self._rate_wpm = rate_wpm
        self._next_id = next_id
        self._heartbeat_s = heartbeat_s
        self._stale_ids: SimpleQueue[int] = SimpleQueue()
        self._full_phrase_s: dict[tuple[str, Side, int], float] = {}
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is unrelated to the last."""
        self.memory = AlertMemory()
        self._quiet_until_s = -math.inf
        self._pending: dict[int, Obstacle] = {}  # by utterance, while it may still be dropped
        self._corridor = CorridorMonitor()
        self._heading_deg = self._blocked_heading_deg = 0.0
        self._head_turned_s = -math.inf  # when the head was last turning
        self._silent_since_s: float | None = None
        self.way_is_clear = False

    def warn(
        self,
        obstacles: tuple[Obstacle, ...],
        now_s: float,
        camera_is_good: bool = True,
        pose: Pose | None = None,
    ) -> tuple[Utterance, ...]:
        """The alerts to raise now, most urgent first, at most MAX_ALERTS; if there are none, the
        all-clear or a tick, which need a good camera.

        Call it for every frame, with all obstacles. `now_s` never decreases except after a reset.
        An obstacle that moves only because the head turns (see `pose`) is not announced.
        """
        self._heading_deg = 0.0 if pose is None else pose.heading_deg
        if pose is not None and abs(pose.turning_deg_s) > HEAD_TURN_DEG_S:
            self._head_turned_s = now_s
        self.memory.begin_frame(now_s, self._heading_deg)
        self._withdraw_stale()
        rated, blocking = self._rated(obstacles)
        self.memory.update_groups(obstacles)
        alerts: list[Utterance] = []
        quiet = now_s < self._quiet_until_s
        for level, obstacle in rated:
            if len(alerts) == MAX_ALERTS or level is Level.CLEAR:
                break
            held = level < Level.CRITICAL and (quiet or self._is_moved_by_head(obstacle, now_s))
            if not held and self.memory.is_news(obstacle, level):
                alerts.append(self._alert(obstacle, level, now_s))
        cleared = self._has_cleared(blocking, obstacles, now_s) and camera_is_good
        if cleared and not alerts and not quiet:
            alerts.append(self._all_clear(now_s))
        self.way_is_clear = camera_is_good and self._corridor.is_clear(now_s)
        if self._is_tick_due(bool(alerts), now_s) and camera_is_good and not quiet:
            alerts.append(self._tick(now_s))
        return tuple(alerts)

    def note_outcome(self, heard: Heard) -> None:
        """Take the outcome of an utterance. An alert that was dropped as stale was not heard, so it
        may be raised again. Other threads may call only this method."""
        if heard.dropped == "stale":
            self._stale_ids.put(heard.utterance.id)

    def speaking_s(self, text: str) -> float:
        """About how long `text` takes at the wearer's rate of speech."""
        return len(text.split()) * 60.0 / self._rate_wpm

    def _withdraw_stale(self) -> None:
        while not self._stale_ids.empty():
            obstacle = self._pending.pop(self._stale_ids.get(), None)
            if obstacle is not None:
                self.memory.withdraw(obstacle)

    def _rated(
        self, obstacles: tuple[Obstacle, ...]
    ) -> tuple[list[tuple[Level, Obstacle]], list[Obstacle]]:
        """The obstacles with their levels, most urgent first; and those in the corridor, with
        hysteresis. Updates the memory."""
        rated: list[tuple[Level, Obstacle]] = []
        blocking: list[Obstacle] = []
        for obstacle in obstacles:
            lateral = self.memory.observe(obstacle)
            speaking_s = self._full_s(obstacle)
            rated.append((level_of(obstacle, lateral, speaking_s), obstacle))
            lasting = level_of(obstacle, lateral, speaking_s, HYSTERESIS)
            self.memory.rearm(obstacle, lasting)
            if lasting is not Level.CLEAR:
                blocking.append(obstacle)
        rated.sort(key=lambda pair: (-pair[0], -pair[1].priority, pair[1].distance_m))
        return rated, blocking

    def _full_s(self, obstacle: Obstacle) -> float:
        """How long the full phrase takes; cached by label, side and half metre, since it is needed
        for every obstacle in every frame."""
        key = (obstacle.label, obstacle.side, round(2 * min(obstacle.distance_m, FAR_M)))
        if key not in self._full_phrase_s:
            self._full_phrase_s[key] = self.speaking_s(self._words.alert(obstacle, "full"))
        return self._full_phrase_s[key]

    def _is_moved_by_head(self, obstacle: Obstacle, now_s: float) -> bool:
        """Whether the head is or was just turning and the obstacle does not approach: then it
        entered the corridor because of the turn."""
        return now_s - self._head_turned_s <= SETTLE_S and obstacle.ttc_s is None

    def _has_cleared(
        self, blocking: list[Obstacle], obstacles: tuple[Obstacle, ...], now_s: float
    ) -> bool:
        tracks = {obstacle.track for obstacle in blocking}
        others = [obstacle for obstacle in obstacles if obstacle.track not in tracks]
        announced = any(map(self.memory.is_announced, blocking))
        if blocking:
            self._blocked_heading_deg = self._heading_deg
        # a wearer who looks away from an obstacle still stands in front of it
        faces_it = abs(self._heading_deg - self._blocked_heading_deg) <= CORRIDOR_DEG
        return self._corridor.has_cleared(blocking, others, announced, now_s) and faces_it

    def _is_tick_due(self, alerted: bool, now_s: float) -> bool:
        """Whether it has been silent for long enough. Must be called for every frame."""
        if self._silent_since_s is None or alerted:
            self._silent_since_s = now_s
        if self._heartbeat_s is None or now_s - self._silent_since_s < self._heartbeat_s:
            return False
        self._silent_since_s = now_s
        return True

    def _alert(self, obstacle: Obstacle, level: Level, now_s: float) -> Utterance:
        critical = level is Level.CRITICAL
        text, spare_s = self._fitting_phrase(obstacle, critical)
        self.memory.note_announced(obstacle, level)
        self._quiet_until_s = max(self._quiet_until_s, now_s) + self.speaking_s(text) + GAP_S
        least_s, most_s = CRITICAL_WAIT_S if critical else ALERT_WAIT_S
        number = self._next_id()
        self._pending[number] = obstacle
        while len(self._pending) > MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        return Utterance(
            id=number,
            kind="alert",
            text=text,
            priority=alert_priority(obstacle.priority / 100.0, critical),
            queued_s=now_s,
            azimuth_deg=obstacle.bearing_deg,
            deadline_s=now_s + min(most_s, max(least_s, spare_s)),
            earcon="urgent" if critical else "obstacle",
            distance_m=obstacle.distance_m,
        )

    def _all_clear(self, now_s: float) -> Utterance:
        text = self._words.status("way_clear")
        self._quiet_until_s = now_s + self.speaking_s(text) + GAP_S
        return Utterance(
            id=self._next_id(),
            kind="alert",
            text=text,
            priority=Priority.ALERT,
            queued_s=now_s,
            deadline_s=now_s + ALL_CLEAR_WAIT_S,
        )

    def _tick(self, now_s: float) -> Utterance:
        return Utterance(
            id=self._next_id(),
            kind="status",
            text="",
            priority=Priority.TICK,
            queued_s=now_s,
            deadline_s=now_s + TICK_WAIT_S,
            earcon="tick",
        )

    def _fitting_phrase(self, obstacle: Obstacle, critical: bool) -> tuple[str, float]:
        """The longest phrase that leaves REACTION_S before contact, or else the shortest for its
        level, with the seconds that it can still wait. An obstacle that does not approach gets the
        full phrase."""
        contact_s = math.inf if obstacle.ttc_s is None else obstacle.ttc_s
        text, spare_s = "", 0.0
        for length in PHRASE_LENGTHS if critical else PHRASE_LENGTHS[:-1]:
            text = self._words.alert(obstacle, length)
            spare_s = contact_s - PIPELINE_S - self.speaking_s(text) - REACTION_S
            if spare_s >= 0.0:
                break
        return text, spare_s
