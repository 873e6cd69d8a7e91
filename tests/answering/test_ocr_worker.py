"""Which lines are spoken, in which order, and in which language they are written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.answering.ocr_worker import MOST_LINES, guess_language, reading_order, select_lines
from engine.core.glance import Box, TextLine


def line(text: str, x: float, y: float, width: float = 100, height: float = 20) -> TextLine:
    return TextLine(text, 0.95, Box(x, y, x + width, y + height))


@pytest.mark.parametrize(
    ("lines", "order"),
    [
        ([line("b", 0, 30), line("a", 0, 0), line("c", 0, 60)], "abc"),
        # one row, slightly tilted
        ([line("b", 110, 4), line("a", 0, 0)], "ab"),
        ([line("b", 110, -4), line("a", 0, 0), line("c", 0, 30)], "abc"),
        # a wide line over two narrow ones that touch
        ([line("c", 110, 30), line("a", 0, 0, 210), line("b", 0, 32)], "abc"),
        # two columns: each from top to bottom
        ([line("c", 400, 0), line("a", 0, 2), line("d", 400, 30), line("b", 0, 32)], "abcd"),
        # columns of unequal height
        ([line("c", 500, 5, height=40), line("a", 0, 0), line("b", 0, 25)], "abc"),
        ([], ""),
    ],
)
def test_reading_order(lines: list[TextLine], order: str) -> None:
    assert "".join(item.text for item in reading_order(lines)) == order


@settings(deadline=None, max_examples=60)
@given(st.permutations([line(str(i), 300 * (i // 3), 40 * (i % 3)) for i in range(6)]))
def test_the_reading_order_does_not_depend_on_the_input_order(lines: list[TextLine]) -> None:
    assert "".join(item.text for item in reading_order(lines)) == "012345"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.builds(
            line, st.text(max_size=3), st.floats(0, 900), st.floats(0, 900), st.floats(1, 400)
        ),
        max_size=12,
    )
)
def test_no_line_is_lost(lines: list[TextLine]) -> None:
    assert sorted(map(id, reading_order(lines))) == sorted(map(id, lines))


def test_the_confidence_decides_what_is_spoken() -> None:
    lines = [
        TextLine("sure", 0.9, Box(0, 0, 9, 9)),
        TextLine("perhaps", 0.7, Box(0, 20, 9, 29)),
        TextLine("noise", 0.55, Box(0, 40, 9, 49)),
        TextLine("---", 0.99, Box(0, 60, 9, 69)),
    ]
    text = select_lines(lines)
    assert (text.sure, text.unsure) == (("sure",), ("perhaps",))


def test_a_long_page_is_truncated() -> None:
    assert len(select_lines([line(f"l{i}", 0, 30 * i) for i in range(40)]).sure) == MOST_LINES


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("EXIT ONLY", "en"),
        ("Please do not enter", "en"),
        ("SALIDA", "es"),
        ("Piso mojado. Cuidado", "es"),
        ("Baño de señoras", "es"),
        ("12:30", None),
        ("IKEA", None),
        ("NO", None),  # a word of both
        ("", None),
    ],
)
def test_the_language_of_a_sign(text: str, language: str | None) -> None:
    assert guess_language(text) == language
