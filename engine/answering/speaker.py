"""Turns the words of an answer into utterances and queues them. Knows no model and no glance."""

from collections.abc import Callable

from engine.core.ports import Clock
from engine.core.priority import Priority
from engine.core.utterance import Utterance
from engine.language.wording import StatusKey, Words


class Speaker:
    """Queues utterances through `say`. Other threads than the answering one may call only
    `utter`."""

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
        self._explained: set[StatusKey] = set()

    def utter(self, text: str, answer: int, yields: bool = False) -> None:
        """Queue a part of the answer to the request with id `answer`, sentence by sentence.

        The first sentence plays while the next are synthesised. After an interruption speech
        resumes with the sentence that was cut off, unless the text `yields`.
        """
        for sentence in self._words.sentences(text):
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

    def explain_once(self, key: StatusKey, *covered: StatusKey) -> None:
        """Say a status that explains a shorter answer: once, until `recovered` resets it. It makes
        the `covered` ones unnecessary."""
        if key in self._explained:
            return
        self._explained.update((key, *covered))
        self._say(
            Utterance(
                id=self._next_id(),
                kind="status",
                text=self._words.status(key),
                priority=Priority.REASON,
                queued_s=self._timeline.now(),
            )
        )

    def recovered(self, *keys: StatusKey) -> None:
        """Reset these statuses: the part that had failed works again."""
        self._explained -= set(keys)
