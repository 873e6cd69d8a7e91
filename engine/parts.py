"""Everything a session runs on, built once by `build.py` and handed whole to the loops."""

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.alerts import Warner
from engine.answer import Answerer
from engine.audio import Audio
from engine.locate import Locator
from engine.ports import Clock, Detector, Sink, Source, View
from engine.screen import Screen
from engine.trace import Trace
from engine.triggers import Trigger
from engine.types import Health, Utterance
from engine.view import NoView
from engine.wording import StatusKey, Words

STATUS_PRIORITY = 10.0
ALARM_PRIORITY = 80.0  # losing the camera cuts an answer off: silence must mean "nothing there"


@dataclass
class Parts:
    """A session's rooms. `warner` is None where obstacle callouts are switched off."""

    source: Source
    detector: Detector
    locator: Locator
    warner: Warner | None
    answerer: Answerer
    words: Words
    audio: Audio
    sink: Sink
    trace: Trace
    screen: Screen
    trigger: Trigger
    listen_to_keys: bool
    next_id: Callable[[], int]
    timeline: Clock
    wall: Clock
    max_frames: int | None
    report: Callable[[Health], None]  # to the log, the screen and the view
    view: View = field(default_factory=NoView)

    def status(self, key: StatusKey, priority: float = STATUS_PRIORITY) -> None:
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
