"""Wired: the answerer with real threads for describer and reader, and a clock that the test turns.

Nothing here waits for real time to pass, but for a thread's next step.
"""

import itertools
import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from engine.answering.answerer import Answerer
from engine.answering.describer_worker import DescriberWorker
from engine.answering.grounding import Grounder
from engine.answering.ocr_worker import OcrWorker
from engine.core.answer import Decision, Description, Request, Tier, Wish
from engine.core.camera import Frame
from engine.core.errors import DescriberFailed, OutOfMemory, PromptTooLong, ReaderFailed
from engine.core.glance import Box, Glance, SceneClass, TextLine
from engine.core.preferences import Detail
from engine.core.report import Health, ModelCard
from engine.core.utterance import Utterance
from engine.language.wording import Words
from tests.fakes.glances import make_glance, make_obstacle, make_scene

CARD = ModelCard("fake", "test", "cpu", "none", "none")
LABELS = ("person", "bus", "car", "chair", "bicycle")
STREET = make_glance(make_obstacle("person", 3.0), make_obstacle("bus", 8.0, "left"))
LINES = (
    TextLine("EXIT", 0.99, Box(100, 10, 200, 60)),
    TextLine("Gate 4", 0.7, Box(100, 80, 220, 130)),
)


class Turned:
    """A clock that a test turns. `rush` lets every look at it take so many seconds."""

    def __init__(self) -> None:
        self.time_s = 100.0
        self.rush = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            self.time_s += self.rush
            return self.time_s

    def sleep(self, seconds: float) -> None: ...


class Pen:
    """Describes in `clauses`; raises `error` after them; hangs before them until let go."""

    card = CARD

    def __init__(self, *clauses: str, error: Exception | None = None, hangs: bool = False) -> None:
        self.clauses = clauses
        self.error = error
        self.let_go = threading.Event()
        self.asked: list[str | None] = []
        self.looked: queue.SimpleQueue[tuple[Frame, str | None]] = queue.SimpleQueue()
        if not hangs:
            self.let_go.set()

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        self.looked.put((frame, prompt))
        self.let_go.wait()
        if self.error is not None:
            raise self.error
        yield

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        self.asked.append(prompt)
        self.let_go.wait()
        if on_first_token is not None:
            on_first_token()
        yield from self.clauses
        if self.error is not None:
            raise self.error


class Eyes:
    """Knows the scene, and reads."""

    card = CARD
    labels: tuple[str, ...] = ("street",)

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.large: tuple[TextLine, ...] = ()
        self.error: Exception | None = None
        self.let_go = threading.Event()
        self.let_go.set()

    def classify(self, frame: Frame) -> SceneClass:
        if self.fails:
            raise RuntimeError("the device is gone")
        return make_scene()

    def read(self, frame: Frame) -> tuple[TextLine, ...]:
        self.let_go.wait()
        if self.error is not None:
            raise self.error
        return LINES

    def read_large(self, frame: Frame) -> tuple[TextLine, ...]:
        return self.large


class Router:
    name = "fixed"

    def __init__(self, tier: Tier) -> None:
        self.tier = tier

    def decide(self, glance: Glance) -> Decision:
        return Decision(self.tier, 0.6, 0.5, ("a test",))


