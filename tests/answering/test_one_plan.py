"""One image answered three ways gives one answer: live, while recording, and from the recording.

Live runs a real describer thread; the recording goes through a real file.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine.answering.answerer import Answerer
from engine.answering.describer_worker import DescriberWorker
from engine.answering.grounding import Grounder
from engine.answering.plan import AnswerPlan, AnswerSettings
from engine.answering.speaker import Speaker
from engine.core.answer import Description, Request, Tier
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.errors import DescriberFailed
from engine.core.glance import Truth
from engine.core.preferences import Detail, Unsupported
from engine.core.report import Health
from engine.evaluation import stored_outputs
from engine.evaluation.recorder import Recorder
from engine.evaluation.replay import Replay
from engine.evaluation.stored_outputs import Header, Record
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.perception.perceive import Perception
from engine.recording.session_log import SessionLog
from tests.fakes.answering import (
    LABELS,
    FakeDetector,
    FakeScenes,
    FixedRouter,
    ManualClock,
    ScriptedDescriber,
    SilentVoice,
)

FRAME = Frame(np.full((480, 640, 3), 99, np.uint8), 0.0, 7, name="7.jpg")


class FakeSource:
    """A source with labels and no frames."""

    name = "fake"
    live = False
    fps = 15.0

    def truth(self, seq: int) -> Truth | None:
        return None

    def read(self) -> Frame | None:
        return None

    def close(self) -> None: ...

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True)
class Case:
    """A setting, what the describer says, and the answer that all three ways must give."""

    tiers: tuple[Tier, ...]  # of the beats
    answered_by: Tier
    last_beat: str | None = None  # None: the template
    mode: str = "auto"
    router: Tier = "full"
    beats: int = 2
    says: tuple[str, ...] = ()
    fails: str = ""
    language: str = "en"
    speaks: tuple[str, ...] = ("en",)
    unsupported: Unsupported = "hedge"
    nouns: tuple[str, ...] = ()  # said, and supported by nothing
    dropped: tuple[str, ...] = ()  # not said, because only the alert policy may say it
    reason: str = ""
    reported: str = ""
    detail: Detail = "normal"


SPANISH = ("Un hombre está esperando.",)
CASES = {
    "mode quick": Case(("quick",), "quick", mode="quick", router="quick", says=("A man waits.",)),
    "auto, not escalated": Case(("quick",), "quick", router="quick", says=("A man waits.",)),
    "brief template": Case(("quick",), "quick", router="quick", detail="brief"),
    "mode full": Case(
        ("full",), "full", "A person on a street. He waits.", mode="full",
        says=("A person on a street.", "He waits."),
    ),
    "either tier": Case(
        ("full",), "full", "A person on a street.", beats=1, says=("A person on a street.",)
    ),
    "a second beat that adds": Case(
        ("quick", "full"), "full", "A man is waiting.", says=("A man is waiting.",)
    ),
    "a second beat that adds only its last clause": Case(
        ("quick", "full"), "full", "He carries an umbrella.",
        says=("A person on a street.", "He carries an umbrella."), unsupported="say",
        nouns=("umbrella",),
    ),
    "a second beat that repeats": Case(("quick",), "full", says=("A person on a street.",)),
    "a hedged claim": Case(
        ("quick", "full"), "full", "A man is waiting maybe next to a car.",
        says=("A man is waiting next to a car.",), nouns=("car",),
    ),
    "a second beat that reassures": Case(
        ("quick", "full"), "full", "A man is waiting.",
        says=("There are no cars.", "It is safe to cross.", "A man is waiting.", "Way clear."),
        dropped=("There are no cars.", "It is safe to cross.", "Way clear."),
    ),
    "a describer that only reassures, unchecked": Case(
        ("quick",), "quick", mode="full", says=("Nothing is in the way.",), unsupported="say",
        dropped=("Nothing is in the way.",), reason="said is supported, so the template answers",
    ),
    "it reassures in Spanish": Case(
        ("quick", "full"), "full", "Un hombre está esperando.", language="es",
        says=("No hay coches.", "Puede cruzar.", *SPANISH), speaks=("en", "es"),
        dropped=("No hay coches.", "Puede cruzar."),
    ),
    "every claim dropped": Case(
        ("quick",), "quick", beats=1, says=("A car is near a bus.",), unsupported="drop",
        nouns=("car", "bus"), reason="said is supported, so the template answers",
    ),
    "a describer that fails": Case(
        ("quick",), "quick", fails="it broke", reason="it broke, so the template answers",
        reported="it broke",
    ),
    "a describer that fails where it speaks alone": Case(
        ("quick",), "quick", mode="full", fails="it broke",
        reason="it broke, so the template answers", reported="it broke",
    ),
    "a describer that fails after a clause": Case(
        ("quick", "full"), "full", "A man is waiting.", says=("A man is waiting.",),
        fails="it broke", reported="it broke",
    ),
    "a describer that says nothing": Case(
        ("quick",), "quick", reason="said nothing", reported="said nothing"
    ),
    "Spanish, and the describer speaks it": Case(
        ("quick", "full"), "full", SPANISH[0], language="es", says=SPANISH, speaks=("en", "es")
    ),
    "Spanish, and the describer does not": Case(
        ("quick",), "quick", language="es", says=SPANISH,
        reason="the describer does not speak this language, so the template answers",
    ),
}  # fmt: skip


class Bench:
    """Answers one image in each of the three ways, by the same settings."""

    def __init__(self, case: Case, folder: Path) -> None:
        self._case = case
        self._folder = folder
        error = DescriberFailed(case.fails) if case.fails else None
        self.describer = ScriptedDescriber(*case.says, error=error)
        self._speaks = case.language in case.speaks

    def plan(self) -> AnswerPlan:
        case = self._case
        return AnswerPlan(
            AnswerSettings(case.mode, case.beats, case.detail),
            FixedRouter(case.router),
            Words(case.language),
            Grounder(LABELS, case.language, case.unsupported),
        )

    def live(self) -> tuple[Description, list[Health]]:
        clock, health, plan = ManualClock(), list[Health](), self.plan()
        worker = DescriberWorker(self.describer, clock) if self._speaks else None
        answerer = Answerer(
            plan=plan,
            scenes=FakeScenes(),
            speaker=Speaker(plan.words, lambda _: None, itertools.count(1).__next__, clock),
            report=health.append,
            wall=clock,
            describer=worker,
        )
        glance = Perception(FakeDetector(), Localizer(), clock).perceive(FRAME)
        description = answerer.answer(Request(1, "every", clock.now()), glance)
        if worker is not None:
            worker.close()
        return description, health

    def recorded(self) -> Record:
        wall = VirtualClock()
        recorder = Recorder(
            perception=Perception(FakeDetector(), Localizer(), wall),
            scenes=FakeScenes(),
            describer=self.describer if self._speaks else None,
            plan=self.plan(),
            voice=SilentVoice(),
            wall=wall,
        )
        return recorder.measure(FRAME, FakeSource())

    def replayed(self, record: Record) -> tuple[Description, list[Health]]:
        health: list[Health] = []

        class Kept(SessionLog):
            def health(self, record: Health) -> None:
                health.append(record)

        wall = VirtualClock()
        log = Kept(self._folder, VirtualClock(), wall)
        description = Replay(self.plan(), log, wall, None).play(record)
        log.close()
        return description, health

    def through_a_file(self, record: Record) -> Record:
        writer = stored_outputs.Writer(self._folder / "outputs.jsonl")
        language = self._case.language
        writer.begin(
            Header(stored_outputs.VERSION, "made up", language, "meters", "sides", 70.0, LABELS, {})
        )
        writer.add(record)
        writer.finish([(None, None)])
        (read,) = stored_outputs.read(writer.path)[1]
        return read


Seen = tuple[Description, list[Health]]


def in_short(seen: Seen) -> object:
    """What all three ways must agree on: the route, the beats, the stages that ran, the reports."""
    description, health = seen
    return (
        description.tier,
        description.decision,
        description.beats,
        description.text,
        description.unsupported,
        description.dropped,
        description.scene,
        [mark.stage for mark in description.marks],
        health,
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_all_three_ways_give_the_same_answer(case: Case, tmp_path: Path) -> None:
    bench = Bench(case, tmp_path)
    live = bench.live()
    record = bench.recorded()
    ways: dict[str, Callable[[], Seen]] = {
        "while recording": lambda: bench.replayed(record),
        "from the file": lambda: bench.replayed(bench.through_a_file(record)),
    }
    for way, answer in ways.items():
        assert in_short(answer()) == in_short(live), way
    description, health = live
    assert tuple(beat.tier for beat in description.beats) == case.tiers
    assert description.tier == case.answered_by
    expected = bench.plan().word(record.glance()) if case.last_beat is None else case.last_beat
    assert description.beats[-1].text == expected
    assert description.unsupported == case.nouns
    assert tuple(clause.text for clause in description.dropped) == case.dropped
    assert all("alert policy" in clause.reason for clause in description.dropped)
    assert case.reason in description.decision.reasons[-1]
    assert len(health) == bool(case.reported)
    assert all(case.reported in item.detail for item in health)
