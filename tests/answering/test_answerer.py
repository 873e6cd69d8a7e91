"""Wired: the answerer with real threads for describer and reader, and a clock that the test turns.

Nothing here waits for real time to pass, but for a thread's next step.
"""

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from engine.answering.answerer import Answerer
from engine.answering.describer_worker import DescriberWorker
from engine.answering.grounding import Grounder
from engine.answering.ocr_worker import OcrWorker
from engine.answering.plan import AnswerPlan, AnswerSettings
from engine.answering.speaker import Speaker
from engine.core.answer import Description, Request, Tier, Wish
from engine.core.camera import Frame
from engine.core.errors import DescriberFailed, OutOfMemory, PromptTooLong, ReaderFailed
from engine.core.glance import Glance
from engine.core.preferences import Detail
from engine.core.report import Health
from engine.core.utterance import Utterance
from engine.language.wording import Words
from tests.fakes.answering import LINES, FakeScenes, FixedRouter, ManualClock, ScriptedDescriber
from tests.fakes.glances import make_glance, make_obstacle

LABELS = ("person", "bus", "car", "chair", "bicycle")
STREET = make_glance(make_obstacle("person", 3.0), make_obstacle("bus", 8.0, "left"))


class Desk:
    """An answerer over fakes, and all that it said and reported."""

    def __init__(
        self,
        describer: ScriptedDescriber | None = None,
        *,
        mode: str = "auto",
        tier: Tier = "full",
        beats: int = 2,
        language: str = "en",
        detail: Detail = "normal",
        scenes: FakeScenes | None = None,
        signs: bool = False,
        deadline_s: float | None = 1.5,
    ) -> None:
        self.clock = ManualClock()
        self.said: list[Utterance] = []
        self.health: list[Health] = []
        self.scenes = scenes or FakeScenes()
        self.describer = DescriberWorker(describer, self.clock) if describer else None
        self.reader = OcrWorker(lambda: self.scenes, self.clock)
        self._ids = itertools.count(1).__next__
        self.words = Words(language)
        plan = AnswerPlan(
            AnswerSettings(mode, beats, detail, deadline_s, signs),
            FixedRouter(tier),
            self.words,
            Grounder(LABELS, language),
            lambda glance: f"What is {glance.scene.label if glance.scene else '?'}?",
        )
        self.answerer = Answerer(
            plan=plan,
            scenes=self.scenes,
            speaker=Speaker(self.words, self.said.append, itertools.count(1).__next__, self.clock),
            report=self.health.append,
            wall=self.clock,
            describer=self.describer,
            reader=self.reader,
        )

    def ask(
        self,
        wish: Wish = "describe",
        target: str | None = None,
        glance: Glance = STREET,
        overtaken: Callable[[], bool] = lambda: False,
        alarmed: Callable[[], bool] = lambda: False,
    ) -> Description:
        request = Request(self._ids(), "test", self.clock.now(), wish, target)
        return self.answerer.answer(request, glance, overtaken, alarmed)

    def statuses(self) -> list[str]:
        return [u.text for u in self.said if u.kind == "status"]

    def close(self) -> None:
        if self.describer is not None:
            self.describer.close()
        self.reader.close()


QUICK = "Person ahead, three meters. Bus left, eight meters. You are on a street."


# before anybody has asked


def test_where_the_describer_comes_first_it_looks_before_it_is_asked() -> None:
    describer = ScriptedDescriber("A man is waiting.")
    desk = Desk(describer, mode="full", beats=1)
    desk.answerer.prefetch(STREET)
    frame, prompt = describer.prefetched.get()
    assert frame is STREET.frame
    assert desk.ask().beats[0].text == "A man is waiting."
    assert (
        describer.prompts == [prompt] == ["What is street?"]
    )  # so that it has begun with the same
    desk.close()


def test_a_look_ends_when_the_answer_is_wanted() -> None:
    class Slow(ScriptedDescriber):
        steps = 0

        def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
            self.prefetched.put((frame, prompt))
            while True:
                self.steps += 1
                yield

    describer = Slow("A man is waiting.")
    desk = Desk(describer, mode="full", beats=1)
    desk.answerer.prefetch(STREET)
    describer.prefetched.get()
    assert desk.ask().beats[0].text == "A man is waiting."
    desk.close()
    assert describer.steps >= 1


@pytest.mark.parametrize("mode", ["auto", "quick"])
def test_where_a_template_comes_first_it_does_not(mode: str) -> None:
    describer = ScriptedDescriber("A man is waiting.")
    desk = Desk(describer, mode=mode, tier="quick")
    desk.answerer.prefetch(STREET)
    desk.ask()
    desk.close()
    assert describer.prefetched.empty()


