"""FastVLM in ONNX Runtime: the tokens of transformers, on the requested provider or not at all."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.core.errors import ConfigError, DescriberFailed, MissingPart, PromptTooLong
from models.__main__ import main
from models.fastvlm.checkpoint import load_model
from models.fastvlm.export.onnx import export_decoder, export_encoder
from models.fastvlm.export.writer import facts_of, write_form
from models.fastvlm.forms import Form, find_form
from models.fastvlm.greedy import Greedy
from models.fastvlm.onnx.form import PRECISIONS
from models.fastvlm.onnx.runtime import open_decoder, open_encoder, open_session
from models.fastvlm.torch import runtime as torch_runtime
from tests.fakes.fastvlm import NEW_TOKENS, Prompt, Reference, pictures

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("exports_home")]


def exported(of: Reference, form: Form) -> Path:
    def write(folder: Path) -> None:
        if form.side_px is None:
            export_decoder(of.model, form.precision, folder)
        else:
            export_encoder(of.model, form.precision, form.side_px, folder)

    return write_form(of.folder, form, facts_of(of.model), write)


def error_share(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The root mean square error over the standard deviation of `expected`."""
    return float(np.sqrt(np.mean((got - expected) ** 2)) / expected.std())


@pytest.fixture(scope="module", autouse=True)
def _decoders(exports_home: Path, pocket: Reference) -> None:
    """Exports the shipped decoder in every precision."""
    for precision in PRECISIONS:
        exported(pocket, Form("onnx", "decoder", precision))


@pytest.fixture(scope="module")
def prompt(pocket: Reference) -> Prompt:
    return pocket.prompt(pictures()[3], "What is")


@pytest.fixture(scope="module")
def tokens(pocket: Reference, prompt: Prompt) -> list[int]:
    """The answer of transformers."""
    return pocket.expected(prompt)


@pytest.mark.parametrize("precision", list(PRECISIONS))
def test_every_precision_gives_the_tokens_of_transformers(
    pocket: Reference, prompt: Prompt, tokens: list[int], precision: str
) -> None:
    decoder = open_decoder(pocket.folder, precision, "cpu", pocket.greedy)
    got = list(decoder.write(prompt.ids, prompt.features, NEW_TOKENS))
    assert len(tokens) > 5
    if precision in ("fp32", "fp16"):
        assert got == tokens
    else:  # here all agree completely, but quantized arithmetic differs between processors
        alike = [a == b for a, b in zip(got, tokens, strict=False)]
        assert sum(alike) / len(tokens) >= 0.5
    assert (decoder.precision, decoder.provider) == (precision, "cpu")


def test_the_encoder_works_with_the_decoder_of_another_runtime(
    pocket: Reference, prompt: Prompt, tokens: list[int]
) -> None:
    exported(pocket, Form("onnx", "encoder", "fp32", pocket.side_px))
    encoder = open_encoder(pocket.folder, "fp32", pocket.side_px)
    features = encoder.encode(prompt.pixels)
    assert features.shape == prompt.features.shape
    assert error_share(features, prompt.features) < 1e-4
    encoder.encode(np.zeros_like(prompt.pixels))  # must not overwrite the earlier features
    model = load_model(pocket.folder, torch.float32)
    for decoder in (
        open_decoder(pocket.folder, "fp32", "cpu", pocket.greedy),
        torch_runtime.open_decoder(model, "cpu", "fp32", pocket.greedy, limit=NEW_TOKENS),
    ):
        assert list(decoder.write(prompt.ids, features, NEW_TOKENS)) == tokens


def test_apples_layout_gives_the_tokens_of_transformers(tiny: Reference) -> None:
    exported(tiny, Form("onnx", "encoder", "fp32", tiny.side_px))
    exported(tiny, Form("onnx", "decoder", "fp32"))
    prompt = tiny.prompt(pictures()[3], "What is")
    features = open_encoder(tiny.folder, "fp32", tiny.side_px).encode(prompt.pixels)
    assert error_share(features, prompt.features) < 1e-4
    decoder = open_decoder(tiny.folder, "fp32", "cpu", tiny.greedy)
    assert list(decoder.write(prompt.ids, features, NEW_TOKENS)) == tiny.expected(prompt)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp16", 0.01), ("int8", 0.05), ("q4f16", 0.2)]
)
def test_a_compressed_encoder_is_close(tiny: Reference, precision: str, tolerance: float) -> None:
    exported(tiny, Form("onnx", "encoder", precision, tiny.side_px))
    prompt = tiny.prompt(pictures()[3])
    features = open_encoder(tiny.folder, precision, tiny.side_px).encode(prompt.pixels)
    assert error_share(features, prompt.features) < tolerance


