"""The `rerun` view: what a session sees, says and decides, as a Rerun recording.

The only file that knows the Rerun SDK, which it imports when a recording is opened. A recording
contains camera images, so it is made only when the wearer asks for one. Must not know the session.
"""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.core.errors import InputError, MissingPart, message_of
from engine.core.extras import pip_install
from engine.core.glance import Glance, Obstacle, stages_ms
from engine.core.report import Answered, Health, Shown
from engine.core.utterance import Heard
from engine.perception.geometry import HALF_CORRIDOR_M

FILE = "session.rrd"
TIMELINE = "session"  # seconds since the start, as `t` in session.jsonl
JPEG_QUALITY = 75
IMAGE_COMPONENT = "EncodedImage:blob"
TRAIL_S = 2.0  # length of the drawn path of a track
FLUSH_EVERY = 64  # events; a full disk is only noticed at a flush
RINGS_M = (1.0, 2.0, 4.0, 8.0)
CORRIDOR_LENGTH_M = 8.0  # on the map

Point = tuple[float, float]


def require_rerun() -> None:
    """Raise MissingPart if the SDK is not installed."""
    try:
        import rerun  # noqa: F401
    except ImportError as error:
        raise MissingPart(
            f"view=rerun: expected the Rerun SDK, found none; run: {pip_install('view')}"
        ) from error


def map_point(distance_m: float, bearing_deg: float) -> Point:
    """A position on the top-down map, in metres: x to the right, y backwards, so that ahead is up
    on a screen whose y axis points down."""
    bearing = math.radians(bearing_deg)
    return distance_m * math.sin(bearing), -distance_m * math.cos(bearing)


class RerunView:
    """Writes a recording to `path`; for use from one thread.

    `since` converts a time on the engine's clock to seconds since the session's start. Errors of
    the SDK are not caught: a bad path raises in the constructor, a full disk at the next flush.
    """

    def __init__(self, path: Path, since: Callable[[float], float]) -> None:
        import rerun

        self._rr: Any = rerun
        self._since = since
        self._event_count = 0
        self._trails: dict[int, deque[tuple[float, Point]]] = defaultdict(deque)
        rerun.set_strict_mode(True)  # by default it only warns and drops data that it rejects
        self._recording: Any = rerun.RecordingStream("scene-aria")
        self._recording.save(str(path), default_blueprint=_blueprint())
        self._draw_surroundings()

    def show(self, event: Shown, time_s: float) -> None:
        seconds = self._since(time_s)
        self._recording.set_time(TIMELINE, duration=seconds)
        match event:
            case Glance():
                self._glance(event, seconds)
            case Heard():
                self._heard(event)
            case Answered():
                self._answered(event)
            case Health():
                text = f"{event.what}: {event.detail}; {event.action}"
                self._text("health", text, "ERROR")
        self._event_count += 1
        if self._event_count % FLUSH_EVERY == 0:
            self._recording.flush()

    def close(self) -> None:
        self._recording.flush()
        self._recording.disconnect()

    # One method per type of event.

    def _glance(self, glance: Glance, seconds: float) -> None:
        rr, frame, seen = self._rr, glance.frame, glance.obstacles
        tracks = [item.track for item in seen]
        self._recording.set_time("frame", sequence=frame.seq)
        self._log("camera", rr.Image(frame.image).compress(jpeg_quality=JPEG_QUALITY))
        corners = [[o.box.x1, o.box.y1, o.box.x2, o.box.y2] for o in seen]
        labels = [f"{o.label} {o.distance_m:.1f} m" for o in seen]
        if seen:
            boxes = rr.Boxes2D(
                array=corners,
                array_format=rr.Box2DFormat.XYXY,
                labels=labels,
                class_ids=[track % 2**16 for track in tracks],
            )
            places = [map_point(o.distance_m, o.bearing_deg) for o in seen]
            points = rr.Points2D(
                places, labels=labels, class_ids=[track % 2**16 for track in tracks], radii=0.12
            )
            self._log("camera/boxes", boxes)
            self._log("map/obstacles", points)
            self._log("map/sigma", rr.LineStrips2D([_sigma_line(o) for o in seen], radii=0.02))
        else:  # otherwise the viewer would keep showing the previous ones
            for path in ("camera/boxes", "map/obstacles", "map/sigma"):
                self._log(path, rr.Clear(recursive=False))
        self._draw_trails(seen, seconds)
        for item in seen:
            name = f"{item.label} {item.track}"  # the SDK escapes the parts of a list
            self._number(["tracks", "distance_m", name], item.distance_m)
            if item.ttc_s is not None:
                self._number(["tracks", "ttc_s", name], item.ttc_s)
        for stage, value_ms in stages_ms(glance.marks).items():
            self._number(f"latency/obstacle/{stage}", value_ms)

    def _heard(self, heard: Heard) -> None:
        utterance = heard.utterance
        text = f"{utterance.azimuth_deg:+.0f}° {utterance.text or f'({utterance.earcon})'}"
        if heard.started_s is None:
            self._text(f"heard/{utterance.kind}", f"{text} [not said: {heard.dropped}]", "WARN")
        else:
            self._text(f"heard/{utterance.kind}", text, "INFO")

    def _answered(self, answered: Answered) -> None:
        description = answered.description
        decision = description.decision
        self._text(
            "routes",
            f"{decision.tier}, answered by {description.tier} (score {decision.score:.2f}, "
            f"threshold {decision.threshold:.2f}: {'; '.join(decision.reasons)}): "
            f"{description.text}",
            "INFO",
        )
        self._number("routes/score", decision.score)
        self._number("routes/threshold", decision.threshold)
        for stage, value_ms in answered.latency_ms:
            self._number(f"latency/{description.tier}/{stage}", value_ms)

    # Drawing.

    def _draw_surroundings(self) -> None:
        """The static part of the map: the wearer, the walking corridor, distance rings."""
        rr = self._rr
        rings = [
            [map_point(radius_m, bearing) for bearing in range(-90, 91, 5)] for radius_m in RINGS_M
        ]
        names = [f"{radius_m:g} m" for radius_m in RINGS_M]
        sides = [[(x, 0.0), (x, -CORRIDOR_LENGTH_M)] for x in (-HALF_CORRIDOR_M, HALF_CORRIDOR_M)]
        grey, white = [110, 110, 110], [255, 255, 255]
        self._log("map/rings", rr.LineStrips2D(rings, labels=names, colors=grey), static=True)
        self._log("map/corridor", rr.LineStrips2D(sides, colors=white), static=True)
        self._log(
            "map/wearer",
            rr.Points2D([(0.0, 0.0)], labels=["wearer"], colors=white, radii=0.15),
            static=True,
        )

    def _draw_trails(self, seen: tuple[Obstacle, ...], seconds: float) -> None:
        """The path of each box's bottom centre in the image over the last TRAIL_S."""
        for item in seen:
            self._trails[item.track].append((seconds, (item.box.centre_x, item.box.y2)))
        for track, trail in list(self._trails.items()):
            while trail and seconds - trail[0][0] > TRAIL_S:
                trail.popleft()
            if not trail:
                del self._trails[track]
        lines = {
            track: [point for _, point in trail]
            for track, trail in self._trails.items()
            if len(trail) > 1
        }
        if lines:
            ids = [track % 2**16 for track in lines]
            self._log("camera/tracks", self._rr.LineStrips2D(list(lines.values()), class_ids=ids))
        else:
            self._log("camera/tracks", self._rr.Clear(recursive=False))

    def _number(self, path: str | list[object], value: float) -> None:
        self._log(path, self._rr.Scalars(value))

    def _text(self, path: str, text: str, level: str) -> None:
        self._log(path, self._rr.TextLog(text, level=level))

    def _log(self, path: str | list[object], what: Any, static: bool = False) -> None:
        self._recording.log(path, what, static=static)


