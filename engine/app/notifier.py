"""Tells the wearer (in fixed sentences) and the log about the state of the engine itself."""

import threading
from collections.abc import Callable

from engine.core.errors import FrameSkipped, SourceNotice
from engine.core.ports import Clock, LastResort
from engine.core.priority import Priority
from engine.core.report import Health
from engine.core.utterance import Utterance
from engine.language.wording import StatusKey, Words

REPEAT_S = 10.0  # an alarm is said again after this long, until its cause has gone


def source_health(error: FrameSkipped | SourceNotice, count: int = 1) -> Health:
    """The record of an error after which the source goes on, the last of `count`."""
    if isinstance(error, SourceNotice):
        return Health(error.what, error.detail, error.action)
    if count == 1:
        return Health("frame", str(error), "skipped it")
    return Health("frame", f"{count} broken pictures, the last: {error}", "skipped them")


class Notifier:
    """Announces status sentences and reports health records. Safe to call from any thread.

    `say` queues an utterance; `report` takes a health record; `next_id` numbers utterances. An
    alarm stays until it is relieved: a stop by the wearer silences one hearing only. While the
    sound is lost, alarms take the `last_resort`.
    """

    def __init__(
        self,
        words: Words,
        say: Callable[[Utterance], None],
        report: Callable[[Health], None],
        next_id: Callable[[], int],
        timeline: Clock,
        last_resort: LastResort | None = None,
    ) -> None:
        self._words = words
        self._say = say
        self.report = report
        self._next_id = next_id
        self._timeline = timeline
        self._last_resort = last_resort
        self._lock = threading.Lock()
        self._alarms: dict[StatusKey, float | None] = {}  # key → when to say it again
        self._ended = False

    def announce(
        self,
        key: StatusKey,
        priority: float = Priority.STATUS,
        count: int = 1,
        about: str | None = None,
    ) -> None:
        """Say the status sentence of `key`, in place of what still waits `about` the same."""
        if not self._ended:
            self._announce(key, priority, count, about)

    def end(self) -> None:
        """Announce nothing more but the last words: "I can speak again." must not follow "I have
        stopped watching." """
        self._ended = True

    def last_words(self, key: StatusKey) -> None:
        """Say how the session ends."""
        self._announce(key, Priority.ALARM)

    def _announce(
        self, key: StatusKey, priority: float, count: int = 1, about: str | None = None
    ) -> None:
        self._say(
            Utterance(
                id=self._next_id(),
                kind="status",
                text=self._words.status(key, count),
                priority=priority,
                queued_s=self._timeline.now(),
                about=about,
            )
        )

    def notice(self, message: SourceNotice) -> None:
        """Pass on what the source has to say. The loss of the glasses lasts until they are back."""
        if message.status == "glasses_lost":
            self.alarm(source_health(message), "glasses_lost")
            return
        self.report(source_health(message))
        if message.status == "glasses_back":
            self.relieve("glasses_lost")
        if message.status is not None:
            alarming = message.what == "glasses"
            self.announce(message.status, Priority.ALARM if alarming else Priority.STATUS)

    def fault(self, health: Health, key: StatusKey, priority: float = Priority.ALARM) -> None:
        """Report what went wrong and announce it, once."""
        self.report(health)
        self.announce(key, priority)

    def alarm(self, health: Health, key: StatusKey) -> bool:
        """Report and announce a lasting fault. Nothing happens if it is known already; return
        whether it is new."""
        with self._lock:
            if key in self._alarms:
                return False
            self._alarms[key] = None
        self.report(health)
        self._sound(key)
        return True

    def relieve(self, *keys: StatusKey, say: StatusKey | None = None) -> bool:
        """These faults have gone. Announce `say` if one of them was there, and return that."""
        with self._lock:
            gone = [key for key in keys if key in self._alarms]
            for key in gone:
                del self._alarms[key]
        if gone and say is not None:
            self.announce(say, Priority.REASON, about=_matter(say))
        return bool(gone)

    def alarms(self) -> tuple[StatusKey, ...]:
        """The lasting faults that are there now."""
        with self._lock:
            return tuple(self._alarms)

    def repeat_alarms(self, now_s: float) -> None:
        """Say the alarms that are due again. To be called several times a second."""
        due: list[StatusKey] = []
        with self._lock:
            for key, due_s in self._alarms.items():
                if due_s is None or now_s >= due_s:
                    self._alarms[key] = now_s + REPEAT_S
                    due += [] if due_s is None else [key]
        for key in due:
            self._sound(key)

    def last_resort(self, key: StatusKey) -> None:
        """Sound the sentence of `key` by a way that needs neither voice nor sink."""
        if self._last_resort is not None:
            self._last_resort.sound(self._words.status(key))

    def _sound(self, key: StatusKey) -> None:
        if "sound_lost" in self.alarms():
            self.last_resort(key)
        else:
            self.announce(key, Priority.ALARM, about=_matter(key))


def _matter(key: StatusKey) -> str:
    """What an alarm and its end are about: "The camera is back." must not be heard once the camera
    is lost again."""
    return key.partition("_")[0]
