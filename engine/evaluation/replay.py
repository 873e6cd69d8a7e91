"""Answers from stored outputs without models: routed, merged, logged and scored as in a session.

A recording's session and a replay with the same settings both use this code, so they give the same
answers.
"""

import itertools
from collections.abc import Callable, Iterator

from engine.answering.draft import Draft
from engine.answering.grounding import Grounded
from engine.answering.plan import (
    LANGUAGE_NOT_SPOKEN,
    NOTHING_SAID,
    NOTHING_SUPPORTED,
    AnswerPlan,
)
from engine.core.answer import Description, Request
from engine.core.clock import VirtualClock
from engine.core.errors import DescriberFailed
from engine.core.glance import Mark, SceneClass
from engine.core.report import Health
from engine.core.utterance import Utterance
from engine.evaluation.scoring import Scorer
from engine.evaluation.stored_outputs import Record
from engine.language.wording import StatusKey
from engine.recording.session_log import SessionLog


class Replay:
    """Answers from records with the answer plan and the latencies that were measured.

    `wall` is virtual: it advances by the measured time of each record.
    """

    def __init__(
        self, plan: AnswerPlan, log: SessionLog, wall: VirtualClock, scorer: Scorer | None
    ) -> None:
        self._plan = plan
        self._log = log
        self._wall = wall
        self._scorer = scorer
        self._next_id = itertools.count(1).__next__

    def play(self, record: Record) -> Description:
        """Answer one record; return the description that was logged."""
        asked_s = self._wall.now()
        glance = record.glance()
        request = Request(self._next_id(), "every", asked_s)
        draft = self._plan.draft(request, glance, asked_s)
        self._plan.answer(draft, StoredStages(record, asked_s, self._plan, self._log.health))
        description = draft.description(self._plan.settings.mode)
        first = record.quick if draft.beats[0].tier == "quick" else record.full
        self._wall.move_to(asked_s + record.to_sound_ms(first) / 1000)
        self._log.description(description)
        self._log.started(Utterance(0, "answer", "", 0.0, 0.0, answer=request.id), self._wall.now())
        if self._scorer is not None:
            self._scorer.add(record.truth, glance, description)
        return description


class StoredStages:
    """The stages of one answer, requested at `asked_s`, with the outputs and times of a record."""

    def __init__(
        self, record: Record, asked_s: float, plan: AnswerPlan, report: Callable[[Health], None]
    ) -> None:
        self._record = record
        self._plan = plan
        self._report = report
        classified_s = asked_s + record.classify_ms / 1000
        routed_s = classified_s + record.route_ms / 1000
        self._marks = {
            "classify": (Mark("classify", classified_s),),
            "route": (Mark("route", routed_s),),
            "template": (Mark("template", routed_s + record.quick.all_words_ms / 1000),),
            "describer": (
                Mark("describer_first_token", routed_s + record.full.first_token_ms / 1000),
                Mark("describer_total", routed_s + record.full.all_words_ms / 1000),
            ),
        }

    @property
    def can_describe(self) -> bool:
        return self._record.full.error != LANGUAGE_NOT_SPOKEN

    def classify(self, draft: Draft) -> SceneClass:
        return self._record.scene

    def template(self, draft: Draft) -> str:
        return self._record.quick.text

    def start_describer(self, draft: Draft) -> None:
        """Nothing to start: the description is stored."""

    def clauses(self, draft: Draft) -> Iterator[Grounded]:
        # screened again: the recording may be older than the screen
        yield from map(self._plan.screen, self._record.full.grounded(self._plan.words))
        error = self._record.full.error
        if error and error not in (NOTHING_SAID, NOTHING_SUPPORTED):  # the plan finds these itself
            raise DescriberFailed(error)

    def read_signs(self, draft: Draft, described: bool) -> None:
        """No text is recorded."""

    def speak(self, draft: Draft, text: str, second_beat: bool) -> None:
        """Nothing is heard."""

    def fall_back(self, key: StatusKey | None, health: Health | None) -> None:
        if health is not None:
            self._report(health)

    def stamp(self, draft: Draft, stage: str) -> None:
        draft.marks += self._marks[stage]
