"""Everything a session runs on, built once by `session.py` and handed whole to the loops."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.alerts.policy import AlertPolicy
from engine.answering.answerer import Answerer
from engine.app.console import Screen
from engine.audio.scheduler import Audio
from engine.core.camera import Frame
from engine.core.errors import DepthFailed
from engine.core.glance import Glance
from engine.core.ports import Clock, DepthWorker, Detector, Sink, Source, View
from engine.core.priority import Priority
from engine.core.report import Health
from engine.core.triggers import Trigger
from engine.core.utterance import Utterance
from engine.devices.input.media_keys import MediaKeys
from engine.language.commands import CommandGrammar
from engine.language.wording import StatusKey, Words
from engine.listening.ear import Ear
from engine.perception.camera_health import CameraFault, CameraHealth
from engine.perception.localize import Localizer
from engine.perception.side_cameras import SideCameras
from engine.recording.session_log import SessionLog
from engine.recording.view_queue import NoView

TROUBLES: dict[CameraFault, StatusKey] = {
    "covered": "camera_dark",
    "dark": "camera_dim",
    "blurred": "camera_blurred",
    "stalled": "camera_stalled",
}


@dataclass(frozen=True)
class Work:
    """A session ready to run: `run` raises RunError; `finish` gives the summary, whatever happened."""

    run: Callable[[], None]
    finish: Callable[[], dict[str, Any]]


@dataclass
class Parts:
    """A session's rooms. `warner` is None where obstacle callouts are switched off, `around` where no
    side camera is looked at, `depth` where none is measured."""

    source: Source
    detector: Detector
    locator: Localizer
    warner: AlertPolicy | None
    answerer: Answerer
    words: Words
    audio: Audio
    sink: Sink
    trace: SessionLog
    screen: Screen
    trigger: Trigger
    listen_to_keys: bool
    next_id: Callable[[], int]
    timeline: Clock
    wall: Clock
    max_frames: int | None
    report: Callable[[Health], None]  # to the log, the screen and the view
    view: View = field(default_factory=NoView)
    grammar: CommandGrammar = field(default_factory=lambda: CommandGrammar({}, (), {}, {}))
    ear: Ear | None = None
    media_keys: MediaKeys | None = None
    sight: CameraHealth = field(default_factory=CameraHealth)
    depth: DepthWorker | None = None
    fed_until_s: float | None = None  # the sink has had sound until then, from before the loops
    around: SideCameras | None = None

    def warn(self, glance: Glance, now_s: float) -> None:
        """Say what of a glance is worth it now, and when the camera itself sees too little."""
        if self.sight.update(glance.frame, self.source.live):
            self._tell_sight()
        if self.warner is not None:
            seen = (*glance.obstacles, *glance.side_obstacles)
            for utterance in self.warner.warn(seen, now_s, self.sight.is_good, glance.frame.pose):
                self.audio.say(utterance)

    def deepen(self, frame: Frame) -> None:
        """Let depth, once there is some, teach how tall things are; `frame` has been located."""
        if self.depth is None or not self.sight.is_good:
            return
        try:
            depth = self.depth.offer(frame)
        except DepthFailed as error:
            self.depth = None
            self.report(Health("depth", str(error), "goes on without it"))
            self.status("depth_failed")
            return
        if depth is not None:
            self.locator.update_heights(depth)

    def _tell_sight(self) -> None:
        trouble = self.sight.fault
        if trouble is None:
            self.report(Health("camera", "the picture is well again", "said so"))
            self.status("camera_clear")
        else:
            self.report(Health("camera", f"the picture is {trouble}", "said so"))
            self.status(TROUBLES[trouble], Priority.ALARM)

    def status(self, key: StatusKey, priority: float = Priority.STATUS) -> None:
        """Say a fixed sentence."""
        self.audio.say(
            Utterance(
                id=self.next_id(),
                kind="status",
                text=self.words.status(key),
                priority=priority,
                queued_s=self.timeline.now(),
            )
        )
