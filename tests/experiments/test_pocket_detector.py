"""The labels and loss of the pocket detector's training, and its evaluation."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from ultralytics.nn.tasks import DetectionModel

from experiments.pocket.data import LabelledBox, LabelledImage
from experiments.pocket.detector import average
from experiments.pocket.detector_data import collate
from experiments.pocket.detector_eval import choose_threshold, hazard_recall, tall_by_set
from experiments.pocket.detector_labels import LABELS, Sample, draw_weights, merge_boxes, to_sample
from experiments.pocket.detector_match import LabelMatches, score_labels
from experiments.pocket.detector_trainer import CoveredLoss

pytestmark = pytest.mark.weights

SIDE = 64
PERSON, CAR = LABELS.index("person"), LABELS.index("car")


def record(human: tuple[LabelledBox, ...], machine: tuple[LabelledBox, ...]) -> LabelledImage:
    return LabelledImage(
        "boxes_pedestrians", Path("x.jpg"), 100, 100, "train", boxes=human, pseudo_boxes=machine
    )


def test_a_machine_label_is_trusted_doubtful_or_a_repetition() -> None:
    found = merge_boxes(
        record(
            (LabelledBox("person", 0, 0, 20, 40),),
            (
                LabelledBox("person", 1, 1, 20, 40, 0.9, True),  # a repeat
                LabelledBox("person", 60, 0, 20, 40, 0.5, False),
                LabelledBox("car", 0, 60, 20, 20, 0.42, True),  # both machines found it
                LabelledBox("car", 60, 60, 20, 20, 0.42, False),
                LabelledBox("skis", 60, 60, 20, 20, 0.9, True),  # no label of ours
            ),
        )
    )
    assert [(label, sure) for label, _, sure in found] == [
        ("person", True), ("person", True), ("car", True), ("car", False),
    ]  # fmt: skip


def test_a_doubtful_box_does_not_make_an_image_rare() -> None:
    box = LabelledBox("bus", 0, 0, 50, 50)
    sure, doubted = (
        to_sample(record((), ()), [("bus", box, known)], 1.0) for known in (True, False)
    )
    assert doubted.classes.tolist() == [LABELS.index("bus") + len(LABELS)]
    weights = draw_weights([sure, *[doubted] * 99])
    assert weights[1] < weights[0] / 2


@pytest.fixture(scope="module")
def net() -> Any:
    torch.manual_seed(0)
    build: Any = DetectionModel
    model = build("yolo11n.yaml", nc=len(LABELS), verbose=False)
    model.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
    return model.train()


def item(covered: tuple[int, ...], unsure: list[list[float]]) -> dict[str, Any]:
    """An image of a person in the left half, with doubtful boxes."""
    known = torch.zeros(len(LABELS))
    known[list(covered)] = 1
    return {
        "img": torch.rand(3, SIDE, SIDE),
        "cls": torch.tensor([[float(PERSON)]]),
        "bboxes": torch.tensor([[0.25, 0.5, 0.4, 0.9]]),
        "batch_idx": torch.zeros(1),
        "covered": known,
        "unsure": torch.tensor(unsure).reshape(-1, 5),
        "unsure_idx": torch.zeros(len(unsure), dtype=torch.int64),
    }


def pull(net: Any, batch: dict[str, Any]) -> Any:
    """How the loss pulls at each score: (images, labels, anchors), and each anchor's centre in
    shares.
    """
    preds = net(batch["img"])
    preds["scores"].retain_grad()
    CoveredLoss(net)(preds, batch)[0].sum().backward()
    centres = [
        ((np.mgrid[:n, :n][::-1].reshape(2, -1).T + 0.5) / n) for n in (SIDE // 8, SIDE // 16, 2)
    ]
    return preds["scores"].grad.numpy(), np.concatenate(centres)


def test_the_loss_ignores_unknown_labels_and_doubtful_boxes(net: Any) -> None:
    right = [float(CAR), 0.5, 0.0, 1.0, 1.0]
    pulls, centres = pull(net, collate([item((PERSON, CAR), []), item((PERSON, CAR), [right])]))
    aside = centres[:, 0] > 0.5
    bench = LABELS.index("bench")
    assert (pulls[:, bench] == 0).all()  # not covered
    assert (pulls[0, CAR] > 0).all()  # certainly no car: each score is pulled down
    assert (pulls[1, CAR][aside] == 0).all()  # there may be one
    assert (pulls[1, CAR][~aside] > 0).all()
    assert (pulls[1, PERSON][aside] != 0).all()  # the doubt is about cars only


def test_a_known_box_overrides_a_doubtful_one(net: Any) -> None:
    everywhere = [float(PERSON), 0.0, 0.0, 1.0, 1.0]
    pulls, _ = pull(net, collate([item((PERSON,), [everywhere])]))
    assert (pulls[0, PERSON] < 0).any()  # upwards, at the known person's anchors
    assert (pulls[0, PERSON] <= 0).all()


def test_average_gives_the_mean_of_two_networks() -> None:
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = (one.weight + other.weight).detach() / 2
    average(one, other)
    assert torch.allclose(one.weight, expected)


def test_hazard_recall_counts_boxes_that_reach_low() -> None:
    """Ten people, of whom nine reach low; six of these are found, one below the threshold. A door
    is no hazard, and three potholes are too few to judge by."""
    found = np.array([1] * 6 + [0] * 2, bool)
    never = np.zeros((8, 10), bool)
    person = LabelMatches(
        np.zeros(8, np.int64), np.linspace(0.9, 0.2, 8), never, never, np.array([10]),
        found, np.array([9]), found, np.array([9]),
    )  # fmt: skip
    few = LabelMatches(
        np.zeros(1, np.int64), np.array([0.9]), np.ones((1, 10), bool), never[:1], np.array([3]),
        np.ones(1, bool), np.array([3]), np.ones(1, bool), np.array([3]),
    )  # fmt: skip
    scored = {"person": person, "door": person, "pothole": few}
    confidence = dict.fromkeys(scored, 0.45)  # the sixth scores 0.4
    assert hazard_recall(scored, confidence, np.ones(1)) == pytest.approx(5 / 9)


def scored(hits: list[int], boxes: int) -> LabelMatches:
    """Detections with scores 0.9, 0.55, 0.5 and so on, of which `hits` are right."""
    right = np.array(hits, bool)[:, None].repeat(10, 1)
    nothing, count = np.zeros(len(hits), bool), np.array([boxes])
    scores = np.append(0.9, 0.6 - 0.05 * np.arange(1, len(hits)))[: len(hits)]
    return LabelMatches(
        np.zeros(len(hits), np.int64), scores, right, ~right, count, nothing, count, nothing, count
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "hits", "boxes", "expected"),
    [
        ("cup", [1, 1, 1, 1, 0, 1], 12, 0.35),
        ("cup", [1, 1, 1, 1, 0, 0, 0, 1], 12, 0.45),  # 8 of 16, rather than 10 of 20
        ("car", [1, 1, 1, 1, 0, 0, 0, 1], 12, 0.25),  # what can hurt: a miss weighs more
        ("cup", [1, 0, 0, 0, 0, 0, 0], 12, 0.6),  # 0.9, but no more than the range's end
        ("cup", [0, 0, 0, 0, 0, 1, 1], 12, 0.6),  # mostly invented
        ("cup", [0, 0, 0], 12, 0.6),
        ("cup", [1, 1, 1, 1], 9, 0.35),  # too few to choose by
        ("cup", [], 12, 0.35),
    ],
)
def test_the_threshold_has_the_best_f_measure_within_its_range(
    name: str, hits: list[int], boxes: int, expected: float
) -> None:
    assert choose_threshold(name, scored(hits, boxes)) == pytest.approx(expected)


def judged(
    set_name: str, boxes: list[list[float]], crowd: list[float] | None = None
) -> LabelMatches:
    """Three people found, one on each third of the image; the right ones are `boxes`, in shares."""
    path = Path(f"{set_name}.jpg")
    real = np.array(boxes, np.float32).reshape(-1, 4)
    sample = Sample(set_name, path, 1.0, np.full(len(real), PERSON), real)
    # There must be one judged image in any case.
    other = Sample(
        "boxes_coco", Path("x.jpg"), 1.0, np.array([PERSON]), np.ones((1, 4), np.float32)
    )
    found = np.array([[x, 0, x + 0.3, 0.9] for x in (0, 0.35, 0.7)])
    detections = [
        (np.full(3, PERSON), np.array([0.9, 0.8, 0.7]), found),
        (np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 4))),
    ]
    crowds = {path: [("person", np.array(crowd))]} if crowd else {}
    return score_labels([sample, other], detections, crowds)["person"]


LEFT, MIDDLE = [0.0, 0.0, 0.3, 0.9], [0.35, 0.0, 0.65, 0.9]


def test_a_detection_in_a_crowd_is_neither_right_nor_wrong() -> None:
    plain, crowded = judged("boxes_coco", [LEFT]), judged("boxes_coco", [LEFT], [0.6, 0, 1, 1])
    assert plain.hit[:, 0].tolist() == crowded.hit[:, 0].tolist() == [True, False, False]
    assert plain.wrong[:, 0].tolist() == [False, True, True]
    assert crowded.wrong[:, 0].tolist() == [False, True, False]  # the middle one is outside of it
    assert crowded.truth.tolist() == [1, 1]  # people boxed by humans still count


def test_an_incompletely_boxed_set_counts_for_recall_only() -> None:
    seen = judged("boxes_pedestrians", [LEFT, MIDDLE, [0.0, 0.9, 0.1, 1.0]])
    assert not seen.hit.any()
    assert not seen.wrong.any()
    assert seen.truth.tolist() == [0, 1]
    assert (seen.tall.tolist(), seen.tall_truth.tolist()) == ([True, True, False], [2, 0])
    assert seen.low_truth.tolist() == [3, 1]
    samples = [SimpleNamespace(set_name=name) for name in ("boxes_pedestrians", "boxes_coco")]
    found: Any = tall_by_set(seen, 0.85, cast(Any, samples))
    assert found == {"boxes_pedestrians": {"boxes": 2, "found": 1}}


def test_a_sample_keeps_labels_and_clips_boxes() -> None:
    sample = to_sample(
        record((), ()), [("person", LabelledBox("person", -5, 0, 20, 40), True)], 1.5
    )
    assert isinstance(sample, Sample)
    assert sample.boxes.tolist() == [[0.0, 0.0, pytest.approx(0.15), pytest.approx(0.4)]]
