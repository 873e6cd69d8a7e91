"""Remembers what was announced about each obstacle; decides whether to announce it again.

Trackers lose objects and give them new numbers. So announcements are remembered by track and also
by label and side: a new track with a known label and side counts as the same object. Knows neither
words nor sounds.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.alerts.corridor import lateral_m
from engine.alerts.level import CRITICAL_S, NEAR_M, NOTICE_M, Level
from engine.core.glance import Obstacle, Side

REARM_S = 2.0  # a level is lowered after the obstacle was less urgent for this long
COOLDOWN_S = 8.0  # least time between two announcements of a track that was lowered in between
RISE_S = 2.0  # least time until a higher level is announced, except critical
WARNING_TO_CRITICAL_S = 0.6  # the same from a warning to critical
NEARER_SHARE = 0.7  # below this share of the announced distance the approach is real, not noise
SAME_OBJECT_S = 5.0  # a track of the same label and side within this time is the same object
FORGET_S = 5.0
DRIFT_S = 1.0  # lateral movement is fitted over this window
BANDS_M = (NOTICE_M, NEAR_M, 0.7)  # the last is an arm's length
CROSSED_M = 0.8  # least lateral movement that counts as crossing the centre line


class Position(NamedTuple):
    """Where an object is, independent of the head: `bearing_deg` is relative to heading 0."""

    distance_m: float
    bearing_deg: float

    def lateral_m(self, heading_deg: float) -> float:
        """Its lateral position for a head with this heading, as in `corridor.lateral_m`."""
        return self.distance_m * math.sin(math.radians(self.bearing_deg - heading_deg))


ORIGIN = Position(0.0, 0.0)


@dataclass(slots=True)
class TrackMemory:
    """The memory of one track. `level` is that of its last announcement, lowered once the obstacle
    is less urgent; the `announced` fields describe that announcement."""

    seen_s: float
    level: Level = Level.CLEAR
    announced_s: float = -math.inf
    announced_m: float = math.inf
    announced_side: Side = "ahead"
    announced_at: Position = ORIGIN
    lowered: bool = False
    urgent_s: float = -math.inf  # when it was last as urgent as `level`
    positions: deque[tuple[float, Position]] = field(default_factory=deque)  # by time, over DRIFT_S


@dataclass(slots=True)
class GroupMemory:
    """The memory of all announced obstacles with one label on one side."""

    seen_s: float
    level: Level = Level.CLEAR
    announced_s: float = -math.inf
    nearest_m: float = math.inf


class AlertMemory:
    """All tracks and groups. Call `begin_frame`, then `observe` and `rearm` for each obstacle, then
    `update_groups`, then `is_news`."""

    def __init__(self) -> None:
        self.tracks: dict[int, TrackMemory] = {}
        self.groups: dict[tuple[str, Side], GroupMemory] = {}
        self._heading_deg = 0.0
        self._now_s = -math.inf

    def begin_frame(self, now_s: float, heading_deg: float) -> None:
        """Forget what was not seen for a while."""
        self._now_s, self._heading_deg = now_s, heading_deg
        self.tracks = {k: v for k, v in self.tracks.items() if now_s - v.seen_s <= FORGET_S}
        self.groups = {k: v for k, v in self.groups.items() if now_s - v.seen_s <= SAME_OBJECT_S}

    def observe(self, obstacle: Obstacle) -> list[tuple[float, float]]:
        """Add an observation; return the track's recent (time_s, lateral metres) as if the head had
        always had the current heading."""
        track = self.tracks.setdefault(obstacle.track, TrackMemory(self._now_s))
        track.seen_s = self._now_s
        if track.positions and track.positions[-1][0] >= self._now_s:
            track.positions.pop()
        track.positions.append((self._now_s, self._position(obstacle)))
        while self._now_s - track.positions[0][0] > DRIFT_S:
            track.positions.popleft()
        return [(time_s, at.lateral_m(self._heading_deg)) for time_s, at in track.positions]

    def rearm(self, obstacle: Obstacle, level: Level) -> None:
        """Lower a track's level once the obstacle has been at a lower one for REARM_S. `level` must
        include the hysteresis."""
        track = self.tracks[obstacle.track]
        if track.level is Level.CLEAR:
            return
        if level >= track.level:
            track.urgent_s = self._now_s
        elif self._now_s - track.urgent_s > REARM_S:
            track.level, track.urgent_s, track.lowered = level, self._now_s, True

    def update_groups(self, obstacles: tuple[Obstacle, ...]) -> None:
        """Note where the announced obstacles are now, in case their tracks get new numbers."""
        fresh: dict[tuple[str, Side], GroupMemory] = {}
        for obstacle in obstacles:
            track = self.tracks[obstacle.track]
            if track.level is Level.CLEAR:
                continue
            group = fresh.setdefault((obstacle.label, obstacle.side), GroupMemory(self._now_s))
            group.level = max(group.level, track.level)
            group.announced_s = max(group.announced_s, track.announced_s)
            group.nearest_m = min(group.nearest_m, obstacle.distance_m)
        self.groups |= fresh

    def is_announced(self, obstacle: Obstacle) -> bool:
        """Whether the obstacle was announced and has not been clear since."""
        return self.tracks[obstacle.track].level is not Level.CLEAR

    def is_news(self, obstacle: Obstacle, level: Level) -> bool:
        """Whether to announce the obstacle at `level`. If its group was announced instead, the
        track takes over that announcement."""
        track = self.tracks[obstacle.track]
        since_s = self._now_s - track.announced_s
        if level == track.level and level < Level.CRITICAL and since_s >= RISE_S:
            return _has_come_nearer(obstacle, track) or self._has_crossed(obstacle, track)
        if level <= track.level or not _may_rise(obstacle, level, track, since_s):
            return False
        group = self.groups.get((obstacle.label, obstacle.side))
        if group is None or level > group.level:
            return True
        if obstacle.distance_m <= NEARER_SHARE * group.nearest_m:
            return True
        if level is Level.CRITICAL and self._now_s - group.announced_s > CRITICAL_S:
            return True  # too dangerous to rely on such an old announcement
        # at its own level, not the group's: the first person must not silence a second one
        self._note(obstacle, level, group.announced_s, group.nearest_m)
        return False

    def note_announced(self, obstacle: Obstacle, level: Level) -> None:
        """Record that the obstacle is announced at `level`."""
        self._note(obstacle, level, self._now_s, obstacle.distance_m)
        group = GroupMemory(self._now_s, level, self._now_s, obstacle.distance_m)
        self.groups[obstacle.label, obstacle.side] = group

    def withdraw(self, obstacle: Obstacle) -> None:
        """Undo `note_announced`: the announcement was never heard."""
        self.groups.pop((obstacle.label, obstacle.side), None)
        if (track := self.tracks.get(obstacle.track)) is not None:
            track.level, track.announced_s, track.announced_m = Level.CLEAR, -math.inf, math.inf

    def _note(
        self, obstacle: Obstacle, level: Level, announced_s: float, announced_m: float
    ) -> None:
        track = self.tracks[obstacle.track]
        track.level, track.urgent_s, track.lowered = level, self._now_s, False
        track.announced_s, track.announced_m = announced_s, announced_m
        track.announced_side, track.announced_at = obstacle.side, self._position(obstacle)

    def _position(self, obstacle: Obstacle) -> Position:
        return Position(obstacle.distance_m, obstacle.bearing_deg + self._heading_deg)

    def _has_crossed(self, obstacle: Obstacle, track: TrackMemory) -> bool:
        """Whether the track crossed the corridor's centre line by at least CROSSED_M since it was
        last announced, not counting turns of the head."""
        now_m, announced_m = lateral_m(obstacle), track.announced_at.lateral_m(self._heading_deg)
        crossed = now_m * announced_m < 0.0 and abs(now_m - announced_m) >= CROSSED_M
        return crossed and obstacle.side != track.announced_side


def _may_rise(obstacle: Obstacle, level: Level, track: TrackMemory, since_s: float) -> bool:
    """Whether a higher level may be announced: after enough time, and only for a real approach."""
    if level is Level.CRITICAL:
        # within that time the warning is still being spoken
        return track.level is not Level.WARNING or since_s >= WARNING_TO_CRITICAL_S
    if since_s < (COOLDOWN_S if track.lowered else RISE_S):
        return False
    approaching = (
        obstacle.ttc_s is not None or obstacle.distance_m <= NEARER_SHARE * track.announced_m
    )
    return track.level is Level.CLEAR or approaching


def _has_come_nearer(obstacle: Obstacle, track: TrackMemory) -> bool:
    """Whether the obstacle entered a nearer distance band, by more than noise."""
    bands = sum(obstacle.distance_m <= band_m for band_m in BANDS_M)
    announced_bands = sum(track.announced_m <= band_m for band_m in BANDS_M)
    return bands > announced_bands and obstacle.distance_m <= NEARER_SHARE * track.announced_m