def test_a_look_that_fails_is_told_once_by_the_answer() -> None:
    desk = Desk(
        ScriptedDescriber(error=OutOfMemory("no memory")),
        mode="full",
        beats=1,
        scenes=FakeScenes(fails=True),
    )
    desk.answerer.prefetch(STREET)
    assert not desk.health
    desk.ask()
    assert [health.what for health in desk.health] == ["scenes", "describer"]
    desk.close()


def test_a_look_that_hangs_leaves_the_template() -> None:
    describer = ScriptedDescriber("Late.", hangs=True)
    desk = Desk(describer, mode="full", beats=1)
    desk.answerer.prefetch(STREET)
    describer.prefetched.get()  # it hangs now
    desk.clock.step_s = 0.3
    assert [beat.tier for beat in desk.ask().beats] == ["quick"]
    desk.answerer.prefetch(STREET)  # raises nothing
    describer.released.set()
    desk.close()


# two beats


def test_the_second_beat_says_what_it_adds_and_the_log_holds_both() -> None:
    desk = Desk(ScriptedDescriber("A person and a bus.", "A man is waiting next to a car."))
    answer = desk.ask()
    assert [beat.tier for beat in answer.beats] == ["quick", "full"]
    assert answer.beats[0].text == QUICK
    assert answer.beats[1].text == "A man is waiting maybe next to a car."
    assert answer.unsupported == ("car",)
    assert answer.text == " ".join(u.text for u in desk.said)
    assert [u.yields for u in desk.said] == [False, False, False, True]
    assert not desk.health
    desk.close()


def test_a_describer_with_nothing_to_add_is_not_heard_but_has_answered() -> None:
    desk = Desk(ScriptedDescriber("A person and a bus on a street."))
    answer = desk.ask()
    assert [beat.tier for beat in answer.beats] == ["quick"]
    assert answer.tier == "full"
    assert any(mark.stage == "describer_total" for mark in answer.marks)
    desk.close()


@pytest.mark.parametrize("beats", [1, 2])
def test_mode_full_has_one_beat(beats: int) -> None:
    desk = Desk(ScriptedDescriber("A person and a bus on a street."), mode="full", beats=beats)
    answer = desk.ask()
    assert [(beat.tier, beat.text) for beat in answer.beats] == [
        ("full", "A person and a bus on a street.")
    ]
    assert not any(u.yields for u in desk.said)  # the only beat goes on after an alert
    desk.close()


def test_something_critical_ends_a_second_beat_but_no_first() -> None:
    desk = Desk(ScriptedDescriber("A man is waiting."))
    assert [b.tier for b in desk.ask(alarmed=lambda: True).beats] == ["quick"]
    desk.close()
    desk = Desk(ScriptedDescriber("A man is waiting."), mode="full")
    assert [b.tier for b in desk.ask(alarmed=lambda: True).beats] == ["full"]
    desk.close()


def test_the_describer_is_asked_by_scene() -> None:
    describer = ScriptedDescriber("A man is waiting.")
    desk = Desk(describer)
    desk.ask()
    assert describer.prompts == ["What is street?"]
    desk.close()


# never silent, never stuck


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "no memory"),
        (OutOfMemory("the graphics card"), "graphics card"),
        (DescriberFailed("no usable text"), "no usable text"),
        (PromptTooLong("the prompt of 900 tokens"), "900 tokens"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
    ],
)
def test_a_describer_that_fails_is_answered_for(mode: str, error: Exception, said: str) -> None:
    describer = ScriptedDescriber(error=error)
    desk = Desk(describer, mode=mode)
    for _ in range(2):
        answer = desk.ask()
        assert (answer.tier, answer.text) == ("quick", QUICK)
    assert [said in health.detail for health in desk.health] == [True, True]
    # said once, until it works again
    assert desk.statuses() == [desk.words.status("describer_failed")]
    describer.error, describer.clauses = None, ("A man is waiting.",)
    assert desk.ask().tier == "full"
    describer.error, describer.clauses = error, ()
    desk.ask()
    assert len(desk.statuses()) == 2
    desk.close()


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_a_describer_that_hangs_is_answered_for_and_then_left_alone(mode: str) -> None:
    describer = ScriptedDescriber("A man is waiting.", hangs=True)
    desk = Desk(describer, mode=mode)
    desk.clock.step_s = 0.05
    begun_s = desk.clock.time_s
    answer = desk.ask()
    assert (answer.tier, answer.text) == ("quick", QUICK)
    assert "answer.deadline_s=1.5" in desk.health[0].detail
    assert desk.clock.time_s - begun_s < 3.0
    desk.clock.time_s += 10.0
    begun_s = desk.clock.time_s
    assert desk.ask().text == QUICK
    assert "still busy" in desk.health[1].detail
    assert desk.clock.time_s - begun_s < 1.0  # nobody waits for it a second time
    describer.released.set()
    desk.close()


