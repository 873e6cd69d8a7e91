"""Words of an answer to utterances, in the queue of all sound. Knows no model and no glance."""

from collections.abc import Callable

from engine.core.ports import Clock
from engine.core.priority import Priority
from engine.core.utterance import Utterance
from engine.language.wording import StatusKey, Words, sentences


class Speaker:
    """Queues what an answer says, by `say`. Belongs to the answering thread, but for `utter`."""

    def __init__(
        self,
        words: Words,
        say: Callable[[Utterance], None],
        next_id: Callable[[], int],
        timeline: Clock,
    ) -> None:
        self._words = words
        self._say = say
        self._next_id = next_id
        self._timeline = timeline
        self._excused: set[StatusKey] = set()

    def utter(self, text: str, answer: int, yields: bool = False) -> None:
        """Queue one part of the answer to the request with id `answer`, a sentence at a time: the
        first is heard while the next are made, and what is cut off goes on with the sentence, unless
        it `yields`."""
        for sentence in sentences(text):
            self._say(
                Utterance(
                    id=self._next_id(),
                    kind="answer",
                    text=sentence,
                    priority=Priority.ANSWER,
                    queued_s=self._timeline.now(),
                    answer=answer,
                    yields=yields,
                )
            )

    def excuse(self, key: StatusKey) -> None:
        """Say once, until it is `well` again, why an answer is less than was asked for."""
        if key in self._excused:
            return
        self._excused.add(key)
        self._say(
            Utterance(
                id=self._next_id(),
                kind="status",
                text=self._words.status(key),
                priority=Priority.STATUS,
                queued_s=self._timeline.now(),
            )
        )

    def well(self, *keys: StatusKey) -> None:
        """What was excused works again."""
        self._excused -= set(keys)