def _sigma_line(item: Obstacle) -> list[Point]:
    """The line from distance - sigma to distance + sigma, along the bearing."""
    near_m = max(0.0, item.distance_m - item.distance_sigma_m)
    far_m = item.distance_m + item.distance_sigma_m
    return [map_point(near_m, item.bearing_deg), map_point(far_m, item.bearing_deg)]


def _blueprint() -> Any:
    """The layout of the viewer for a recording."""
    import rerun.blueprint as rrb

    log_entities = ["+ /heard/**", "+ /routes", "+ /health"]
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Vertical(
                rrb.Spatial2DView(origin="/camera", name="Camera"),
                rrb.TextLogView(origin="/", contents=log_entities, name="Heard, routes, health"),
                row_shares=[2, 1],
            ),
            rrb.Vertical(
                rrb.Spatial2DView(origin="/map", name="From above, metres"),
                rrb.TimeSeriesView(origin="/tracks/distance_m", name="Distance, m"),
                rrb.TimeSeriesView(origin="/tracks/ttc_s", name="Time to collision, s"),
                rrb.TimeSeriesView(origin="/latency", name="Latency, ms"),
                row_shares=[3, 2, 1, 1],
            ),
        ),
        collapse_panels=True,
    )


def recording_reader() -> Any:
    """The SDK's class that reads a recording. Raises MissingPart if the SDK has none."""
    try:
        try:
            from rerun.chunk import RrdReader
        except ImportError:  # its module in 0.33
            from rerun.experimental import RrdReader
    except ImportError as error:
        raise MissingPart(
            "session.rrd: expected a Rerun SDK that reads recordings, found none; "
            f"run: {pip_install('view')}"
        ) from error
    return RrdReader


def images_at(path: Path, moments_s: Sequence[float]) -> list[bytes | None]:
    """For each moment, in seconds since the session's start, the newest image at or before it, as
    the bytes of a JPEG file; None if there is none yet.

    Reads chunk by chunk, so that a long recording fits in memory. Raises MissingPart if the
    installed SDK cannot read recordings, InputError if it cannot read `path`. Some SDKs read the
    intact part of a truncated recording.
    """
    reader = recording_reader()
    newest: list[tuple[float, Any]] = [(-math.inf, None)] * len(moments_s)
    try:
        for chunk in reader(path).stream().filter(content="/camera"):
            rows = chunk.to_record_batch()
            if IMAGE_COMPONENT not in rows.schema.names:
                continue
            times = rows.column(TIMELINE).to_numpy(zero_copy_only=False)
            stored = list(enumerate(times.astype("timedelta64[ns]").astype(float) / 1e9))
            for index, moment_s in enumerate(moments_s):
                time_s, row = max(
                    ((s, i) for i, s in stored if s <= moment_s), default=newest[index]
                )
                if time_s > newest[index][0]:
                    newest[index] = (time_s, rows.column(IMAGE_COMPONENT)[row])
        return [
            blob if blob is None else blob.values[0].values.to_numpy().tobytes()
            for _, blob in newest
        ]
    except Exception as error:  # a truncated recording raises many types
        raise InputError(
            f"{path}: expected a Rerun recording, got a broken one "
            f"({message_of(error)}); record the walk again"
        ) from error
