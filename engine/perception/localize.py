"""Converts detections to obstacles: smoothed distances and times to collision, by track.

Keeps tracks between frames and forgets a track that is not seen for a while. Must not know what is
announced.
"""

import math
from dataclasses import dataclass, replace

from engine.core.camera import Camera, Frame
from engine.core.glance import DepthMap, Detection, Obstacle
from engine.perception.approach import time_to_collision, with_speed_prior
from engine.perception.camera import Mount, is_usable, pinhole, resized
from engine.perception.depth_prior import BoxHistory
from engine.perception.geometry import BoxGeometry, clipped, measure_box
from engine.perception.track import Observation, Track

FORGET_S = 2.0
GUESSED_FOCAL_SPREAD = 0.15  # one standard deviation from 70° covers fields of view of 60° to 82°
WALKING_M_S = 1.4  # walking pace, used to rate the urgency of a standing object
OUTSIDE_SHARE = 0.5  # share of the priority that remains outside the corridor


@dataclass(frozen=True, slots=True)
class _View:
    """The viewing conditions of a frame: camera, mounting and wearer."""

    time_s: float
    camera: Camera
    focal_spread: float
    mount: Mount
    walking: bool


class Localizer:
    """Localises detections; to be used from one thread. `hfov_deg` is the field of view along the
    longer side, used for frames without intrinsics; `mount` is how the camera is worn;
    `box_history` is needed for `update_heights`."""

    def __init__(
        self,
        hfov_deg: float = 70.0,
        mount: Mount | None = None,
        box_history: BoxHistory | None = None,
    ) -> None:
        self._hfov_deg = hfov_deg
        self._mount = mount or Mount()
        self._tracks: dict[int, Track] = {}
        self._box_history = box_history

    @property
    def tracks(self) -> int:
        """The number of tracks kept."""
        return len(self._tracks)

    def reset(self) -> None:
        """Forget all tracks."""
        self._tracks.clear()
        if self._box_history is not None:
            self._box_history.clear()

    def update_heights(self, depth: DepthMap) -> None:
        """Update the heights of tracks that were fully visible in the depth map's frame."""
        for seen, height_m in (
            [] if self._box_history is None else self._box_history.heights_m(depth)
        ):
            track = self._tracks.get(seen.track)
            if track is not None and track.label == seen.label:
                track.learn_height(height_m)

    def localize(self, frame: Frame, detections: tuple[Detection, ...]) -> tuple[Obstacle, ...]:
        """The obstacles of `frame`, in the detections' order. Every box gives an obstacle; none
        raises."""
        view = self._view(frame)
        self._tracks = {
            number: track
            for number, track in self._tracks.items()
            if 0.0 <= frame.time_s - track.seen_s <= FORGET_S
        }
        boxes = [clipped(item.box, view.camera.width, view.camera.height) for item in detections]
        measured = [measure_box(box, view.camera, view.mount, boxes) for box in boxes]
        if self._box_history is not None:
            self._box_history.add(frame, detections, measured, view.camera, view.mount.pitch_deg)
        return tuple(
            self._obstacle(item, geometry, view)
            for item, geometry in zip(detections, measured, strict=True)
        )

    def _view(self, frame: Frame) -> _View:
        """Pitch and walking come from the frame's pose. Without one, the pitch is the configured
        one and the wearer is assumed to walk."""
        camera: Camera
        if frame.intrinsics is not None and is_usable(frame.intrinsics):
            camera, focal_spread = resized(frame.intrinsics, frame.width, frame.height), 0.0
        else:
            camera = pinhole(frame.width, frame.height, self._hfov_deg)
            focal_spread = GUESSED_FOCAL_SPREAD
        mount, walking, pose = self._mount, True, frame.pose
        if pose is not None:
            mount = replace(mount, pitch_deg=pose.pitch_deg, pitch_sigma_deg=pose.pitch_sigma_deg)
            walking = pose.walking
        return _View(frame.time_s, camera, focal_spread, mount, walking)

    def _obstacle(self, detection: Detection, box: BoxGeometry, view: _View) -> Obstacle:
        track = self._tracks.setdefault(detection.track, Track())
        track.set_label(detection.label)
        single = box.fused_range(track.kind)  # of this frame alone
        spread = single.sigma_m / single.distance_m
        if not box.is_cut:
            track.learn_width(box.width * single.distance_m, spread)
        track.add(
            Observation(
                view.time_s,
                detection.label,
                single.distance_m,
                None if box.is_cut_y or box.box.height < 1.0 else box.height,
                None if box.is_cut_x or box.box.width < 1.0 else box.width,
            )
        )
        distance_m = track.smoothed_distance_m()
        spread = math.hypot(spread, view.focal_spread)
        approach = time_to_collision(track, box.edge_noise)
        if approach is not None:
            approach = with_speed_prior(approach, distance_m, spread, track.kind, view.walking)
        ttc_s = None if approach is None else approach.ttc_s
        return Obstacle(
            track=detection.track,
            label=detection.label,
            score=detection.score,
            box=box.box,
            distance_m=distance_m,
            distance_sigma_m=distance_m * spread,
            bearing_deg=box.centre_deg,
            side=box.side,
            ttc_s=ttc_s,
            priority=priority(distance_m, box.side == "ahead", ttc_s, track.kind.hazard),
            ttc_sigma_s=None if approach is None else approach.sigma_s,
            edges_deg=(box.left_deg, box.right_deg),
        )


def priority(distance_m: float, ahead: bool, ttc_s: float | None, hazard: float) -> float:
    """How urgent an obstacle is, in (0, 100]: 100 · w · h / (1 + t).

    t: seconds away, the smaller of the time to collision and the time to walk there. w: 1 ahead,
    OUTSIDE_SHARE to the side. h: the kind's hazard in (0, 1], so at equal time a person precedes
    furniture.
    """
    seconds = distance_m / WALKING_M_S
    if ttc_s is not None:
        seconds = min(seconds, ttc_s)
    return 100.0 * (1.0 if ahead else OUTSIDE_SHARE) * hazard / (1.0 + seconds)
