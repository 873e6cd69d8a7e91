"""A dataset's figures against tables computed by hand."""

import json
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.answer import Beat, Decision, Description, Request, Tier
from engine.core.errors import MissingPart
from engine.core.glance import Box, Side, Truth
from engine.evaluation.cider import cider_d
from engine.evaluation.scoring import Scorer
from engine.language.nouns import Mention, Vocabulary
from engine.language.pack import TEMPLATES
from tests.fakes.glances import make_glance, make_obstacle, make_scene

LABELS = ("person", "car", "dog", "bus", "tv")
LEFT, AHEAD, RIGHT = Box(10, 100, 90, 300), Box(280, 100, 360, 300), Box(550, 100, 630, 300)


def said(*texts: str, tier: Tier = "full", scene: str = "street") -> Description:
    """An answer whose last beat is worded by `tier` and whose other beats are the quick tier's."""
    beats = [Beat("quick", text) for text in texts[:-1]] + [Beat(tier, texts[-1])]
    decision = Decision(tier, 0.5, 0.4, ())
    request = Request(1, "every", 0.0)
    return Description(request, 0, "auto", tier, decision, make_scene(scene), tuple(beats), ())


def truth(*boxes: tuple[str, Box]) -> Truth:
    return Truth(boxes=boxes)


def one(text: str, labels: Truth) -> dict[str, object]:
    scorer = Scorer(LABELS, "en")
    scorer.add(labels, make_glance(), said(text))
    return scorer.quality()


# boxes


@pytest.mark.parametrize(
    ("found", "map50", "map50_95"),
    [
        ([("person", LEFT), ("car", RIGHT)], 1.0, 1.0),
        ([("car", LEFT), ("person", RIGHT)], 0.0, 0.0),  # the labels swapped
        ([], 0.0, 0.0),
        ([("person", LEFT)], 0.5, 0.5),  # one label of two
        # 80 of 100 px shared: IoU 0.8 counts at 0.50 to 0.80, that is at 7 thresholds of 10
        ([("person", Box(10, 100, 90, 260)), ("car", RIGHT)], 1.0, 0.85),
        (
            [("person", LEFT), ("car", RIGHT), ("bus", AHEAD)],
            1.0,
            1.0,
        ),  # a label that the dataset lacks
    ],
)
def test_average_precision(found: list[tuple[str, Box]], map50: float, map50_95: float) -> None:
    scorer = Scorer(LABELS, "en")
    obstacles = [make_obstacle(label, box=box) for label, box in found]
    scorer.add(truth(("person", LEFT), ("car", RIGHT)), make_glance(*obstacles), said("."))
    quality = scorer.quality()
    assert quality["labels"] == ["person", "car"]
    assert quality["map50"] == pytest.approx(map50, abs=1e-3)
    assert quality["map50_95"] == pytest.approx(map50_95, abs=1e-3)


def test_crowds_are_ignored() -> None:
    crowd = Truth(boxes=(("person", LEFT),), ignored=(("person", RIGHT),))
    scorer = Scorer(LABELS, "en")
    sure = replace(make_obstacle("person", box=RIGHT), score=0.99)
    scorer.add(crowd, make_glance(sure, make_obstacle("person", box=LEFT)), said("."))
    assert scorer.quality()["map50"] == pytest.approx(1.0, abs=1e-3)


def test_unlabelled_images_and_unknown_labels_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scorer = Scorer(LABELS, "en")
    wrong = make_obstacle("person", box=RIGHT)
    scorer.add(Truth(scene="street"), make_glance(wrong), said("A dog.", scene="street"))
    scorer.add(None, make_glance(wrong), said("A dog."))
    right = make_obstacle("person", box=LEFT)
    scorer.add(truth(("person", LEFT), ("sky", RIGHT)), make_glance(right), said("."))
    quality = scorer.quality()
    assert quality["n"] == 2
    assert quality["labels"] == ["person"]
    assert quality["map50"] == pytest.approx(1.0, abs=1e-3)
    assert "hallucination_rate" not in quality
    assert capsys.readouterr().out == ""


