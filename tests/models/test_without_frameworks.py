"""The everyday models, in a process in which no training framework can be imported."""

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
from tests.fakes.pictures import derived_pictures

pytestmark = [pytest.mark.weights, pytest.mark.command]

CODE = """
import importlib
import json
import pkgutil
import numpy as np
from PIL import Image
from engine.answering.ocr_worker import select_lines
from engine.core.camera import Frame
from engine.core.errors import MissingPart
import models.runtime
from models.describer import open_describer
from models.detector import open_detector
from models.reader import open_reader
from models.scenes import open_scenes

for module in pkgutil.iter_modules(models.runtime.__path__):
    importlib.import_module("models.runtime." + module.name)

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
detector, scenes = open_detector("pocket", threads=1), open_scenes("pocket")
seen = [scenes.classify(frame("photo.png")).label]
seen += sorted({found.label for found in detector.detect(frame("photo.png"))})
backends = [each.card.backend for each in (describer, detector, scenes)]
print(json.dumps([backends, said, refused, list(lines), seen]))
"""


def test_the_everyday_models_need_no_framework(tmp_path: Path) -> None:
    in_torch: Any = open_describer("pocket", "cpu", "torch")
    expected = []
    for index, picture in enumerate(pictures()):
        picture.convert("RGB").save(tmp_path / f"{index}.png")
        frame = Frame(np.array(picture.convert("RGB")), 0.0, 0)
        expected.append([list(in_torch.tokens(frame)), list(in_torch.describe(frame))])
    sign = street(("EXIT 12", 300, 300, 70), size=(960, 720))
    Image.fromarray(sign.image).save(tmp_path / "sign.png")
    Image.fromarray(derived_pictures()[0].image).save(tmp_path / "photo.png")
    output = without_frameworks(CODE.replace("FOLDER", str(tmp_path)))
    backends, said, refused, lines, seen = json.loads(output.splitlines()[-1])
    assert backends == ["openvino"] * 3
    assert said == expected
    assert "pip install -e '.[torch]'" in refused
    assert lines == ["EXIT 12"]
    assert seen[0] == "street"
    assert "person" in seen
