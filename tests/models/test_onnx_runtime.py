"""FastVLM exported to ONNX and run: the same tokens as transformers' own, on the provider that was
asked for or not at all."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.core.errors import ConfigError, DescriberFailed, MissingPart, PromptTooLong
from engine.devices.video.sample import sample_photo
from models import quiet_offline
from models.__main__ import main
from models.fastvlm.checkpoint import load_checkpoint
from models.fastvlm.export.onnx import export_decoder, export_encoder
from models.fastvlm.export.writer import facts_of, write_form
from models.fastvlm.forms import Form, find_form
from models.fastvlm.greedy import Greedy
from models.fastvlm.onnx.form import PRECISIONS
from models.fastvlm.onnx.runtime import open_decoder, open_encoder, open_session
from models.packs import POCKET
from tests.models.test_fastvlm_checkpoint import apple, parts

__all__ = ["apple", "parts"]  # fixtures
quiet_offline()
LIMIT = 16


class Case(NamedTuple):
    """A checkpoint, a prompt with a street photo, and what transformers makes of both in fp32."""

    folder: Path
    model: Any
    greedy: Greedy
    side_px: int
    pixels: NDArray[np.float32]
    ids: list[int]
    features: NDArray[np.float32]
    tokens: list[int]
    inputs: Any  # transformers'


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENE_ARIA_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def generated(model: Any, inputs: Any, **settings: Any) -> list[int]:
    import torch

    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=LIMIT, do_sample=False, **settings)
    tokens: list[int] = out[0, inputs["input_ids"].shape[1] :].tolist()
    return tokens


def case(folder: Path, side_px: int) -> Case:
    import torch
    from PIL import Image

    processor, model = load_checkpoint(folder, torch.float32)
    side = {"height": side_px, "width": side_px}
    processor.image_processor.size = processor.image_processor.crop_size = side
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is"}]}]
    text = processor.apply_chat_template(turn, add_generation_prompt=True)
    photo = Image.open(sample_photo())
    inputs = processor(text=text, images=photo, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        features = model.model.get_image_features(inputs["pixel_values"]).pooler_output[0]
    return Case(
        folder,
        model,
        Greedy.of(model.generation_config),
        side_px,
        inputs["pixel_values"].numpy(),
        inputs["input_ids"][0].tolist(),
        features.numpy(),
        generated(model, inputs),
        inputs,
    )


@pytest.fixture(scope="module")
def pocket() -> Case:
    found = case(POCKET / "describer", 224)
    for precision in PRECISIONS:
        exported(found, Form("onnx", "decoder", precision))
    return found


@pytest.fixture(scope="module")
def tiny(apple: Path) -> Case:
    return case(apple, 128)


def exported(of: Case, form: Form) -> Path:
    def write(folder: Path) -> None:
        if form.side_px is None:
            export_decoder(of.model, form.precision, folder)
        else:
            export_encoder(of.model, form.precision, form.side_px, folder)

    return write_form(of.folder, form, facts_of(of.model), write)


def spread(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """How far off, root mean square, as a share of the expected's own spread."""
    return float(np.sqrt(np.mean((got - expected) ** 2)) / expected.std())


@pytest.mark.parametrize("precision", list(PRECISIONS))
def test_the_pocket_describer_writes_the_same_tokens_in_every_precision(
    pocket: Case, precision: str
) -> None:
    decoder = open_decoder(pocket.folder, precision, "cpu", pocket.greedy)
    got = list(decoder.write(pocket.ids, pocket.features, LIMIT))
    assert len(pocket.tokens) > 5
    if precision in ("fp32", "fp16"):
        assert got == pocket.tokens
    else:  # here all agree wholly; the arithmetic of fewer bits differs between processors
        alike = [a == b for a, b in zip(got, pocket.tokens, strict=False)]
        assert sum(alike) / len(pocket.tokens) >= 0.5
    assert (decoder.precision, decoder.provider) == (precision, "cpu")


def test_the_pocket_encoder_goes_with_either_decoder(pocket: Case) -> None:
    import torch

    from models.fastvlm.torch import runtime as torch_parts

    exported(pocket, Form("onnx", "encoder", "fp32", pocket.side_px))
    encoder = open_encoder(pocket.folder, "fp32", pocket.side_px)
    features = encoder.encode(pocket.pixels)
    assert features.shape == pocket.features.shape
    assert spread(features, pocket.features) < 1e-4
    encoder.encode(np.zeros_like(pocket.pixels))  # must not overwrite what was given
    _, model = load_checkpoint(pocket.folder, torch.float32)
    for decoder in (
        open_decoder(pocket.folder, "fp32", "cpu", pocket.greedy),
        torch_parts.open_decoder(model, "cpu", "fp32", pocket.greedy, limit=LIMIT),
    ):
        assert list(decoder.write(pocket.ids, features, LIMIT)) == pocket.tokens


def test_a_checkpoint_in_apples_layout_writes_the_same_tokens(tiny: Case) -> None:
    for part, side_px in (("encoder", tiny.side_px), ("decoder", None)):
        exported(tiny, Form("onnx", part, "fp32", side_px))  # type: ignore[arg-type]
    features = open_encoder(tiny.folder, "fp32", tiny.side_px).encode(tiny.pixels)
    assert spread(features, tiny.features) < 1e-4
    decoder = open_decoder(tiny.folder, "fp32", "cpu", tiny.greedy)
    assert list(decoder.write(tiny.ids, features, LIMIT)) == tiny.tokens


