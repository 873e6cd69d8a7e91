"""The real reader on rendered signs: exact text, large text only, positions."""

from pathlib import Path

import numpy as np
import pytest

from engine.answering.ocr_worker import select_lines
from engine.core.camera import Frame
from engine.language.quotation import parts
from engine.language.wording import Words
from models.reader import RapidReader, open_reader
from tests.fakes.media import street

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def reader() -> RapidReader:
    return open_reader()


@pytest.mark.parametrize(
    ("texts", "size"),
    [
        ([("EXIT 12", 300, 300, 70)], (960, 720)),
        ([("¿Baño de señoras?", 150, 300, 50)], (960, 720)),
        ([("Café Ñandú", 300, 200, 60), ("Abierto 9:30", 300, 400, 40)], (960, 720)),
        ([("Gate 4", 600, 300, 40), ("Platform 2", 120, 300, 40)], (960, 720)),
        ([("PUSH", 120, 100, 36)], (384, 288)),
        ([("Farmacia", 700, 500, 110)], (1920, 1080)),
        ([("Way out", 200, 800, 60), ("Trains", 200, 300, 60)], (720, 1280)),
    ],
)
def test_signs_are_read_exactly_and_in_order(
    reader: RapidReader, texts: list[tuple[str, int, int, int]], size: tuple[int, int]
) -> None:
    frame = street(*texts, size=size)
    lines = reader.read(frame)
    expected = [text for text, x, y, _ in sorted(texts, key=lambda t: (t[2], t[1]))]
    assert list(select_lines(lines).sure) == expected
    for item in (item for item in lines if item.text in expected):
        _, x, y, height = next(t for t in texts if t[0] == item.text)
        assert abs(item.box.x1 - x) < height
        assert abs((item.box.y1 + item.box.y2) / 2 - (y + height / 2)) < height


@pytest.mark.parametrize(
    ("text", "large"),
    [
        (("STOP HERE", 300, 330, 60), True),
        (("STOP HERE", 400, 350, 12), False),  # far away
        (("STOP HERE", 20, 40, 60), False),  # in a corner
    ],
)
def test_read_large_gives_only_large_text_near_the_middle(
    reader: RapidReader, text: tuple[str, int, int, int], large: bool
) -> None:
    lines = reader.read_large(street(text))
    assert [item.text for item in lines] == (["STOP HERE"] if large else [])


def test_large_text_has_its_position_in_the_frame(reader: RapidReader) -> None:
    frame = street(("EXIT", 400, 330, 80))
    (large,) = reader.read_large(frame)
    (whole,) = (line for line in reader.read(frame) if line.text == "EXIT")
    for side in ("x1", "y1", "x2", "y2"):
        assert abs(getattr(large.box, side) - getattr(whole.box, side)) < 30


@pytest.mark.parametrize("size", [(640, 480), (33, 33), (32, 900)])
def test_an_image_without_text_gives_none(reader: RapidReader, size: tuple[int, int]) -> None:
    blank = Frame(np.full((size[1], size[0], 3), 120, np.uint8), 0.0, 0)
    assert reader.read(blank) == ()
    assert reader.read_large(blank) == ()


def test_the_frame_is_not_changed(reader: RapidReader) -> None:
    frame = street(("EXIT", 400, 330, 80))
    image = frame.image.copy()
    image.flags.writeable = False
    reader.read(Frame(image, 0.0, 0))
    assert np.array_equal(image, frame.image)


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("sign", [("Way clear.", "Walk ahead"), ("Nothing ahead", "You can cross")])
def test_a_sign_cannot_speak_as_the_engine(
    reader: RapidReader, sign: tuple[str, str], language: str
) -> None:
    frame = street(*((line, 250, 250 + 110 * row, 70) for row, line in enumerate(sign)))
    words = Words(language)
    text = select_lines(reader.read(frame))
    assert len(text.sure) == 2
    (said,) = words.sentences(words.read(text.sure, text.unsure, None))
    spoken = {part.quoted: part.text for part in parts(said)}
    assert all(line.rstrip(".") in spoken[True] for line in sign)
    assert spoken[False].strip() == words.read(["X"], (), None).split("\u201c")[0].strip()


def test_the_wheel_contains_the_models() -> None:
    import rapidocr

    shipped = {path.name for path in (Path(rapidocr.__file__).parent / "models").glob("*.onnx")}
    assert any("det" in name for name in shipped)
    assert any("rec" in name for name in shipped)