class Desk:
    """An answerer over fakes, and all that it said and reported."""

    def __init__(
        self,
        pen: Pen | None = None,
        *,
        mode: str = "auto",
        tier: Tier = "full",
        beats: int = 2,
        language: str = "en",
        detail: Detail = "normal",
        eyes: Eyes | None = None,
        signs: bool = False,
        deadline_s: float | None = 1.5,
    ) -> None:
        self.clock = Turned()
        self.said: list[Utterance] = []
        self.health: list[Health] = []
        self.eyes = eyes or Eyes()
        self.scribe = DescriberWorker(pen, self.clock) if pen else None
        self.reading = OcrWorker(lambda: self.eyes, self.clock)
        self._ids = itertools.count(1).__next__
        self.words = Words(language)
        self.answerer = Answerer(
            mode=mode,
            scenes=self.eyes,
            router=Router(tier),
            scribe=self.scribe,
            words=self.words,
            say=self.said.append,
            report=self.health.append,
            next_id=itertools.count(1).__next__,
            timeline=self.clock,
            wall=self.clock,
            beats=beats,
            deadline_s=deadline_s,
            detail=detail,
            grounder=Grounder(LABELS, language),
            reading=self.reading,
            signs=signs,
            prompt=lambda glance: f"What is {glance.scene.label if glance.scene else '?'}?",
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
        if self.scribe is not None:
            self.scribe.close()
        self.reading.close()


QUICK = "Person ahead, three meters. Bus left, eight meters. You are on a street."


# before anybody has asked


def test_where_the_describer_comes_first_it_looks_before_it_is_asked() -> None:
    pen = Pen("A man is waiting.")
    desk = Desk(pen, mode="full", beats=1)
    desk.answerer.prefetch(STREET)
    frame, prompt = pen.looked.get()
    assert frame is STREET.frame
    assert desk.ask().beats[0].text == "A man is waiting."
    assert pen.asked == [prompt] == ["What is street?"]  # so that it has begun with the same
    desk.close()


def test_a_look_ends_when_the_answer_is_wanted() -> None:
    class Slow(Pen):
        steps = 0

        def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
            self.looked.put((frame, prompt))
            while True:
                self.steps += 1
                yield

    pen = Slow("A man is waiting.")
    desk = Desk(pen, mode="full", beats=1)
    desk.answerer.prefetch(STREET)
    pen.looked.get()
    assert desk.ask().beats[0].text == "A man is waiting."
    desk.close()
    assert pen.steps >= 1


@pytest.mark.parametrize("mode", ["auto", "quick"])
def test_where_a_template_comes_first_it_does_not(mode: str) -> None:
    pen = Pen("A man is waiting.")
    desk = Desk(pen, mode=mode, tier="quick")
    desk.answerer.prefetch(STREET)
    desk.ask()
    desk.close()
    assert pen.looked.empty()


def test_a_look_that_fails_is_told_once_by_the_answer() -> None:
    desk = Desk(Pen(error=OutOfMemory("no memory")), mode="full", beats=1, eyes=Eyes(fails=True))
    desk.answerer.prefetch(STREET)
    assert not desk.health
    desk.ask()
    assert [health.what for health in desk.health] == ["scenes", "describer"]
    desk.close()


def test_a_look_that_hangs_leaves_the_template() -> None:
    pen = Pen("Late.", hangs=True)
    desk = Desk(pen, mode="full", beats=1)
    desk.answerer.prefetch(STREET)
    pen.looked.get()  # it hangs now
    desk.clock.rush = 0.3
    assert [beat.tier for beat in desk.ask().beats] == ["quick"]
    desk.answerer.prefetch(STREET)  # raises nothing
    pen.let_go.set()
    desk.close()


# two beats


def test_the_second_beat_says_what_it_adds_and_the_log_holds_both() -> None:
    desk = Desk(Pen("A person and a bus.", "A man is waiting next to a car."))
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
    desk = Desk(Pen("A person and a bus on a street."))
    answer = desk.ask()
    assert [beat.tier for beat in answer.beats] == ["quick"]
    assert answer.tier == "full"
    assert any(mark.stage == "describer_total" for mark in answer.marks)
    desk.close()


@pytest.mark.parametrize("beats", [1, 2])
def test_mode_full_has_one_beat(beats: int) -> None:
    desk = Desk(Pen("A person and a bus on a street."), mode="full", beats=beats)
    answer = desk.ask()
    assert [(beat.tier, beat.text) for beat in answer.beats] == [
        ("full", "A person and a bus on a street.")
    ]
    assert not any(u.yields for u in desk.said)  # the only beat goes on after an alert
    desk.close()


def test_something_critical_ends_a_second_beat_but_no_first() -> None:
    desk = Desk(Pen("A man is waiting."))
    assert [b.tier for b in desk.ask(alarmed=lambda: True).beats] == ["quick"]
    desk.close()
    desk = Desk(Pen("A man is waiting."), mode="full")
    assert [b.tier for b in desk.ask(alarmed=lambda: True).beats] == ["full"]
    desk.close()


def test_the_describer_is_asked_by_scene() -> None:
    pen = Pen("A man is waiting.")
    desk = Desk(pen)
    desk.ask()
    assert pen.asked == ["What is street?"]
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
    pen = Pen(error=error)
    desk = Desk(pen, mode=mode)
    for _ in range(2):
        answer = desk.ask()
        assert (answer.tier, answer.text) == ("quick", QUICK)
    assert [said in health.detail for health in desk.health] == [True, True]
    # said once, until it works again
    assert desk.statuses() == [desk.words.status("describer_failed")]
    pen.error, pen.clauses = None, ("A man is waiting.",)
    assert desk.ask().tier == "full"
    pen.error, pen.clauses = error, ()
    desk.ask()
    assert len(desk.statuses()) == 2
    desk.close()


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_a_describer_that_hangs_is_answered_for_and_then_left_alone(mode: str) -> None:
    pen = Pen("A man is waiting.", hangs=True)
    desk = Desk(pen, mode=mode)
    desk.clock.rush = 0.05
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
    pen.let_go.set()
    desk.close()


def test_a_newer_request_replaces_an_answer_that_waits_for_the_describer() -> None:
    pen = Pen("A man is waiting.", hangs=True)
    desk = Desk(pen)  # the clock stands still: only the request can end the wait
    asked = iter([False, False, False])
    answer = desk.ask(overtaken=lambda: next(asked, True))
    assert answer.text == QUICK
    assert not desk.health
    pen.let_go.set()
    assert desk.ask().tier == "full"  # what came before has been forgotten
    assert desk.said[-1].text == "A man is waiting."
    desk.close()


def test_a_stopped_answer_says_nothing_more() -> None:
    pen = Pen("A man is waiting.", hangs=True)
    desk = Desk(pen, mode="full")
    assert desk.ask(overtaken=lambda: True).text == ""
    assert not desk.said
    pen.let_go.set()
    desk.close()


def test_without_a_scene_the_obstacles_are_still_told() -> None:
    desk = Desk(tier="quick", eyes=Eyes(fails=True))
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
    desk = Desk(Pen("A man is waiting."))
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
    ("pen", "mode", "tier", "begins"),
    [
        (None, "quick", "quick", "You have chosen the short"),
        (Pen("A man is waiting."), "full", "full", "You have chosen the long"),
        (Pen(error=MemoryError()), "auto", "full", "I gave the short description because the long one did"),
        (None, "auto", "full", "I gave the short description because the long one does not speak"),
    ],
)  # fmt: skip
def test_why_says_who_decided(pen: Pen | None, mode: str, tier: Tier, begins: str) -> None:
    desk = Desk(pen, mode=mode, tier=tier)
    desk.ask()
    assert desk.ask("why").text.startswith(begins)
    desk.close()


