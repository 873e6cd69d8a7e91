"""Which obstacles are worth a sound and a word now, and how few words fit.

Knows what was said of whom and when; knows neither templates nor audio. Priorities are on the scale
that the audio scheduler reads: status 10, answers 20, alerts 30 to 60, critical alerts from 70.

A thing in the walking corridor, or about to be in it, is worth
    a notice    once it stands within NOTICE_M,
    a warning   when the time to collision is below pipeline + speaking + MARGIN_S, or within NEAR_M,
    a critical  when the time to collision is below CRITICAL_S,
and is said again only when it rises to a higher level, or after it has been clear for a while.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from queue import SimpleQueue
from typing import Literal, Protocol

from engine.alerts.corridor import Corridor, across_m, in_corridor
from engine.core.camera import Pose
from engine.core.glance import Obstacle, Side
from engine.core.utterance import Heard, Utterance
from engine.perception.geometry import CORRIDOR_DEG

Length = Literal["full", "short", "shortest"]
LENGTHS: tuple[Length, ...] = ("full", "short", "shortest")

PIPELINE_S = 0.15  # from a frame's capture to the first sample of its sound
MARGIN_S = 1.5  # to understand (0.5 s) and to stop (1 s at walking pace)
NOTICE_M = 4.0
NEAR_M = 1.5
CRITICAL_S = 2.0
SLACK = 1.3  # clear means clear by this factor: trigger and re-arm differ
CLEAR_S = 2.0  # and for this long
COOLDOWN_S = 8.0  # least time until a re-armed track is said again
RISE_S = 2.0  # least time until it is said at a higher level, but for critical
JUST_SAID_S = 0.6  # or after a warning, for critical
NEARER = 0.7  # at this share of the distance said it is really nearer, and not noise
SAME_THING_S = 5.0  # tracks get lost and found: one of the same label and side is the same thing
GAP_S = 0.75  # of silence after an alert, but for critical
FORGET_S = 5.0
FAR_M = 20.0  # beyond which a phrase does not get longer
MOST_AT_ONCE = 2
MOST_RAISED = 16  # alerts that may still be waiting: far more than ever do
DRIFT_S = 1.0  # over which movement across the corridor is fitted
BANDS_M = (NOTICE_M, NEAR_M, 0.7)  # the last is an arm's length
# A walker's head swings by 10 to 20 degrees a second with each step, and looks about at 50 and more.
SWEEP_DEG_S = 35.0
SETTLE_S = 0.4  # until the picture rests after a turn
CROSSED_M = 0.8  # moved by so much, over the middle of the way
CLEAR_PRIORITY = 30.0  # the least of alerts: it gives way to any other
CLEAR_LATE_S = 2.0
TICK_PRIORITY = 1.0
TICK_LATE_S = 0.5


class AlertWords(Protocol):
    """What words an alert; `engine.language.wording.Words` does."""

    def alert(self, obstacle: Obstacle, length: Length) -> str: ...

    def status(self, key: Literal["way_clear"]) -> str: ...


class Level(IntEnum):
    CLEAR = 0
    NOTICE = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(slots=True)
class Known:
    """What is remembered of a track, or of a label on one side."""

    seen_s: float
    level: Level = Level.CLEAR  # at which it was last said, lowered once it is clear
    said_s: float = -math.inf
    said_m: float = math.inf  # how far it was then; of a label on one side, how far it is now
    said_side: Side = "ahead"
    said_at: tuple[float, float] = (0.0, 0.0)  # m away, degrees right of where the heading began
    lowered: bool = False
    high_s: float = -math.inf  # when it last was as urgent as it was said to be
    # (s, m away, degrees right of where the heading began)
    across: deque[tuple[float, float, float]] = field(default_factory=deque)


class AlertPolicy:
    """Turns obstacles into alerts; to be used from one thread. Deterministic. After `heartbeat_s`
    with nothing to say it ticks, where that is not None."""

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
        self._dropped: SimpleQueue[int] = SimpleQueue()
        self._full: dict[tuple[str, Side, int], float] = {}
        self.reset()

    def reset(self) -> None:
        """Forget what was said: the next picture has nothing to do with the last."""
        self._tracks: dict[int, Known] = {}
        self._echoes: dict[tuple[str, Side], Known] = {}
        self._quiet_until_s = -math.inf
        self._raised: dict[int, Obstacle] = {}  # by utterance, while it may still be dropped
        self._way = Corridor()
        self._heading_deg = self._barred_deg = 0.0
        self._swept_s = -math.inf  # when the head was last seen to turn
        self._ticked_s: float | None = None  # when silence began, or was last broken

    def warn(
        self,
        obstacles: tuple[Obstacle, ...],
        now_s: float,
        sees: bool = True,
        pose: Pose | None = None,
    ) -> tuple[Utterance, ...]:
        """The alerts worth raising now, most urgent first, MOST_AT_ONCE at most; failing those, the
        all-clear or a tick, neither of which is given while the camera hardly `sees`. Call it with
        every frame's obstacles, none left out; `now_s` never goes back but after a reset. What a turn
        of the head (by its `pose`) moves is no news."""
        self._heading_deg = 0.0 if pose is None else pose.heading_deg
        if pose is not None and abs(pose.turning_deg_s) > SWEEP_DEG_S:
            self._swept_s = now_s
        self._forget(now_s)
        self._take_back()
        found: list[tuple[Level, Obstacle]] = []
        barring: list[Obstacle] = []
        for item in obstacles:
            known = self._tracks.setdefault(item.track, Known(now_s))
            self._follow(known, item, now_s)
            level = self._level(item, known)
            still = self._level(item, known, SLACK)
            self._relax(known, still, now_s)
            if still is not Level.CLEAR:
                barring.append(item)
            found.append((level, item))
        self._listen(obstacles, now_s)
        found.sort(key=lambda pair: (-pair[0], -pair[1].priority, pair[1].distance_m))
        alerts: list[Utterance] = []
        quiet = now_s < self._quiet_until_s
        for level, item in found:
            if len(alerts) == MOST_AT_ONCE or level is Level.CLEAR:
                break
            hold = level < Level.CRITICAL and (quiet or self._is_swept(item, now_s))
            if not hold and self._is_news(item, level, now_s):
                alerts.append(self._alert(item, level, now_s))
        free = self._is_free_again(barring, obstacles, now_s) and sees
        if free and not alerts and not quiet:
            alerts.append(self._all_clear(now_s))
        if self._ticks(bool(alerts), now_s) and sees and not quiet:
            alerts.append(self._tick(now_s))
        return tuple(alerts)

    def _is_swept(self, item: Obstacle, now_s: float) -> bool:
        """Whether the head turns, or only just has, and the thing does not approach: then it is the
        head that brought it into the way."""
        return now_s - self._swept_s <= SETTLE_S and item.ttc_s is None

    def _is_free_again(
        self, barring: list[Obstacle], obstacles: tuple[Obstacle, ...], now_s: float
    ) -> bool:
        tracks = {item.track for item in barring}
        said = any(self._tracks[track].level is not Level.CLEAR for track in tracks)
        aside = [item for item in obstacles if item.track not in tracks]
        if barring:
            self._barred_deg = self._heading_deg
        # who looks away from what bars the way still stands before it
        faces = abs(self._heading_deg - self._barred_deg) <= CORRIDOR_DEG
        return self._way.is_free_again(barring, aside, said, now_s) and faces

    def _ticks(self, said: bool, now_s: float) -> bool:
        """Whether it has been silent for long enough; asked in every frame."""
        if self._ticked_s is None or said:
            self._ticked_s = now_s
        if self._heartbeat_s is None or now_s - self._ticked_s < self._heartbeat_s:
            return False
        self._ticked_s = now_s
        return True

    def _all_clear(self, now_s: float) -> Utterance:
        text = self._words.status("way_clear")
        self._quiet_until_s = now_s + self.speaking_s(text) + GAP_S
        return Utterance(
            id=self._next_id(),
            kind="alert",
            text=text,
            priority=CLEAR_PRIORITY,
            queued_s=now_s,
            deadline_s=now_s + CLEAR_LATE_S,
        )

    def _tick(self, now_s: float) -> Utterance:
        return Utterance(
            id=self._next_id(),
            kind="status",
            text="",
            priority=TICK_PRIORITY,
            queued_s=now_s,
            deadline_s=now_s + TICK_LATE_S,
            earcon="tick",
        )

    def note_outcome(self, heard: Heard) -> None:
        """What became of an utterance. An alert that was too late to begin was not said, and may be
        raised again if its thing still deserves it. The one method that other threads may call."""
        if heard.dropped == "stale":
            self._dropped.put(heard.utterance.id)

    def _take_back(self) -> None:
        while not self._dropped.empty():
            item = self._raised.pop(self._dropped.get(), None)
            if item is None:
                continue
            self._echoes.pop((item.label, item.side), None)
            if (known := self._tracks.get(item.track)) is not None:
                known.level, known.said_s, known.said_m = Level.CLEAR, -math.inf, math.inf

    def speaking_s(self, text: str) -> float:
        """About how long `text` takes to say at the wearer's rate."""
        return len(text.split()) * 60.0 / self._rate_wpm

    def _full_s(self, item: Obstacle) -> float:
        """How long its whole phrase takes; worded once per label, side and half meter, since this is
        asked of every thing in every frame."""
        key = (item.label, item.side, round(2 * min(item.distance_m, FAR_M)))
        if key not in self._full:
            self._full[key] = self.speaking_s(self._words.alert(item, "full"))
        return self._full[key]

    def _forget(self, now_s: float) -> None:
        self._tracks = {k: v for k, v in self._tracks.items() if now_s - v.seen_s <= FORGET_S}
        self._echoes = {k: v for k, v in self._echoes.items() if now_s - v.seen_s <= SAME_THING_S}

    def _follow(self, known: Known, item: Obstacle, now_s: float) -> None:
        known.seen_s = now_s
        if known.across and known.across[-1][0] >= now_s:
            known.across.pop()
        known.across.append((now_s, item.distance_m, item.bearing_deg + self._heading_deg))
        while now_s - known.across[0][0] > DRIFT_S:
            known.across.popleft()

    def _level(self, item: Obstacle, known: Known, slack: float = 1.0) -> Level:
        """How urgent it is; with a `slack` above 1, how urgent it might still be."""
        across = [(s, self._now_across_m(m, deg)) for s, m, deg in known.across]
        if not in_corridor(item, across, slack):
            return Level.CLEAR
        if item.ttc_s is not None:
            if item.ttc_s <= CRITICAL_S * slack:
                return Level.CRITICAL
            if item.ttc_s <= (PIPELINE_S + self._full_s(item) + MARGIN_S) * slack:
                return Level.WARNING
        if item.distance_m <= NEAR_M * slack:
            return Level.WARNING
        return Level.NOTICE if item.distance_m <= NOTICE_M * slack else Level.CLEAR

    def _relax(self, known: Known, still: Level, now_s: float) -> None:
        """Lower what was said of a track, once it has been less urgent for CLEAR_S."""
        if known.level is Level.CLEAR:
            return
        if still >= known.level:
            known.high_s = now_s
        elif now_s - known.high_s > CLEAR_S:
            known.level, known.high_s, known.lowered = still, now_s, True

    def _listen(self, obstacles: tuple[Obstacle, ...], now_s: float) -> None:
        """Note where each thing that was said is now, for when its track changes its number."""
        fresh: dict[tuple[str, Side], Known] = {}
        for item in obstacles:
            known = self._tracks[item.track]
            if known.level is Level.CLEAR:
                continue
            echo = fresh.setdefault((item.label, item.side), Known(now_s))
            echo.level = max(echo.level, known.level)
            echo.said_s = max(echo.said_s, known.said_s)
            echo.said_m = min(echo.said_m, item.distance_m)
        self._echoes |= fresh

    def _is_news(self, item: Obstacle, level: Level, now_s: float) -> bool:
        known = self._tracks[item.track]
        since_s = now_s - known.said_s
        if level == known.level and level < Level.CRITICAL and since_s >= RISE_S:
            return _has_come_nearer(item, known) or self._has_crossed(item, known)
        if level <= known.level:
            return False
        if level < Level.CRITICAL:
            if since_s < (COOLDOWN_S if known.lowered else RISE_S):
                return False
            closing = item.ttc_s is not None or item.distance_m <= NEARER * known.said_m
            if known.level is not Level.CLEAR and not closing:
                return False
        elif known.level is Level.WARNING and since_s < JUST_SAID_S:
            return False  # it is being said; if it stays critical, its turn comes
        echo = self._echoes.get((item.label, item.side))
        if echo is None or level > echo.level or item.distance_m <= NEARER * echo.said_m:
            return True
        if level is Level.CRITICAL and now_s - echo.said_s > CRITICAL_S:
            return True  # too dangerous to be taken for one that was said so long ago
        # only as urgent as it is: a second person must not be silenced by what was said of the first
        known.level, known.high_s, known.lowered = level, now_s, False
        known.said_s, known.said_m = echo.said_s, echo.said_m
        known.said_side, known.said_at = item.side, self._place(item)
        return False

    def _place(self, item: Obstacle) -> tuple[float, float]:
        return item.distance_m, item.bearing_deg + self._heading_deg

    def _now_across_m(self, distance_m: float, right_deg: float) -> float:
        """Where what was seen there is now, in metres right of the way, had only the head turned."""
        return distance_m * math.sin(math.radians(right_deg - self._heading_deg))

    def _has_crossed(self, item: Obstacle, known: Known) -> bool:
        """From one half of the way to the other since it was said, and not by a turn of the tongue."""
        now_m, said_m = across_m(item), self._now_across_m(*known.said_at)
        moved = now_m * said_m < 0.0 and abs(now_m - said_m) >= CROSSED_M
        return moved and item.side != known.said_side

    def _alert(self, item: Obstacle, level: Level, now_s: float) -> Utterance:
        text, left_s = self._fitting(item)
        known = self._tracks[item.track]
        known.level, known.said_s, known.said_m = level, now_s, item.distance_m
        known.said_side, known.said_at = item.side, self._place(item)
        known.high_s, known.lowered = now_s, False
        self._echoes[item.label, item.side] = Known(now_s, level, now_s, item.distance_m)
        critical = level is Level.CRITICAL
        self._quiet_until_s = max(self._quiet_until_s, now_s) + self.speaking_s(text) + GAP_S
        share = min(1.0, max(0.0, item.priority / 100.0))
        late_s = min(0.8, max(0.3, left_s)) if critical else min(3.0, max(1.0, left_s))
        number = self._next_id()
        self._raised[number] = item
        while len(self._raised) > MOST_RAISED:
            del self._raised[next(iter(self._raised))]
        return Utterance(
            id=number,
            kind="alert",
            text=text,
            priority=70.0 + 25.0 * share if critical else 30.0 + 30.0 * share,
            queued_s=now_s,
            azimuth_deg=item.bearing_deg,
            deadline_s=now_s + late_s,
            earcon="urgent" if critical else "obstacle",
            distance_m=item.distance_m,
        )

    def _fitting(self, item: Obstacle) -> tuple[str, float]:
        """The longest phrase that leaves MARGIN_S to act on it, and the seconds it may still wait;
        the shortest where none does. What does not come nearer leaves time for all of it."""
        contact_s = math.inf if item.ttc_s is None else item.ttc_s
        text, left_s = "", 0.0
        for length in LENGTHS:
            text = self._words.alert(item, length)
            left_s = contact_s - PIPELINE_S - self.speaking_s(text) - MARGIN_S
            if left_s >= 0.0:
                break
        return text, left_s


def _has_come_nearer(item: Obstacle, known: Known) -> bool:
    """By a band of distance, and by more than noise."""
    inside = sum(item.distance_m <= band_m for band_m in BANDS_M)
    said_inside = sum(known.said_m <= band_m for band_m in BANDS_M)
    return inside > said_inside and item.distance_m <= NEARER * known.said_m
