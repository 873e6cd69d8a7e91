"""An answer while it comes about: what the answerer's steps hand on to each other.

Knows no step. It lives for one answer, in the answering thread.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from engine.core.answer import Beat, Decision, Description, Request, Tier
from engine.core.glance import Glance, Mark, SceneClass
from engine.core.preferences import Detail
from engine.language.wording import Why

NO_SCENE = SceneClass("", 0.0, 1.0, indoor=False)  # of an answer that needed no scene


def never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Interruptions:
    """What may overtake an answer while it is being given: a newer request or the wearer's stop, and
    something critical, which ends a second beat only."""

    overtaken: Callable[[], bool] = never
    alarmed: Callable[[], bool] = never


@dataclass
class Draft:
    """An answer as it comes about."""

    request: Request
    glance: Glance
    moments: Interruptions
    detail: Detail
    marks: list[Mark]
    beats: list[Beat] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    texts: tuple[str, ...] = ()
    decision: Decision = field(default_factory=lambda: Decision("quick", 0.0, 0.0, ()))
    by: Literal["mode", "router", "more", "language", "failure"] = "router"
    tier: Tier = "quick"

    def text(self) -> str:
        """All that was said so far."""
        return " ".join(beat.text for beat in self.beats)

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
        )