def test_more_is_a_level_more_and_the_describer() -> None:
    crowd = make_glance(make_obstacle("person", 2.0, "left"), make_obstacle("person", 3.0, "right"))
    desk = Desk(Pen("A man is waiting."), tier="quick", detail="brief")
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
    desk.eyes.error = error
    assert desk.ask("read").text == desk.words.status("reader_failed")
    assert [health.what for health in desk.health] == ["reader"]
    desk.eyes.error = None
    assert desk.ask("read").text.startswith("The text says: EXIT")
    desk.close()


def test_a_reader_that_hangs_is_given_up() -> None:
    desk = Desk()
    desk.ask("read")
    desk.eyes.let_go.clear()
    desk.clock.rush = 0.05
    assert desk.ask("read").text == desk.words.status("reader_late")
    assert [health.what for health in desk.health] == ["reader"]
    desk.eyes.let_go.set()
    desk.close()


def test_large_signs_belong_to_the_quick_answer_and_support_the_describer() -> None:
    pen = Pen("A man is waiting at a sign.")
    desk = Desk(pen, signs=True)
    desk.eyes.large = LINES
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
    desk = Desk(Pen("A man is waiting."), signs=True, deadline_s=None)
    desk.clock.rush = 10.0
    desk.eyes.large = LINES
    assert [beat.tier for beat in desk.ask().beats] == ["quick", "full", "quick"]
    desk.close()


def test_a_reader_that_is_being_loaded_is_waited_for_at_the_end_and_not_loaded_for_it() -> None:
    """A process that ends while OpenVINO compiles aborts."""
    clock, opened, let_go = Turned(), threading.Event(), threading.Event()

    def slowly() -> Eyes:
        opened.set()
        let_go.wait()
        return Eyes()

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
