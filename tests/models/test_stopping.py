"""A describer is stopped from another thread: the inference in progress ends in an error, and no
later one begins. Otherwise a process that ends meanwhile would abort."""

import threading
from typing import Any

import numpy as np
import pytest

from engine.core.camera import Frame
from engine.core.errors import DescriberFailed
from models.describer import open_describer
from models.fastvlm.export.openvino import export_encoder
from models.fastvlm.export.writer import facts_of, write_form
from models.fastvlm.forms import Form
from models.fastvlm.openvino.runtime import open_encoder
from models.fastvlm.selection import DescriberOptions
from tests.fakes.fastvlm import Reference

pytestmark = pytest.mark.weights
FRAME = Frame(np.full((48, 64, 3), 90, np.uint8), 0.0, 0)


@pytest.mark.usefixtures("exports_home")
def test_an_image_that_is_being_encoded_is_abandoned(tiny: Reference) -> None:
    side_px = 2048  # a second's work and more
    form = Form("openvino", "encoder", "fp32", side_px)
    write_form(
        tiny.folder,
        form,
        facts_of(tiny.model),
        lambda folder: export_encoder(tiny.model, "fp32", side_px, folder),
    )
    encoder = open_encoder(tiny.folder, "fp32", side_px, threads=1)
    errors: list[BaseException] = []
    begun = threading.Event()

    def encode() -> None:
        pixels = np.zeros((1, 3, side_px, side_px), np.float32)
        begun.set()
        try:
            while True:
                encoder.encode(pixels)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=encode)
    thread.start()
    assert begun.wait(10)
    encoder.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert len(errors) == 1
    with pytest.raises(DescriberFailed, match="stopped"):
        encoder.encode(np.zeros((1, 3, side_px, side_px), np.float32))


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_a_stopped_describer_refuses_every_request(runtime: str) -> None:
    describer: Any = open_describer(
        "pocket", "cpu", options=DescriberOptions(runtime=runtime), threads=1
    )
    steps = describer.tokens(FRAME)
    next(steps)
    describer.stop()
    with pytest.raises(DescriberFailed, match="stopped"):
        list(steps)
    with pytest.raises(DescriberFailed, match="stopped"):
        list(describer.describe(FRAME))
