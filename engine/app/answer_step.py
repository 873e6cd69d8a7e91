"""The step of every request, the same live and in a batch: answer, log, score, show."""

from collections.abc import Callable

from engine.answering.answerer import Answerer
from engine.answering.draft import never
from engine.app.wearer_memory import WearerMemory
from engine.audio.scheduler import Audio
from engine.core.answer import Description, Request
from engine.core.glance import Glance
from engine.recording.session_log import SessionLog

Score = Callable[[Glance, Description], None]
Show = Callable[[Description], None]


class AnswerStep:
    """Answers one request after another, in one thread.

    `score` compares an answer with the labels of its frame, if there are any; `show` prints it.
    `memory` keeps it for "repeat" after the next start.
    """

    def __init__(
        self,
        answerer: Answerer,
        audio: Audio,
        log: SessionLog,
        score: Score | None = None,
        show: Show | None = None,
        memory: WearerMemory | None = None,
    ) -> None:
        self._answerer = answerer
        self._audio = audio
        self._log = log
        self._score = score
        self._show = show
        self._memory = memory
        self._last: tuple[str, ...] = () if memory is None else memory.kept.answer

    def answer(
        self, request: Request, glance: Glance, overtaken: Callable[[], bool] = never
    ) -> Description:
        """Answer `request` from `glance`; return when the whole answer is queued. `overtaken`
        returns true when the rest of it is no longer needed. An alarm ends its second beat."""
        self._audio.supersede_answers(request.id)
        before = self._audio.alarms
        description = self._answerer.answer(
            request, glance, overtaken, lambda: self._audio.alarms > before
        )
        self._last = tuple(beat.text for beat in description.beats)
        if self._memory is not None:
            self._memory.keep_answer(self._last)
        self._log.description(description)
        if self._score is not None:
            self._score(glance, description)
        if self._show is not None:
            self._show(description)
        return description

    def prefetch(self, glance: Glance) -> None:
        """Prefetch an answer from `glance`, before the request."""
        self._answerer.prefetch(glance)

    def repeat(self, next_id: Callable[[], int]) -> bool:
        """Say the last answer again; return whether there is one. It gets a new id, since the
        latency of the original was already measured."""
        if not self._last:
            return False
        answer = next_id()
        self._audio.supersede_answers(answer)
        for text in self._last:
            self._answerer.speaker.utter(text, answer)
        return True

    def reset(self) -> None:
        """Forget the last frame: the next one is unrelated to it."""
        self._answerer.reset()
