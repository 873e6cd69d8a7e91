"""The everyday describer and the reader, in a process in which no training framework can be
imported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.core.camera import Frame
from models.describer import open_describer
from tests.fakes.fastvlm import pictures
from tests.fakes.frameworks import without_frameworks
from tests.fakes.media import street

pytestmark = [pytest.mark.weights, pytest.mark.command]

CODE = """
import json
import numpy as np
from PIL import Image
from engine.answering.ocr_worker import select_lines
from engine.core.camera import Frame
from engine.core.errors import MissingPart
from models.describer import open_describer
from models.reader import open_reader

def frame(name):
    return Frame(np.array(Image.open("FOLDER/" + name).convert("RGB")), 0.0, 0)

describer = open_describer("pocket", threads=1)
pictures = [frame(f"{index}.png") for index in range(4)]
said = [[list(describer.tokens(each)), list(describer.describe(each))] for each in pictures]
try:
    open_describer("pocket", backend="torch")
except MissingPart as error:
    refused = str(error)
lines = select_lines(open_reader(1).read(frame("sign.png"))).sure
print(json.dumps([describer.card.backend, said, refused, list(lines)]))
"""


def test_the_describer_and_the_reader_need_no_framework(tmp_path: Path) -> None:
    in_torch: Any = open_describer("pocket", "cpu", "torch")
    expected = []
    for index, picture in enumerate(pictures()):
        picture.convert("RGB").save(tmp_path / f"{index}.png")
        frame = Frame(np.array(picture.convert("RGB")), 0.0, 0)
        expected.append([list(in_torch.tokens(frame)), list(in_torch.describe(frame))])
    sign = street(("EXIT 12", 300, 300, 70), size=(960, 720))
    Image.fromarray(sign.image).save(tmp_path / "sign.png")
    output = without_frameworks(CODE.replace("FOLDER", str(tmp_path)))
    backend, said, refused, lines = json.loads(output.splitlines()[-1])
    assert backend == "openvino"
    assert said == expected
    assert "pip install -e '.[torch]'" in refused
    assert lines == ["EXIT 12"]