def test_figures_that_the_labels_do_not_allow_are_left_out() -> None:
    assert Scorer(LABELS, "en").quality() == {"n": 0}
    scorer = Scorer(LABELS, "en")
    scorer.add(Truth(), make_glance(), said("A dog."))
    assert scorer.quality() == {"n": 1}
    # only brevity (0.05) and truthfulness (0.2) of the quality can be measured
    wrong = {"labels": [], "hallucination_rate": 1.0, "answer_quality": 0.2, "answer_words": 2.0}
    assert one("A dog.", truth()) == {"n": 1} | wrong
    unknown = one("Sky.", truth(("sky", LEFT)))  # a label that the detector does not know
    named = {"labels": [], "hallucination_rate": 0.0, "answer_quality": 1.0, "answer_words": 1.0}
    assert unknown == {"n": 1} | named


def test_scene_top1_and_that_the_figures_are_json() -> None:
    scorer = Scorer(LABELS, "en")
    for is_so, named in (("street", "street"), ("park", "street"), ("park", "park")):
        scorer.add(Truth(scene=is_so), make_glance(), said(".", scene=named))
    assert scorer.quality()["scene_top1"] == 0.6667
    json.dumps(scorer.quality())


def test_a_missing_pycocotools_is_reported_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingPart, match="pip install pycocotools"):
        Scorer(LABELS, "en")


def test_no_model_library_is_needed() -> None:
    assert "torch" not in vars(sys.modules["engine.evaluation.scoring"])
    assert "torch" not in vars(sys.modules["engine.language.nouns"])


# words

PEOPLE_AND_CAR = truth(("person", LEFT), ("person", AHEAD), ("car", RIGHT))


@pytest.mark.parametrize(
    ("text", "recall", "invented"),
    [
        ("A person and a car.", 1.0, 0.0),
        ("Two women beside parked cars.", 1.0, 0.0),
        ("A man, a boy and a child.", 0.5, 0.0),  # one kind, however often
        ("A dog barks at a car.", 0.5, 0.5),
        ("A dog and a bus.", 0.0, 1.0),
        ("Two televisions.", 0.0, 1.0),
        ("Nothing in the way that I can see.", 0.0, None),
        ("You are at a bus stop.", 0.0, None),
        ("A hot dog on a carpet in a dogged scarf.", 0.0, None),
        ("", 0.0, None),
    ],
)
def test_recall_and_hallucination(text: str, recall: float, invented: float | None) -> None:
    quality = one(text, PEOPLE_AND_CAR)
    assert quality["object_recall"] == recall
    assert quality.get("hallucination_rate") == invented


def test_shares_are_over_kinds_and_not_over_images() -> None:
    scorer = Scorer(LABELS, "en")
    scorer.add(PEOPLE_AND_CAR, make_glance(), said("A person, a car and a dog."))
    scorer.add(truth(("bus", LEFT)), make_glance(), said("A dog."))
    quality = scorer.quality()
    assert quality["object_recall"] == 0.6667
    assert quality["hallucination_rate"] == 0.5


def test_recall_uses_the_whole_text_and_cider_what_the_tier_worded() -> None:
    scorer = Scorer(LABELS, "en")
    for caption in ("a tall man waits", "one red car parks"):
        labels = Truth(boxes=(("bus", LEFT),), captions=(caption,))
        scorer.add(labels, make_glance(), said("Bus on the left.", caption))
    quality = scorer.quality()
    assert quality["object_recall"] == 1.0
    assert quality["caption_cider"] == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Car on the right.", 1.0),
        ("Car on the left, two meters.", 0.0),
        ("On the right, a car.", 1.0),
        ("Two people: one ahead, within reach; one on the left. Car on the left.", 0.5),
        ("A person ahead and a car on the right.", 1.0),
        ("A person on the left.", 0.0),  # the larger one is ahead
        ("A person and a car.", None),
        ("A car right behind a person with a bag in his left hand.", None),
        ("A car to the left of a person.", None),
        ("A dog on the left.", None),  # not labelled
    ],
)
def test_sides(text: str, share: float | None) -> None:
    near = Box(250, 50, 390, 400)
    labels = truth(("person", LEFT), ("person", near), ("car", RIGHT))
    assert one(text, labels).get("side_accuracy") == share


