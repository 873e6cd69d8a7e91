"""The observers of a session: the log on disk, the terminal, and the view for a sighted helper."""

from dataclasses import dataclass, replace

from engine.app.console import Screen
from engine.core.glance import Glance, stages_ms
from engine.core.ports import Clock, View
from engine.core.report import Health
from engine.core.utterance import Heard, Utterance
from engine.recording.session_log import SessionLog


def escaped(text: str) -> str:
    """`text` with what is no Unicode, such as a name of a file that is not UTF-8, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class Observers:
    """Passes each event to the observers that need it. Safe to call from any thread."""

    log: SessionLog
    screen: Screen
    view: View
    timeline: Clock

    def report(self, health: Health) -> None:
        """Something went wrong."""
        self.log.health(health)
        self.screen.health(health)
        shown = replace(health, detail=escaped(health.detail))
        self.view.show(shown, self.timeline.now())

    def frame(self, glance: Glance) -> None:
        """A frame was processed."""
        frame = glance.frame
        obstacles = (*glance.obstacles, *glance.side_obstacles)
        self.log.frame(frame.seq, obstacles, stages_ms(glance.marks))
        self.view.show(glance, frame.time_s)

    def utterance_started(self, utterance: Utterance, time_s: float) -> None:
        """The first sample of an utterance was handed to the sink."""
        self.log.started(utterance, time_s)
        self.screen.heard(utterance, self.log.elapsed_s())

    def utterance_ended(self, heard: Heard) -> None:
        """An utterance was spoken, cut off or dropped."""
        self.log.heard(heard)
        time_s = self.timeline.now() if heard.started_s is None else heard.started_s
        self.view.show(heard, time_s)