@pytest.mark.parametrize(("precision", "off"), [("fp16", 0.01), ("int8", 0.05), ("q4f16", 0.2)])
def test_apples_encoder_in_fewer_bits_is_off_by_little(
    tiny: Case, precision: str, off: float
) -> None:
    exported(tiny, Form("onnx", "encoder", precision, tiny.side_px))
    features = open_encoder(tiny.folder, precision, tiny.side_px).encode(tiny.pixels)
    assert spread(features, tiny.features) < off


def test_the_settings_of_generation_are_kept(pocket: Case) -> None:
    expected = generated(
        pocket.model, pocket.inputs, repetition_penalty=1.5, no_repeat_ngram_size=1
    )
    assert expected != pocket.tokens
    decoder = open_decoder(pocket.folder, "fp32", "cpu", Greedy(pocket.greedy.ends, 1.5, 1))
    assert list(decoder.write(pocket.ids, pocket.features, LIMIT)) == expected


def test_a_prompt_leaves_nothing_behind_for_the_next(pocket: Case) -> None:
    decoder = open_decoder(pocket.folder, "fp32", "cpu", pocket.greedy)
    words = [i for i in pocket.ids if i != pocket.model.config.image_token_id]
    none = np.zeros((0, pocket.features.shape[1]), np.float32)
    longer = list(decoder.write(words * 20, none, LIMIT))  # more than the first buffers hold
    assert longer != pocket.tokens
    broken = decoder.write(
        pocket.ids, pocket.features * np.nan, LIMIT
    )  # as an overflow would leave it
    next(broken)
    begun = decoder.write(pocket.ids, pocket.features, LIMIT)
    assert [next(begun), next(begun)] == pocket.tokens[:2]
    begun.close()  # type: ignore[attr-defined]
    for _ in range(2):
        assert list(decoder.write(pocket.ids, pocket.features, LIMIT)) == pocket.tokens
    assert list(decoder.write(pocket.ids, pocket.features, 3)) == pocket.tokens[:3]


def test_what_does_not_fit_is_refused(pocket: Case) -> None:
    decoder = open_decoder(pocket.folder, "fp32", "cpu", pocket.greedy)
    with pytest.raises(PromptTooLong, match="512"):
        decoder.write(pocket.ids * 9, pocket.features, LIMIT)
    with pytest.raises(DescriberFailed, match="49 image tokens, and the picture 48"):
        decoder.write(pocket.ids, pocket.features[1:], LIMIT)


def test_what_cannot_be_exported_is_refused(tiny: Case, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 32, got 48"):
        export_decoder(tiny.model, "int8", tmp_path)
    with pytest.raises(ValueError, match="got bf16"):
        export_decoder(tiny.model, "bf16", tmp_path)
    with pytest.raises(ValueError, match="got int4"):
        export_encoder(tiny.model, "int4", 128, tmp_path)


@pytest.mark.parametrize(
    ("provider", "library"), [("cuda", "onnxruntime-gpu"), ("tensorrt", "libnvinfer")]
)
def test_a_provider_that_is_not_here_is_never_replaced(
    pocket: Case, provider: Any, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    with pytest.raises(MissingPart, match=library) as refused:
        open_decoder(pocket.folder, "fp16", provider, pocket.greedy)
    assert "\n" not in str(refused.value)
    # As on a machine with the library for graphics cards and no graphics card: it falls back.
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    with (
        pytest.warns(UserWarning, match="not in available"),
        pytest.raises(MissingPart, match=f"did not start.*{library}"),
    ):
        open_decoder(pocket.folder, "fp16", provider, pocket.greedy)


def test_without_the_library_it_says_what_to_install(
    pocket: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPart, match=r"install onnxruntime .*\[onnx\]"):
        open_decoder(pocket.folder, "fp32")


def test_a_precision_that_a_graphics_card_lacks_is_refused(pocket: Case) -> None:
    with pytest.raises(ConfigError, match="expected a precision of fp16, q4f16, got int8"):
        open_decoder(pocket.folder, "int8", "cuda")


def test_a_damaged_export_is_refused_in_one_line(pocket: Case) -> None:
    with pytest.raises(MissingPart, match=r"python -m models export .*--image-size 448"):
        open_encoder(pocket.folder, "fp32", 448)
    folder = exported(pocket, Form("onnx", "decoder", "int8"))
    for name in ("model.onnx", "model.onnx.data"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(MissingPart, match=r"expected \d+ bytes"):
            find_form(pocket.folder, Form("onnx", "decoder", "int8"))
        with pytest.raises(MissingPart, match="expected an exported model") as refused:
            open_session(folder, "cpu", None)
        assert "\n" not in str(refused.value)
        (folder / name).write_bytes(whole)
    open_session(folder, "cpu", None)


def test_the_command_writes_it_or_says_what_to_install(
    pocket: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    form = Form("onnx", "decoder", "int4")
    asked = form.command(pocket.folder).split()[3:]
    shutil.rmtree(find_form(pocket.folder, form))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "models.fastvlm.export.onnx", None)  # as where onnx is missing
        assert main(asked) == 2
    assert "pip install -e '.[onnx]'" in capsys.readouterr().out
    assert main(asked) == 0
    assert find_form(pocket.folder, form)