@pytest.mark.parametrize(
    ("centre_x", "side"),
    # 640 px over 70 degrees: f = 457 px, so the corridor of 12 degrees is 97 px to either side
    [(219, "left"), (227, "ahead"), (413, "ahead"), (421, "right")],
)
def test_the_side_of_a_labelled_box_is_computed_as_for_obstacles(
    centre_x: float, side: str
) -> None:
    box = Box(centre_x - 5, 10, centre_x + 5, 90)
    word = "ahead" if side == "ahead" else f"on the {side}"
    assert one(f"A car {word}.", truth(("car", box)))["side_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("On the left a man, on the right a car.", [("person", "left"), ("car", "right")]),
        ("A man on the left, a car on the right.", [("person", "left"), ("car", "right")]),
        ("A car to the right of you.", [("car", "right")]),
        ("A dog on the left side of the street.", [("dog", None)]),
        ("A dog in front of you, a bus.", [("dog", "ahead"), ("bus", None)]),
        ("An orange car and an orange on it.", [("car", None), ("orange", None)]),
        ("A TEDDY BEAR.", []),
    ],
)
def test_english_mentions(text: str, mentions: list[tuple[str, Side | None]]) -> None:
    vocabulary = Vocabulary(("person", "car", "dog", "bus", "orange", "bear"), "en")
    assert vocabulary.mentions(text) == [Mention(*mention) for mention in mentions]


def test_labels_with_the_same_name_are_one_kind() -> None:
    vocabulary = Vocabulary(("pedestrian", "person", "table", "dining table", "rowan"), "en")
    assert vocabulary.thing("pedestrian") == vocabulary.thing("person")
    assert vocabulary.mentions("Tables.") == [Mention(vocabulary.thing("table"), None)]
    assert vocabulary.mentions("Rowans.") == [Mention("rowan", None)]


def test_spanish() -> None:
    scorer = Scorer(LABELS, "es")
    text = "Dos personas delante, a dos metros. Coche a la izquierda. Un perro a la derecha de él."
    boxes = truth(("person", AHEAD), ("car", RIGHT), ("bus", LEFT))
    scorer.add(boxes, make_glance(), said(text, tier="quick"))
    quality = scorer.quality()
    assert quality["object_recall"] == 0.6667
    assert quality["hallucination_rate"] == 0.3333
    assert quality["side_accuracy"] == 0.5


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_noun_of_the_templates_is_recognised(language: str) -> None:
    things = json.loads((TEMPLATES / language / "things.json").read_text(encoding="utf-8"))
    vocabulary = Vocabulary(things, language)
    for label, names in things.items():
        for name in names[:2]:
            assert vocabulary.mentions(f"{name}.") == [Mention(vocabulary.thing(label), None)], name


# captions

CAPTIONS = ["a man rides a brown horse", "two dogs run over wet sand", "one bus stops at night"]


@pytest.mark.parametrize(
    ("candidates", "score"),
    [
        (CAPTIONS, 10.0),
        ([text.upper() + " ." for text in CAPTIONS], 10.0),
        (CAPTIONS[1:] + CAPTIONS[:1], 0.0),
        (["", "", ""], 0.0),
    ],
)
def test_cider_of_equal_and_of_other_captions(candidates: list[str], score: float) -> None:
    scores = cider_d(candidates, [[text] for text in CAPTIONS])
    assert scores == pytest.approx([score] * 3)


def test_cider_by_hand() -> None:
    # Two images, so each word of one image weighs ln 2. "a b" against "a c": 1-grams share one
    # of two words of equal weight, cosine 1/2; no 2-gram is shared; there are no longer ones.
    # Mean over n = 1/8, times 10. Lengths are equal. "x y z" against "x": 1-grams 1/sqrt(3), over
    # four, times ten, times exp(-2²/72).
    scores = cider_d(["a b", "x y z"], [["a c", "a b"], ["x"]])
    assert scores[0] == pytest.approx((10 / 8 + 10 / 2) / 2)
    # "y" and "z" are in no reference: their frequency counts as 1
    assert scores[1] == pytest.approx(10 / 4 / 3**0.5 * 0.9459594689)


def test_repeating_a_word_gains_nothing() -> None:
    references = [["a man rides"], ["two dogs run"]]
    once, _ = cider_d(["a man rides", ""], references)
    again, _ = cider_d(["man man man", ""], references)
    assert again < once / 2


def test_one_captioned_image_has_no_cider() -> None:
    scorer = Scorer(LABELS, "en")
    scorer.add(Truth(captions=("a dog",)), make_glance(), said("A dog."))
    assert "caption_cider" not in scorer.quality()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text(max_size=40), st.lists(st.text(max_size=20), max_size=3))))
def test_any_text_is_scored_within_bounds(rows: list[tuple[str, list[str]]]) -> None:
    scores = cider_d([text for text, _ in rows], [texts for _, texts in rows])
    assert all(-1e-9 <= score <= 10 + 1e-9 for score in scores)
    for text, _ in rows:
        Vocabulary(LABELS, "en").mentions(text)
