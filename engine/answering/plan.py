"""The one answer plan: the steps from a glance to a description, in their order.

    classify → route → word the template → describe → ground → merge the beats

Live answering, recording and replay all use these steps, so they give the same answer to the same
image. `Stages` supplies what differs: models that answer now, or stored outputs. The plan knows no
thread, no clock and no sound.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from engine.answering.draft import NO_SCENE, Draft, Interruptions
from engine.answering.grounding import Evidence, Grounded, Grounder
from engine.core.answer import Decision, DroppedClause, Request
from engine.core.errors import DescriberLate, EngineError, StillLoading, in_one_line
from engine.core.glance import Glance, Mark, SceneClass
from engine.core.ports import Router
from engine.core.preferences import Detail
from engine.core.report import Health
from engine.language.reassurance import reassures
from engine.language.wording import StatusKey, Words
from engine.perception.image_statistics import ImageGauge

LANGUAGE_NOT_SPOKEN = "the describer does not speak this language"
NOTHING_SAID = "the describer said nothing"
NOTHING_SUPPORTED = "nothing that the describer said is supported"
REASSURES = "only the alert policy may say that nothing is there or that it is safe"
MORE: dict[Detail, Detail] = {"brief": "normal", "normal": "full", "full": "full"}


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How to answer.

    mode        `auto` lets the router choose the tier; `quick` and `full` fix it
    beats       2: an escalated `auto` answer begins with the template, and the describer adds to
                it; 1: either the template or the describer
    detail      how much the template says
    deadline_s  how long to wait for the describer's next clause; None is no limit (a batch)
    signs       whether large text in the image is read out as part of the quick answer
    """

    mode: str = "auto"
    beats: int = 2
    detail: Detail = "normal"
    deadline_s: float | None = None
    signs: bool = False

    @property
    def two_beats(self) -> bool:
        """Whether an escalated answer begins with the template."""
        return self.beats == 2 and self.mode == "auto"


class Stages(Protocol):
    """What differs between answering live and replaying stored outputs."""

    @property
    def can_describe(self) -> bool:
        """Whether there is a describer that speaks the session's language."""
        ...

    def classify(self, draft: Draft) -> SceneClass:
        """The scene of the draft's frame. Raises StillLoading."""
        ...

    def template(self, draft: Draft) -> str:
        """The quick tier's words for the draft's glance."""
        ...

    def start_describer(self, draft: Draft) -> None:
        """Start the describer, so that it works while the template is spoken. Raises
        DescriberFailed."""
        ...

    def clauses(self, draft: Draft) -> Iterator[Grounded]:
        """The describer's grounded clauses. Sets `draft.interrupted` if they stop early. Raises
        EngineError if the describer fails or is late."""
        ...

    def read_signs(self, draft: Draft, described: bool) -> None:
        """Read large text, before or after the describer has spoken (`described`)."""
        ...

    def speak(self, draft: Draft, text: str, second_beat: bool) -> None:
        """Queue words that were added to the answer."""
        ...

    def fall_back(self, key: StatusKey | None, health: Health | None) -> None:
        """The template answers instead of the describer: report it, and say `key` to the wearer."""
        ...

    def stamp(self, draft: Draft, stage: str) -> None:
        """Append the mark of a stage that has ended: classify, route, template or describer."""
        ...


