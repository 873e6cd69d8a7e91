"""The step of every frame, the same live and in a batch: perceive, alert, log, learn from depth."""

from collections.abc import Callable
from dataclasses import replace

from engine.alerts.policy import AlertPolicy
from engine.app.notifier import Notifier
from engine.app.observers import Observers
from engine.core.camera import Frame
from engine.core.errors import DepthFailed
from engine.core.glance import Glance
from engine.core.ports import Clock
from engine.core.priority import Priority
from engine.core.report import Health
from engine.core.utterance import Utterance
from engine.language.wording import StatusKey
from engine.perception.camera_health import CameraFault
from engine.perception.perceive import Perception

FAULTS: dict[CameraFault, StatusKey] = {
    "covered": "camera_dark",
    "dark": "camera_dim",
    "blurred": "camera_blurred",
    "stalled": "camera_stalled",
}


class FrameStep:
    """Processes one frame after another, in one thread.

    `alerts` is None if obstacles are not announced; `say` queues an alert. `live` says whether the
    source is a live camera, which can stall.
    """

    def __init__(
        self,
        perception: Perception,
        alerts: AlertPolicy | None,
        say: Callable[[Utterance], None],
        notifier: Notifier,
        observers: Observers,
        timeline: Clock,
        live: bool,
    ) -> None:
        self._perception = perception
        self._depth = perception.depth
        self._alerts = alerts
        self._say = say
        self._notifier = notifier
        self._observers = observers
        self._timeline = timeline
        self._live = live
        self._report_at = 1  # unusable detections

    def process(
        self,
        frame: Frame,
        now_s: float | None = None,
        beat: Callable[[], object] = lambda: None,
    ) -> Glance:
        """Process `frame` and return its glance. Alerts are raised at `now_s`; None means the time
        after perception. `beat` is called after perception, and ends it all by raising."""
        glance = self._perception.perceive(frame)
        beat()
        self._report_unusable()
        glance = self.warn(glance, self._timeline.now() if now_s is None else now_s)
        self._observers.frame(glance)
        self.learn_depth(frame)
        return glance

    def _report_unusable(self) -> None:
        """Report detections that are not finite: the first, the tenth, the hundredth ..."""
        count = self._perception.unusable.count
        if count >= self._report_at:
            self._report_at = 10 * count
            detail = f"{count} boxes so far were not finite"
            self._notifier.report(Health("detector", detail, "left them out"))

    def prefetch(self, frame: Frame) -> None:
        """Let the detector start on the next frame."""
        self._perception.detector.expect(frame)

    def reset(self) -> None:
        """Forget everything: the next frame is unrelated to the last."""
        self._perception.reset()
        if self._alerts is not None:
            self._alerts.reset()

    def warn(self, glance: Glance, now_s: float) -> Glance:
        """Announce a change of the camera's health, then the alerts that the policy chooses. Return
        the glance with the policy's word on whether the way is clear."""
        health = self._perception.camera_health
        if health.update(glance.frame, self._live):
            self._announce_camera_health(health.fault)
        if self._alerts is None:
            return glance
        obstacles = (*glance.obstacles, *glance.side_obstacles)
        for alert in self._alerts.warn(obstacles, now_s, health.is_good, glance.frame.pose):
            self._say(alert)
        return replace(glance, way_is_clear=self._alerts.way_is_clear)

    def _announce_camera_health(self, fault: CameraFault | None) -> None:
        """An alarm while the picture is useless, and one at a time."""
        if fault is None:
            self._notifier.report(Health("camera", "the picture is good again", "said so"))
            self._notifier.relieve(*FAULTS.values(), say="camera_clear")
        else:
            health = Health("camera", f"the picture is {fault}", "said so")
            self._notifier.relieve(*FAULTS.values())
            self._notifier.alarm(health, FAULTS[fault])

    def learn_depth(self, frame: Frame) -> None:
        """Offer `frame`, which has been localized, to the depth worker, and let the localizer learn
        object heights from the newest depth map. After a failure, depth is switched off."""
        if self._depth is None or not self._perception.camera_health.is_good:
            return
        try:
            depth = self._depth.offer(frame)
        except DepthFailed as error:
            self._depth = None
            health = Health("depth", str(error), "goes on without it")
            self._notifier.fault(health, "depth_failed", Priority.STATUS)
            return
        if depth is not None:
            self._perception.localizer.update_heights(depth)