def test_a_newer_request_replaces_an_answer_that_waits_for_the_describer() -> None:
    describer = ScriptedDescriber("A man is waiting.", hangs=True)
    desk = Desk(describer)  # the clock stands still: only the request can end the wait
    asked = iter([False, False, False])
    answer = desk.ask(overtaken=lambda: next(asked, True))
    assert answer.text == QUICK
    assert not desk.health
    describer.released.set()
    assert desk.ask().tier == "full"  # what came before has been forgotten
    assert desk.said[-1].text == "A man is waiting."
    desk.close()


def test_a_stopped_answer_says_nothing_more() -> None:
    describer = ScriptedDescriber("A man is waiting.", hangs=True)
    desk = Desk(describer, mode="full")
    assert desk.ask(overtaken=lambda: True).text == ""
    assert not desk.said
    describer.released.set()
    desk.close()


def test_without_a_scene_the_obstacles_are_still_told() -> None:
    desk = Desk(tier="quick", scenes=FakeScenes(fails=True))
    answer = desk.ask()
    assert answer.text.startswith("Person ahead, three meters.")
    assert desk.health[0].what == "scenes"
    assert desk.statuses() == [desk.words.status("scene_failed")]
    desk.close()


def test_a_language_that_the_describer_does_not_speak_is_said_once_and_not_mixed() -> None:
    desk = Desk(None, language="es")
    for _ in range(3):
        answer = desk.ask()
        assert answer.text == (
            "Persona delante, a tres metros. Autobús a la izquierda, a ocho metros. Estás en una calle."
        )
        assert answer.tier == "quick"
    assert desk.statuses() == [desk.words.status("describer_language")]
    desk.close()


# the other wishes


@pytest.mark.parametrize(
    ("language", "target", "text"),
    [
        ("en", "bus", "Bus left, eight meters."),
        ("en", "the man", "Person ahead, three meters."),
        ("en", "a vehicle", "Bus left, eight meters."),
        ("en", "bikes", "I see no bicycle."),
        ("en", "umbrella", "I cannot recognize an umbrella."),
        ("en", "quark", "I do not know what that is."),
        ("en", None, "I do not know what that is."),
        ("es", "el autobús", "Autobús a la izquierda, a ocho metros."),
        ("es", "silla", "No veo ninguna silla."),
        ("es", "bici", "No veo ninguna bicicleta."),
        ("es", "un paraguas", "No sé reconocer un paraguas."),
        ("es", "bicycle", "No veo ninguna bicicleta."),  # a label, whatever the language
        ("es", "quark", "No sé qué es eso."),
    ],
)
def test_where(language: str, target: str | None, text: str) -> None:
    desk = Desk(language=language)
    answer = desk.ask("where", target)
    assert (answer.text, answer.tier) == (text, "quick")
    assert answer.request.target == target
    desk.close()


def test_where_tells_the_nearest_and_how_many_more() -> None:
    desk = Desk()
    glance = make_glance(*(make_obstacle("chair", far, "right") for far in (6.0, 2.0, 4.0)))
    assert desk.ask("where", "chair", glance).text == "Chair right, two meters. And two more."
    desk.close()


def test_why_is_about_the_last_description() -> None:
    desk = Desk(ScriptedDescriber("A man is waiting."))
    assert desk.ask("why").text == desk.words.status("nothing_said_yet")
    desk.ask()
    desk.ask("where", "bus")
    why = desk.ask("why").text
    assert why == (
        "I gave the long description, with two obstacles and a place I was sure of. The picture's "
        "complexity was sixty percent, and the limit is fifty. "
        "I was ninety percent sure that you were on a street."
    )
    desk.close()


@pytest.mark.parametrize(
    ("describer", "mode", "tier", "begins"),
    [
        (None, "quick", "quick", "You have chosen the short"),
        (ScriptedDescriber("A man is waiting."), "full", "full", "You have chosen the long"),
        (
            ScriptedDescriber(error=MemoryError()),
            "auto",
            "full",
            "I gave the short description because the long one did",
        ),
        (None, "auto", "full", "I gave the short description because the long one does not speak"),
    ],
)
def test_why_says_who_decided(
    describer: ScriptedDescriber | None, mode: str, tier: Tier, begins: str
) -> None:
    desk = Desk(describer, mode=mode, tier=tier)
    desk.ask()
    assert desk.ask("why").text.startswith(begins)
    desk.close()