def test_generation_settings_are_followed(
    pocket: Reference, prompt: Prompt, tokens: list[int]
) -> None:
    expected = pocket.expected(prompt, repetition_penalty=1.5, no_repeat_ngram_size=1)
    assert expected != tokens
    decoder = open_decoder(pocket.folder, "fp32", "cpu", Greedy(pocket.greedy.ends, 1.5, 1))
    assert list(decoder.write(prompt.ids, prompt.features, NEW_TOKENS)) == expected


def test_a_prompt_does_not_affect_the_next(
    pocket: Reference, prompt: Prompt, tokens: list[int]
) -> None:
    decoder = open_decoder(pocket.folder, "fp32", "cpu", pocket.greedy)
    text_ids = [i for i in prompt.ids if i != pocket.image_id]
    none = np.zeros((0, prompt.features.shape[1]), np.float32)
    longer = list(decoder.write(text_ids * 20, none, NEW_TOKENS))  # exceeds the first buffers
    assert longer != tokens
    # NaN, as an overflow would leave it in the cache
    broken = decoder.write(prompt.ids, prompt.features * np.nan, NEW_TOKENS)
    next(broken)
    begun = decoder.write(prompt.ids, prompt.features, NEW_TOKENS)
    assert [next(begun), next(begun)] == tokens[:2]
    begun.close()  # type: ignore[attr-defined]
    for _ in range(2):
        assert list(decoder.write(prompt.ids, prompt.features, NEW_TOKENS)) == tokens
    assert list(decoder.write(prompt.ids, prompt.features, 3)) == tokens[:3]


def test_inputs_that_do_not_fit_are_refused(pocket: Reference, prompt: Prompt) -> None:
    decoder = open_decoder(pocket.folder, "fp32", "cpu", pocket.greedy)
    with pytest.raises(PromptTooLong, match="512"):
        decoder.write(prompt.ids * 9, prompt.features, NEW_TOKENS)
    with pytest.raises(DescriberFailed, match="49 image tokens, but the image has 48"):
        decoder.write(prompt.ids, prompt.features[1:], NEW_TOKENS)


def test_what_cannot_be_exported_is_refused(tiny: Reference, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 32, got 48"):
        export_decoder(tiny.model, "int8", tmp_path)
    with pytest.raises(ValueError, match="got bf16"):
        export_decoder(tiny.model, "bf16", tmp_path)
    with pytest.raises(ValueError, match="got int4"):
        export_encoder(tiny.model, "int4", 128, tmp_path)


@pytest.mark.parametrize(
    ("provider", "library"), [("cuda", "onnxruntime-gpu"), ("tensorrt", "libnvinfer")]
)
def test_a_missing_provider_is_never_replaced(
    pocket: Reference,
    provider: Any,
    library: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import onnxruntime

    with pytest.raises(MissingPart, match=library) as refused:
        open_decoder(pocket.folder, "fp16", provider, pocket.greedy)
    assert "\n" not in str(refused.value)
    # As with ONNX Runtime's GPU package on a machine without a GPU, which falls back to the CPU
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: print("Failed to load libcublas.so.12: not found")
    )
    with (
        pytest.warns(UserWarning, match="not in available"),
        pytest.raises(MissingPart, match=f"did not start: it lacks libcublas.*{library}"),
    ):
        open_decoder(pocket.folder, "fp16", provider, pocket.greedy)
    assert not capsys.readouterr().out


def test_without_the_library_it_says_what_to_install(
    pocket: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPart, match=r"install onnxruntime .*\[onnx\]"):
        open_decoder(pocket.folder, "fp32")


def test_a_precision_that_a_gpu_lacks_is_refused(pocket: Reference) -> None:
    with pytest.raises(ConfigError, match="expected a precision of fp16, q4f16, got int8"):
        open_decoder(pocket.folder, "int8", "cuda")


def test_a_damaged_export_is_refused_in_one_line(pocket: Reference) -> None:
    with pytest.raises(MissingPart, match=r"python -m models export .*--image-size 448"):
        open_encoder(pocket.folder, "fp32", 448)
    folder = exported(pocket, Form("onnx", "decoder", "int8"))
    for name in ("model.onnx", "model.onnx.data"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(MissingPart, match=r"expected \d+ bytes"):
            find_form(pocket.folder, Form("onnx", "decoder", "int8"))
        with pytest.raises(MissingPart, match="expected an exported model") as refused:
            open_session(folder, "cpu", None)
        assert "\n" not in str(refused.value)
        (folder / name).write_bytes(content)
    open_session(folder, "cpu", None)


def test_the_command_writes_it_or_says_what_to_install(
    pocket: Reference, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    form = Form("onnx", "decoder", "int4")
    arguments = form.command(pocket.folder).split()[3:]
    shutil.rmtree(find_form(pocket.folder, form))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "models.fastvlm.export.onnx", None)  # as if onnx were missing
        assert main(arguments) == 2
    assert "pip install -e '.[onnx]'" in capsys.readouterr().out
    assert main(arguments) == 0
    assert find_form(pocket.folder, form)
