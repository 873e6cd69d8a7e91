"""Boxes: suppression over all labels, and parts of vehicles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.runtime.boxes import MOST_BOXES, NMS_IOU, Boxes, suppressed, without_parts

LABELS = ("person", "bus", "truck", "car")
Row = tuple[float, ...]  # x1, y1, x2, y2, score, class


def boxes(*rows: Row) -> Boxes:
    data = np.array(rows, np.float32).reshape(-1, 6)
    return Boxes(data[:, :4], data[:, 4], data[:, 5].astype(np.int64))


@pytest.mark.parametrize(
    ("inner", "outer", "kept"),
    [
        ((20, 20, 60, 60, 0.4, 1), (10, 10, 110, 90, 0.6, 1), [1]),  # a part of the bus
        ((20, 20, 60, 60, 0.4, 2), (10, 10, 110, 90, 0.6, 1), [1]),  # a truck in the bus
        ((20, 20, 60, 60, 0.7, 1), (10, 10, 110, 90, 0.6, 1), [0, 1]),  # stronger than the larger
        ((80, 20, 140, 60, 0.4, 1), (10, 10, 110, 90, 0.6, 1), [0, 1]),  # half outside
        ((20, 20, 60, 60, 0.4, 0), (10, 10, 110, 90, 0.6, 0), [0, 1]),  # a child before an adult
        ((20, 20, 60, 60, 0.4, 0), (10, 10, 110, 90, 0.6, 1), [0, 1]),  # a person before a bus
        ((20, 20, 60, 60, 0.4, 3), (10, 10, 110, 90, 0.6, 1), [0, 1]),  # a car before a bus
        ((20, 20, 60, 60, 0.4, 3), (10, 10, 110, 90, 0.6, 3), [1]),  # a part of a car
    ],
)
def test_a_part_of_a_vehicle_is_not_a_vehicle(inner: Row, outer: Row, kept: list[int]) -> None:
    seen = without_parts(boxes(inner, outer), LABELS).scores.tolist()
    assert seen == pytest.approx([(inner, outer)[row][4] for row in kept])


@pytest.mark.parametrize("label", [1, 2])
def test_an_object_has_one_box_whatever_its_labels(label: int) -> None:
    found = suppressed(boxes((10, 10, 60, 60, 0.5, 1), (12, 10, 62, 60, 0.9, label)))
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.classes.tolist() == [label]


def overlap(first: list[float], second: list[float]) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return common / (sum(areas) - common)


row = st.tuples(*(st.integers(0, 60) for _ in range(4)), st.integers(10, 99), st.integers(0, 3))


@given(st.lists(row, max_size=40, unique_by=lambda each: each[4]))
@settings(max_examples=60, deadline=None)
def test_suppression_is_greedy_from_the_strongest(rows: list[tuple[int, ...]]) -> None:
    data = boxes(*((x, y, x + w + 8, y + h + 8, s / 100, c) for x, y, w, h, s, c in rows))
    expected: list[int] = []
    for index in np.argsort(-data.scores).tolist():
        corners = data.corners.tolist()
        if all(overlap(corners[index], corners[kept]) <= NMS_IOU for kept in expected):
            expected.append(index)
    found = suppressed(data)
    assert found.scores.tolist() == data.scores[expected].tolist()
    assert found.corners.tolist() == data.corners[expected].tolist()
    assert suppressed(found).scores.tolist() == found.scores.tolist()


def test_at_most_a_hundred_boxes_are_kept() -> None:
    apart = [(20 * i, 0, 20 * i + 10, 10, 0.2 + i / 1000, 0) for i in range(150)]
    found = suppressed(boxes(*apart))
    assert len(found.scores) == MOST_BOXES
    assert found.scores[0] == pytest.approx(0.349)


def test_no_boxes_stay_no_boxes() -> None:
    assert len(without_parts(suppressed(boxes()), LABELS).scores) == 0
