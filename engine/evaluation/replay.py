"""Answers out of stored outputs: routed, told and scored as a session would have, with no model.

A recording's own session and its replay by the same settings go through here, so they say the same.
"""

import itertools
from dataclasses import replace

from engine.core.answer import Beat, Decision, Description, Request, Tier
from engine.core.clock import VirtualClock
from engine.core.glance import Mark
from engine.core.ports import Router
from engine.core.report import Health
from engine.core.utterance import Utterance
from engine.evaluation.scoring import Scorer
from engine.evaluation.stored_outputs import Record
from engine.recording.session_log import SessionLog

NOT_ENGLISH = "the describer does not speak this language"


class Replay:
    """Routes records and tells of the answers as a session would have, with the measured latencies.

    `wall` is virtual: it moves on by what each record took.
    """

    def __init__(
        self,
        router: Router,
        mode: str,
        beats: int,
        trace: SessionLog,
        wall: VirtualClock,
        scorer: Scorer | None,
    ) -> None:
        self.router = router
        self._mode = mode
        self._beats = beats
        self._trace = trace
        self._wall = wall
        self._scorer = scorer
        self._next_id = itertools.count(1).__next__

    def play(self, record: Record) -> Description:
        """Decide by the glance alone; return the description that went to the trace."""
        glance = record.glance()
        decision = self.router.decide(glance)
        tier: Tier = decision.tier
        if tier == "full" and record.full.error:
            tier = "quick"
            reason = f"{record.full.error}, so the template answers"
            decision = replace(decision, reasons=(*decision.reasons, reason))
            if record.full.error != NOT_ENGLISH:
                self._trace.health(
                    Health("describer", record.full.error, "answered from the template")
                )
        both = tier == "full" and self._beats == 2 and self._mode == "auto"
        description = self._description(record, decision, tier, both)
        first = record.quick if both or tier == "quick" else record.full
        self._wall.move_to(description.request.asked_s + record.to_sound_ms(first) / 1000)
        self._trace.description(description)
        key = description.request.id
        self._trace.started(Utterance(0, "answer", "", 0.0, 0.0, answer=key), self._wall.now())
        if self._scorer is not None:
            self._scorer.add(record.truth, glance, description)
        return description

    def _description(
        self, record: Record, decision: Decision, tier: Tier, both: bool
    ) -> Description:
        asked_s = self._wall.now()
        classified_s = asked_s + record.classify_ms / 1000
        routed_s = classified_s + record.route_ms / 1000
        marks = [
            Mark("asked", asked_s),
            Mark("capture", asked_s),
            Mark("classify", classified_s),
            Mark("route", routed_s),
        ]
        beats = []
        if both or tier == "quick":
            beats.append(Beat("quick", record.quick.text))
            marks.append(Mark("template", routed_s + record.quick.all_words_ms / 1000))
        if tier == "full":
            beats.append(Beat("full", record.full.text))
            marks.append(
                Mark("describer_first_token", routed_s + record.full.first_token_ms / 1000)
            )
            marks.append(Mark("describer_total", routed_s + record.full.all_words_ms / 1000))
        return Description(
            request=Request(self._next_id(), "every", asked_s),
            frame_seq=record.seq,
            mode=self._mode,
            tier=tier,
            decision=decision,
            scene=record.scene,
            beats=tuple(beats),
            marks=tuple(marks),
        )
