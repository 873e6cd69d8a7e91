"""Tells the wearer (in fixed sentences) and the log about the state of the engine itself."""

from collections.abc import Callable

from engine.core.errors import FrameSkipped, SourceNotice
from engine.core.ports import Clock
from engine.core.priority import Priority
from engine.core.report import Health
from engine.core.utterance import Utterance
from engine.language.wording import StatusKey, Words


def source_health(error: FrameSkipped | SourceNotice) -> Health:
    """The record of an error after which the source goes on."""
    if isinstance(error, FrameSkipped):
        return Health("frame", str(error), "skipped it")
    return Health(error.what, error.detail, error.action)


class Notifier:
    """Announces status sentences and reports health records. Safe to call from any thread.

    `say` queues an utterance; `report` takes a health record; `next_id` numbers utterances.
    """

    def __init__(
        self,
        words: Words,
        say: Callable[[Utterance], None],
        report: Callable[[Health], None],
        next_id: Callable[[], int],
        timeline: Clock,
    ) -> None:
        self._words = words
        self._say = say
        self.report = report
        self._next_id = next_id
        self._timeline = timeline

    def announce(self, key: StatusKey, priority: float = Priority.STATUS) -> None:
        """Say the status sentence of `key`."""
        self._say(
            Utterance(
                id=self._next_id(),
                kind="status",
                text=self._words.status(key),
                priority=priority,
                queued_s=self._timeline.now(),
            )
        )

    def source_fault(self, error: FrameSkipped | SourceNotice) -> None:
        """Report that the source goes on after `error`, and announce what the wearer must know."""
        self.report(source_health(error))
        if isinstance(error, FrameSkipped):
            self.announce("frame_skipped")
        elif error.status is not None:
            alarming = error.what == "glasses"
            self.announce(error.status, Priority.ALARM if alarming else Priority.STATUS)

    def fault(self, health: Health, key: StatusKey, priority: float = Priority.ALARM) -> None:
        """Report what went wrong and announce it."""
        self.report(health)
        self.announce(key, priority)
