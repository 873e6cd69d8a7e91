"""An answer while it is being made: the state that the steps of the answer plan read and change.

A draft lives for one answer, in one thread. It knows none of the steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from engine.core.answer import Beat, Decision, Description, DroppedClause, Request, Tier
from engine.core.glance import Glance, Mark, SceneClass
from engine.core.preferences import Detail
from engine.language.facts import Why

NO_SCENE = SceneClass("", 0.0, 1.0, indoor=False)  # for answers that need no scene


def never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Interruptions:
    """What may interrupt an answer.

    `overtaken`: a newer request came or the wearer said stop; this ends the answer. `alarmed`: a
    critical alert sounded; this ends a second beat only.
    """

    overtaken: Callable[[], bool] = never
    alarmed: Callable[[], bool] = never


@dataclass
class Draft:
    """The state of one answer.

    `texts` are the lines of text read in the image. `by` says what chose the tier. `tier` is the
    tier that answered: "quick" until the describer has said something. `template_first`: the
    template speaks before the describer. `interrupted`: the description was cut short.
    """

    request: Request
    glance: Glance
    detail: Detail
    marks: list[Mark]
    interruptions: Interruptions = field(default_factory=Interruptions)
    beats: list[Beat] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    dropped: list[DroppedClause] = field(default_factory=list)
    texts: tuple[str, ...] = ()
    decision: Decision = field(default_factory=lambda: Decision("quick", 0.0, 0.0, ()))
    by: Literal["mode", "router", "more", "language", "loading", "failure"] = "router"
    tier: Tier = "quick"
    template_first: bool = True
    interrupted: bool = False

    @property
    def text(self) -> str:
        """The text of the answer so far."""
        return " ".join(beat.text for beat in self.beats)

    def add_beat(self, tier: Tier, text: str) -> None:
        """Append a beat; join it to the last one if that is of the same tier."""
        if self.beats and self.beats[-1].tier == tier:
            text = f"{self.beats.pop().text} {text}"
        self.beats.append(Beat(tier, text))

    def add_reason(self, reason: str) -> None:
        """Append a reason to the routing decision."""
        self.decision = replace(self.decision, reasons=(*self.decision.reasons, reason))

    def why(self) -> Why:
        decision = replace(self.decision, tier=self.tier)
        return Why(self.by, decision, self.glance.scene, len(self.glance.obstacles))

    def description(self, mode: str) -> Description:
        """The finished answer, as it is logged."""
        return Description(
            request=self.request,
            frame_seq=self.glance.frame.seq,
            mode=mode,
            tier=self.tier,
            decision=self.decision,
            scene=self.glance.scene or NO_SCENE,
            beats=tuple(self.beats),
            marks=tuple(self.marks),
            unsupported=tuple(dict.fromkeys(self.unsupported)),
            dropped=tuple(self.dropped),
            picture=self.glance.frame.name,
        )
