"""The answerer with real threads for describer and reader, and a clock that the test moves.

No test waits for real time to pass, only for the next step of a thread.
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


class Bench:
    """An answerer over fakes, with everything that it said and reported."""

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
        waits: bool = False,
    ) -> None:
        self.clock = ManualClock()
        self.said: list[Utterance] = []
        self.health: list[Health] = []
        self.scenes = scenes or FakeScenes()
        self.describer = DescriberWorker(describer, self.clock) if describer else None
        # such a reader would load by itself, but its turn does not come
        self.reader = OcrWorker(lambda: self.scenes, self.clock, (lambda: False) if waits else None)
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


# prefetching


def test_in_mode_full_the_describer_prefetches() -> None:
    describer = ScriptedDescriber("A man is waiting.")
    bench = Bench(describer, mode="full", beats=1)
    bench.answerer.prefetch(STREET)
    frame, prompt = describer.prefetched.get()
    assert frame is STREET.frame
    assert bench.ask().beats[0].text == "A man is waiting."
    assert describer.prompts == [prompt] == ["What is street?"]  # the prefetched prompt is used
    bench.close()


def test_a_request_ends_the_prefetch() -> None:
    class Slow(ScriptedDescriber):
        steps = 0

        def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
            self.prefetched.put((frame, prompt))
            while True:
                self.steps += 1
                yield

    describer = Slow("A man is waiting.")
    bench = Bench(describer, mode="full", beats=1)
    bench.answerer.prefetch(STREET)
    describer.prefetched.get()
    assert bench.ask().beats[0].text == "A man is waiting."
    bench.close()
    assert describer.steps >= 1


@pytest.mark.parametrize("mode", ["auto", "quick"])
def test_nothing_is_prefetched_if_the_template_comes_first(mode: str) -> None:
    describer = ScriptedDescriber("A man is waiting.")
    bench = Bench(describer, mode=mode, tier="quick")
    bench.answerer.prefetch(STREET)
    bench.ask()
    bench.close()
    assert describer.prefetched.empty()


def test_a_failed_prefetch_is_reported_once_by_the_answer() -> None:
    bench = Bench(
        ScriptedDescriber(error=OutOfMemory("no memory")),
        mode="full",
        beats=1,
        scenes=FakeScenes(fails=True),
    )
    bench.answerer.prefetch(STREET)
    assert not bench.health
    bench.ask()
    assert [health.what for health in bench.health] == ["scenes", "describer"]
    bench.close()


def test_after_a_hung_prefetch_the_template_answers() -> None:
    describer = ScriptedDescriber("Late.", hangs=True)
    bench = Bench(describer, mode="full", beats=1)
    bench.answerer.prefetch(STREET)
    describer.prefetched.get()  # now it hangs
    bench.clock.step_s = 0.3
    assert [beat.tier for beat in bench.ask().beats] == ["quick"]
    bench.answerer.prefetch(STREET)  # raises nothing
    describer.released.set()
    bench.close()


# two beats


def test_the_second_beat_says_only_what_it_adds() -> None:
    bench = Bench(ScriptedDescriber("A person and a bus.", "A man is waiting next to a car."))
    answer = bench.ask()
    assert [beat.tier for beat in answer.beats] == ["quick", "full"]
    assert answer.beats[0].text == QUICK
    assert answer.beats[1].text == "A man is waiting maybe next to a car."
    assert answer.unsupported == ("car",)
    assert answer.text == " ".join(u.text for u in bench.said)
    assert [u.yields for u in bench.said] == [False, False, False, True]
    assert not bench.health
    bench.close()


def test_a_describer_with_nothing_to_add_is_silent_but_counts_as_the_tier() -> None:
    bench = Bench(ScriptedDescriber("A person and a bus on a street."))
    answer = bench.ask()
    assert [beat.tier for beat in answer.beats] == ["quick"]
    assert answer.tier == "full"
    assert any(mark.stage == "describer_total" for mark in answer.marks)
    bench.close()


@pytest.mark.parametrize("beats", [1, 2])
def test_mode_full_has_one_beat(beats: int) -> None:
    bench = Bench(ScriptedDescriber("A person and a bus on a street."), mode="full", beats=beats)
    answer = bench.ask()
    assert [(beat.tier, beat.text) for beat in answer.beats] == [
        ("full", "A person and a bus on a street.")
    ]
    assert not any(u.yields for u in bench.said)  # the only beat resumes after an alert
    bench.close()


def test_a_critical_alert_ends_the_second_beat_only() -> None:
    bench = Bench(ScriptedDescriber("A man is waiting."))
    assert [b.tier for b in bench.ask(alarmed=lambda: True).beats] == ["quick"]
    bench.close()
    bench = Bench(ScriptedDescriber("A man is waiting."), mode="full")
    assert [b.tier for b in bench.ask(alarmed=lambda: True).beats] == ["full"]
    bench.close()


def test_the_prompt_depends_on_the_scene() -> None:
    describer = ScriptedDescriber("A man is waiting.")
    bench = Bench(describer)
    bench.ask()
    assert describer.prompts == ["What is street?"]
    bench.close()


# failures


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
def test_the_template_answers_for_a_describer_that_fails(
    mode: str, error: Exception, said: str
) -> None:
    describer = ScriptedDescriber(error=error)
    bench = Bench(describer, mode=mode)
    for _ in range(2):
        answer = bench.ask()
        assert (answer.tier, answer.text) == ("quick", QUICK)
    assert [said in health.detail for health in bench.health] == [True, True]
    # said once until it works again
    assert bench.statuses() == [bench.words.status("describer_failed")]
    describer.error, describer.clauses = None, ("A man is waiting.",)
    assert bench.ask().tier == "full"
    describer.error, describer.clauses = error, ()
    bench.ask()
    assert len(bench.statuses()) == 2
    bench.close()


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_the_template_answers_for_a_hung_describer_and_later_answers_do_not_wait(mode: str) -> None:
    describer = ScriptedDescriber("A man is waiting.", hangs=True)
    bench = Bench(describer, mode=mode)
    bench.clock.step_s = 0.05
    begun_s = bench.clock.time_s
    answer = bench.ask()
    assert (answer.tier, answer.text) == ("quick", QUICK)
    assert "answer.deadline_s=1.5" in bench.health[0].detail
    assert bench.clock.time_s - begun_s < 3.0
    bench.clock.time_s += 10.0
    begun_s = bench.clock.time_s
    assert bench.ask().text == QUICK
    assert "still busy" in bench.health[1].detail
    assert bench.clock.time_s - begun_s < 1.0  # the second answer does not wait
    describer.released.set()
    bench.close()


def test_a_newer_request_ends_the_wait_for_the_describer() -> None:
    describer = ScriptedDescriber("A man is waiting.", hangs=True)
    bench = Bench(describer)  # the clock stands still: only the request can end the wait
    asked = iter([False, False, False])
    answer = bench.ask(overtaken=lambda: next(asked, True))
    assert answer.text == QUICK
    assert not bench.health
    describer.released.set()
    assert bench.ask().tier == "full"  # the interrupted answer left nothing behind
    assert bench.said[-1].text == "A man is waiting."
    bench.close()


def test_a_stopped_answer_says_nothing_more() -> None:
    describer = ScriptedDescriber("A man is waiting.", hangs=True)
    bench = Bench(describer, mode="full")
    assert bench.ask(overtaken=lambda: True).text == ""
    assert not bench.said
    describer.released.set()
    bench.close()


def test_without_a_scene_the_obstacles_are_still_named() -> None:
    bench = Bench(tier="quick", scenes=FakeScenes(fails=True))
    answer = bench.ask()
    assert answer.text.startswith("Person ahead, three meters.")
    assert bench.health[0].what == "scenes"
    assert bench.statuses() == [bench.words.status("scene_failed")]
    bench.close()


def test_a_describer_that_does_not_speak_the_language_is_explained_once() -> None:
    bench = Bench(None, language="es")
    for _ in range(3):
        answer = bench.ask()
        assert answer.text == (
            "Persona delante, a tres metros. Autobús a la izquierda, a ocho metros. Estás en una calle."
        )
        assert answer.tier == "quick"
    assert bench.statuses() == [bench.words.status("describer_language")]
    bench.close()


# where, why and more


CAN_FIND = "I can find people, chairs, cars, buses, bicycles and more."
SABE_BUSCAR = "Sé buscar personas, sillas, coches, autobuses, bicicletas y más cosas."


@pytest.mark.parametrize(
    ("language", "target", "text"),
    [
        ("en", "bus", "Bus left, eight meters."),
        ("en", "the man", "Person ahead, three meters."),
        ("en", "a vehicle", "Bus left, eight meters."),
        ("en", "bikes", "I see no bicycle."),
        ("en", "umbrella", f"I cannot recognize an umbrella. {CAN_FIND}"),
        ("en", "quark", f"I do not know what that is. {CAN_FIND}"),
        ("en", None, f"I do not know what that is. {CAN_FIND}"),
        ("es", "el autobús", "Autobús a la izquierda, a ocho metros."),
        ("es", "silla", "No veo ninguna silla."),
        ("es", "bici", "No veo ninguna bicicleta."),
        ("es", "un paraguas", f"No sé reconocer un paraguas. {SABE_BUSCAR}"),
        ("es", "bicycle", "No veo ninguna bicicleta."),  # a label works in any language
        ("es", "quark", f"No sé qué es eso. {SABE_BUSCAR}"),
    ],
)
def test_where(language: str, target: str | None, text: str) -> None:
    bench = Bench(language=language)
    answer = bench.ask("where", target)
    assert (answer.text, answer.tier) == (text, "quick")
    assert answer.request.target == target
    bench.close()


def test_where_names_the_nearest_and_counts_the_others() -> None:
    bench = Bench()
    glance = make_glance(*(make_obstacle("chair", far, "right") for far in (6.0, 2.0, 4.0)))
    assert bench.ask("where", "chair", glance).text == "Chair right, two meters. And two more."
    bench.close()


def test_why_is_about_the_last_description() -> None:
    bench = Bench(ScriptedDescriber("A man is waiting."))
    bench.ask()
    bench.ask("where", "bus")
    why = bench.ask("why").text
    assert why == (
        "I gave the long description, with two obstacles and a place I was sure of. The picture's "
        "complexity was sixty percent, and the limit is fifty. "
        "I was ninety percent sure that you were on a street."
    )
    bench.close()


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
def test_why_says_who_chose_the_tier(
    describer: ScriptedDescriber | None, mode: str, tier: Tier, begins: str
) -> None:
    bench = Bench(describer, mode=mode, tier=tier)
    bench.ask()
    assert bench.ask("why").text.startswith(begins)
    bench.close()


def test_more_raises_the_level_of_detail_and_asks_the_describer() -> None:
    crowd = make_glance(make_obstacle("person", 2.0, "left"), make_obstacle("person", 3.0, "right"))
    bench = Bench(ScriptedDescriber("A man is waiting."), tier="quick", detail="brief")
    assert bench.ask(glance=crowd).text == "Two people: one left, two meters; one elsewhere."
    more = bench.ask("more", glance=crowd)
    assert more.beats[0].text == "Two people: one left, two meters; one right. You are on a street."
    assert more.beats[1].text == "A man is waiting."
    assert "asked for more" in more.decision.reasons
    again = bench.ask("more", glance=crowd)
    assert "three meters" in again.text
    assert [beat.tier for beat in again.beats] == [
        "quick"
    ]  # the last answer said that a man is waiting
    assert bench.ask("why").text.startswith(
        "I gave the long description because you asked for more"
    )
    bench.close()


def test_more_without_a_describer_only_raises_the_level_of_detail() -> None:
    bench = Bench(mode="quick", tier="quick")
    bench.ask()
    assert bench.ask("more").tier == "quick"
    assert not bench.statuses()
    bench.close()


# reading


@pytest.mark.parametrize("language", ["en", "es"])
def test_before_the_reader_is_loaded_a_request_to_read_is_told_so_and_then_answered(
    language: str,
) -> None:
    bench = Bench(language=language, waits=True)
    first, second = bench.ask("read"), bench.ask("read")
    assert first.text == f"{bench.words.status('reader_loading')} {second.text}"
    assert [mark.stage for mark in first.marks] == ["asked", "capture", "template"]
    assert "EXIT" in second.text
    bench.close()


def test_a_reader_that_takes_too_long_to_load_is_given_up() -> None:
    bench = Bench(waits=True)
    bench.scenes.released.clear()
    bench.clock.step_s = 0.2
    said = f"{bench.words.status('reader_loading')} {bench.words.status('reader_late')}"
    assert bench.ask("read").text == said
    assert [health.what for health in bench.health] == ["reader"]
    bench.scenes.released.set()
    bench.close()


def test_read_says_the_text() -> None:
    bench = Bench()
    answer = bench.ask("read")
    assert answer.text == "The text says: “EXIT”. Perhaps also: “Gate 4”."
    assert [mark.stage for mark in answer.marks] == ["asked", "capture", "read", "template"]
    bench.close()


@pytest.mark.parametrize("error", [ReaderFailed("broken"), MemoryError(), ValueError("a bug")])
def test_a_reader_that_fails_says_so(error: Exception) -> None:
    bench = Bench()
    bench.scenes.error = error
    assert bench.ask("read").text == bench.words.status("reader_failed")
    assert [health.what for health in bench.health] == ["reader"]
    bench.scenes.error = None
    assert bench.ask("read").text.startswith("The text says: “EXIT”")
    bench.close()


def test_a_hung_reader_is_given_up() -> None:
    bench = Bench()
    bench.ask("read")
    bench.scenes.released.clear()
    bench.clock.step_s = 0.05
    assert bench.ask("read").text == bench.words.status("reader_late")
    assert [health.what for health in bench.health] == ["reader"]
    bench.scenes.released.set()
    bench.close()


def test_large_signs_join_the_quick_answer_and_support_the_describer() -> None:
    describer = ScriptedDescriber("A man is waiting at a sign.")
    bench = Bench(describer, signs=True)
    bench.scenes.large = LINES
    first = bench.ask()  # the reader is not loaded yet, so the describer comes first
    assert [beat.tier for beat in first.beats] == ["quick", "full", "quick"]
    assert first.beats[1].text == "A man is waiting maybe at a sign."
    second = bench.ask()
    assert [beat.tier for beat in second.beats] == ["quick", "full"]
    assert second.beats[0].text == f"{QUICK} The text says: “EXIT”."
    assert second.beats[1].text == "A man is waiting at a sign."
    assert second.unsupported == ()
    assert second.text == " ".join(u.text for u in bench.said if u.answer == 2)
    bench.close()


def test_without_signs_the_answer_is_unchanged() -> None:
    bench = Bench(tier="quick", signs=True)
    assert bench.ask().text == QUICK
    bench.close()


def test_a_batch_has_no_deadline() -> None:
    bench = Bench(ScriptedDescriber("A man is waiting."), signs=True, deadline_s=None)
    bench.clock.step_s = 10.0
    bench.scenes.large = LINES
    assert [beat.tier for beat in bench.ask().beats] == ["quick", "full", "quick"]
    bench.close()


def test_closing_waits_for_a_loading_reader_and_loads_none() -> None:
    """A process that ends while OpenVINO compiles aborts."""
    clock, opened, let_go = ManualClock(), threading.Event(), threading.Event()

    def slowly() -> FakeScenes:
        opened.set()
        let_go.wait()
        return FakeScenes()

    unneeded = OcrWorker(slowly, clock, may_load=lambda: False)
    unneeded.close()
    assert not opened.is_set()
    needed = OcrWorker(slowly, clock, may_load=lambda: True)
    assert opened.wait(10.0)
    closing = threading.Thread(target=needed.close)
    closing.start()
    assert closing.is_alive()
    let_go.set()
    closing.join(10.0)
    assert needed.ready