class AnswerPlan:
    """Runs the steps of an answer over a draft.

    `prompt` gives the describer's prompt for a glance; None if the describer has a single prompt.
    """

    def __init__(
        self,
        settings: AnswerSettings,
        router: Router,
        words: Words,
        grounder: Grounder | None = None,
        prompt: Callable[[Glance], str] | None = None,
    ) -> None:
        self.settings = settings
        self.router = router
        self.words = words
        self.grounder = Grounder((), words.language, "say") if grounder is None else grounder
        self._prompt = prompt
        self._gauge = ImageGauge()
        self._router_failed = False  # which has been reported

    def reset(self) -> None:
        """Forget the last frame: the next one is unrelated to it."""
        self._gauge.reset()

    def draft(
        self,
        request: Request,
        glance: Glance,
        captured_s: float,
        interruptions: Interruptions | None = None,
    ) -> Draft:
        """An empty answer to `request` from `glance`, which became available at `captured_s`."""
        marks = [*request.marks, Mark("capture", captured_s)]
        return Draft(request, glance, self.settings.detail, marks, interruptions or Interruptions())

    def answer(self, draft: Draft, stages: Stages, last: Draft | None = None) -> None:
        """Run all steps. `last` is the previous answer, which "more" continues. A describer's
        failure never raises: the template answers instead."""
        scene, not_classified = NO_SCENE, ""
        try:
            scene = stages.classify(draft)
        except StillLoading as error:
            not_classified = str(error)
        draft.glance = replace(draft.glance, scene=scene)
        stages.stamp(draft, "classify")
        self._route(draft, stages, last)
        if not_classified:
            draft.add_reason(f"{not_classified}, so the place is not said")
        stages.stamp(draft, "route")
        describing = self._start(draft, stages)
        draft.template_first = not describing or self.settings.two_beats
        if draft.template_first:
            self._add_template(draft, stages)
            stages.read_signs(draft, described=False)
        if describing:
            self._describe(draft, stages, last)
            if not draft.beats and not draft.interruptions.overtaken():
                self._add_template(draft, stages)
        if draft.template_first:
            stages.read_signs(draft, described=True)

    # Steps that a recording measures one by one.

    def measure(self, glance: Glance) -> Glance:
        """The glance with its image statistics, which are measured if they are missing."""
        if glance.picture is not None:
            return glance
        return replace(glance, picture=self._gauge.measure(glance.frame.image))

    def word(self, glance: Glance, detail: Detail | None = None) -> str:
        """The template's answer, at the configured level of detail unless another is given."""
        return self.words.describe(glance, detail or self.settings.detail)

    def prompt(self, glance: Glance) -> str | None:
        """The describer's prompt; None if it has a single one."""
        return None if self._prompt is None else self._prompt(glance)

    def ground(self, clause: str, glance: Glance, texts: tuple[str, ...] = ()) -> Grounded:
        """Check a clause of the describer against the glance and the text that was read; drop it
        if it reassures."""
        grounded = self.grounder.check(clause, Evidence(glance.obstacles, glance.scene, texts))
        if reassures(clause, self.words.language):
            return Grounded("", (), clause)
        return self.screen(grounded)

    def screen(self, grounded: Grounded) -> Grounded:
        """`grounded`, but dropped if it says that nothing is there, that the way is clear or that
        it is safe: that is for the alert policy alone to say."""
        if reassures(grounded.text, self.words.language):
            return Grounded("", (), grounded.text)
        return grounded

    # The steps of an answer.

    def _route(self, draft: Draft, stages: Stages, last: Draft | None) -> None:
        """Choose the tier. A request for more gets the next level of detail, and the describer."""
        draft.glance = self.measure(draft.glance)
        self._decide(draft, stages)
        if draft.request.wish == "more":
            draft.detail = MORE[self.settings.detail if last is None else last.detail]
            if stages.can_describe and draft.decision.tier == "quick":
                draft.by = "more"
                draft.decision = replace(draft.decision, tier="full")
                draft.add_reason("asked for more")
        if draft.decision.tier == "full" and not stages.can_describe:
            draft.by = "language"
            draft.add_reason(f"{LANGUAGE_NOT_SPOKEN}, so the template answers")
            stages.fall_back("describer_language", None)

    def _decide(self, draft: Draft, stages: Stages) -> None:
        """Ask the router. Where it fails, the template answers, and that is reported once."""
        try:
            draft.decision = self.router.decide(draft.glance)
        except Exception as error:  # whatever a router raises, the obstacles are known
            detail = f"the router failed: {in_one_line(error)}"
            draft.decision = Decision("quick", 0.0, 1.0, ())
            self._use_template(draft, detail)
            if not self._router_failed:
                stages.fall_back(None, Health("router", detail, "answered from the template"))
            self._router_failed = True
            return
        self._router_failed = False
        draft.by = "router" if self.settings.mode == "auto" else "mode"

    def _start(self, draft: Draft, stages: Stages) -> bool:
        """Start the describer if it is to answer; return whether it has started."""
        if draft.decision.tier == "quick" or not stages.can_describe:
            return False
        try:
            stages.start_describer(draft)
        except EngineError as error:
            self._fail(draft, stages, error)
            return False
        return True

    def _add_template(self, draft: Draft, stages: Stages) -> None:
        text = stages.template(draft)
        draft.add_beat("quick", text)
        stages.stamp(draft, "template")
        stages.speak(draft, text, second_beat=False)

    def _describe(self, draft: Draft, stages: Stages, last: Draft | None) -> None:
        """Say the describer's clauses as they come. A second beat leaves out the clauses that add
        nothing to what was said."""
        second_beat = bool(draft.beats)
        said_before = draft.text
        if draft.request.wish == "more" and last is not None:
            said_before = f"{last.text} {said_before}"  # "more" skips what the last answer said
        spoken: list[str] = []
        heard = usable = False
        failure: EngineError | None = None
        try:
            for clause in stages.clauses(draft):
                heard, usable = True, usable or bool(clause.text)
                draft.unsupported += clause.unsupported
                if clause.reassured:
                    draft.dropped.append(DroppedClause(clause.reassured, REASSURES))
                if not clause.text:
                    continue
                if second_beat and not self.grounder.adds(clause.text, said_before):
                    continue
                spoken.append(clause.text)
                stages.speak(draft, clause.text, second_beat)
        except EngineError as error:
            failure = error
        if heard:
            stages.stamp(draft, "describer")
        if spoken:
            draft.add_beat("full", " ".join(spoken))
        ended = failure is None and not draft.interrupted
        # A describer that had nothing to add also counts as having answered.
        if spoken or (ended and usable):
            draft.tier = "full"
        if failure is not None:
            self._fail(draft, stages, failure)
        elif ended and not usable:
            self._use_template(draft, NOTHING_SUPPORTED if heard else NOTHING_SAID)
            if not heard:  # dropping unsupported words is the wearer's choice, and no fault
                stages.fall_back(None, _fault(NOTHING_SAID))

    def _fail(self, draft: Draft, stages: Stages, error: EngineError) -> None:
        self._use_template(draft, str(error))
        if isinstance(error, StillLoading):  # no fault: the wearer asked early
            draft.by = "loading"
            stages.fall_back("describer_loading", None)
            return
        late = isinstance(error, DescriberLate)
        stages.fall_back("describer_late" if late else "describer_failed", _fault(str(error)))

    def _use_template(self, draft: Draft, why: str) -> None:
        draft.by = "failure"
        if draft.tier == "quick":
            draft.add_reason(f"{why}, so the template answers")


def _fault(detail: str) -> Health:
    return Health("describer", detail, "answered from the template")