def test_more_is_a_level_more_and_the_describer() -> None:
    crowd = make_glance(make_obstacle("person", 2.0, "left"), make_obstacle("person", 3.0, "right"))
    desk = Desk(ScriptedDescriber("A man is waiting."), tier="quick", detail="brief")
    assert desk.ask(glance=crowd).text == "Two people: one left, two meters; one elsewhere."
    more = desk.ask("more", glance=crowd)
    assert more.beats[0].text == "Two people: one left, two meters; one right. You are on a street."
    assert more.beats[1].text == "A man is waiting."
    assert "asked for more" in more.decision.reasons
    again = desk.ask("more", glance=crowd)
    assert "three meters" in again.text
    assert [beat.tier for beat in again.beats] == ["quick"]  # that a man is waiting was said before
    assert desk.ask("why").text.startswith("I gave the long description because you asked for more")
    desk.close()


def test_more_without_a_describer_is_a_level_more() -> None:
    desk = Desk(mode="quick", tier="quick")
    desk.ask()
    assert desk.ask("more").tier == "quick"
    assert not desk.statuses()
    desk.close()


# reading


def test_read_says_what_is_written() -> None:
    desk = Desk()
    answer = desk.ask("read")
    assert answer.text == "The text says: EXIT. Perhaps also: Gate 4."
    assert [mark.stage for mark in answer.marks] == ["asked", "capture", "read", "template"]
    desk.close()


@pytest.mark.parametrize("error", [ReaderFailed("broken"), MemoryError(), ValueError("a bug")])
def test_a_reader_that_fails_says_so(error: Exception) -> None:
    desk = Desk()
    desk.scenes.error = error
    assert desk.ask("read").text == desk.words.status("reader_failed")
    assert [health.what for health in desk.health] == ["reader"]
    desk.scenes.error = None
    assert desk.ask("read").text.startswith("The text says: EXIT")
    desk.close()


def test_a_reader_that_hangs_is_given_up() -> None:
    desk = Desk()
    desk.ask("read")
    desk.scenes.released.clear()
    desk.clock.step_s = 0.05
    assert desk.ask("read").text == desk.words.status("reader_late")
    assert [health.what for health in desk.health] == ["reader"]
    desk.scenes.released.set()
    desk.close()


def test_large_signs_belong_to_the_quick_answer_and_support_the_describer() -> None:
    describer = ScriptedDescriber("A man is waiting at a sign.")
    desk = Desk(describer, signs=True)
    desk.scenes.large = LINES
    first = desk.ask()  # the reader is not loaded yet, and the describer goes before
    assert [beat.tier for beat in first.beats] == ["quick", "full", "quick"]
    assert first.beats[1].text == "A man is waiting maybe at a sign."
    second = desk.ask()
    assert [beat.tier for beat in second.beats] == ["quick", "full"]
    assert second.beats[0].text == f"{QUICK} The text says: EXIT."
    assert second.beats[1].text == "A man is waiting at a sign."
    assert second.unsupported == ()
    assert second.text == " ".join(u.text for u in desk.said if u.answer == 2)
    desk.close()


def test_no_sign_no_word() -> None:
    desk = Desk(tier="quick", signs=True)
    assert desk.ask().text == QUICK
    desk.close()


def test_a_batch_waits_for_all_models() -> None:
    desk = Desk(ScriptedDescriber("A man is waiting."), signs=True, deadline_s=None)
    desk.clock.step_s = 10.0
    desk.scenes.large = LINES
    assert [beat.tier for beat in desk.ask().beats] == ["quick", "full", "quick"]
    desk.close()


def test_a_reader_that_is_being_loaded_is_waited_for_at_the_end_and_not_loaded_for_it() -> None:
    """A process that ends while OpenVINO compiles aborts."""
    clock, opened, let_go = ManualClock(), threading.Event(), threading.Event()

    def slowly() -> FakeScenes:
        opened.set()
        let_go.wait()
        return FakeScenes()

    unneeded = OcrWorker(slowly, clock, load_after_s=6.0)
    unneeded.close()
    assert not opened.is_set()
    needed = OcrWorker(slowly, clock, load_after_s=0.0)
    assert opened.wait(10.0)
    closing = threading.Thread(target=needed.close)
    closing.start()
    assert closing.is_alive()
    let_go.set()
    closing.join(10.0)
    assert needed.ready
